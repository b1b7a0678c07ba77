"""How the mesh's state looks in a terminal: a summary, the nodes, the sessions; what is in trouble comes first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

MOST_ROWS = 40  # of one table when it is printed once: --json has all
WIDE = 120  # columns from which there is room for what is nice to know
WIDEST = 150  # columns from which there is room for identifiers, and for how machines fare
FOLDED = 4  # lines that a long reason takes in a narrow terminal
SHORTEST = 3  # rows of a table on however small a screen
CLOCK_OFF = 1.0  # seconds: pictures' ages and charts are wrong by as much as a node's clock
CLOCK_TOLERANCE = 30.0  # seconds: by so much a ready node's last beat may truly be old, with long leases
# Sign and colour by state: a sign as well as a colour, for those who see no difference between red and green.
SIGNS = {
    "ready": ("●", "green"),
    "full": ("◐", "yellow"),
    "draining": ("▽", "yellow"),
    "unreachable": ("✕", "red"),
    "suspect": ("▲", "red"),
    "dead": ("○", "red"),
    "running": ("●", "green"),
    "requested": ("◌", "yellow"),
    "placed": ("◔", "yellow"),
    "moving": ("▶", "yellow"),
    "ended": ("■", "default"),
}
UNKNOWN = ("▲", "red")
NODE_ORDER = ("suspect", "unreachable", "dead", "draining", "full", "ready")  # the worst first
SESSION_ORDER = ("requested", "moving", "placed", "running", "ended")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """The registry's lists at one moment. stale_seconds: how old they are while Redis is away, else None. preserving:
    so many nodes vanished at once that the network is suspected."""

    registry: str
    nodes: list[Json]
    sessions: list[Json]
    stale_seconds: float | None = None
    preserving: bool = False


def page(
    reading: Reading, width: int, rows: tuple[int, int] = (MOST_ROWS, MOST_ROWS), *, fold: bool = True
) -> RenderableType:
    """Everything for a terminal of `width` columns. rows: most of the two tables; fold: whether a long reason may take
    several lines."""
    of_nodes, of_sessions = rows
    now = clock(reading.nodes)
    return Group(
        summary(reading),
        *marks(reading),
        Text(),
        nodes_table(reading.nodes, now, width, of_nodes, fold=fold)
        if reading.nodes
        else Text("No nodes yet: ./fogline camera and ./fogline compute join them."),
        Text(),
        sessions_table(reading.sessions, now, width, of_sessions, fold=fold)
        if reading.sessions
        else Text("No sessions."),
    )


def screen(reading: Reading | None, problem: Text | None, size: ConsoleDimensions) -> RenderableType:
    """The same for a whole screen, with what is wrong with the registry above it."""
    top = [problem] if problem is not None else []
    if reading is None:
        return Group(*top, Text("Nothing was heard of it yet."))
    # What is neither a table's row nor a line of it: summary, marks, blanks, titles, heads, "and … more".
    used = 12 + 2 * len(top) + 2 * len(marks(reading))
    room = size.height - used
    nodes, sessions = len(reading.nodes), len(reading.sessions)
    reasons = sum(bool(_trouble(item)) for item in (*reading.nodes, *reading.sessions))
    fold = nodes + sessions + (FOLDED - 1) * reasons <= room
    if top:
        top.append(Text("What was known last:", style="dim"))
    return Group(*top, page(reading, size.width, shares(nodes, sessions, room), fold=fold))


def away(detail: str, since: float) -> Text:
    """That the registry does not answer. since: Unix seconds of this machine."""
    return Text(f"▲ No answer since {_time(since)}: {detail}. Trying again each second.", style="red")


def shares(nodes: int, sessions: int, rows: int) -> tuple[int, int]:
    """How many of `rows` each table gets: half each, and what one does not need goes to the other."""
    rows = max(rows, 2 * SHORTEST)
    of_nodes = max(min(nodes, rows // 2), rows - sessions)
    return of_nodes, rows - of_nodes


def summary(reading: Reading) -> Text:
    """Who says so, nodes by state, free slots; and on a line of its own, sessions by state."""
    compute = [node for node in reading.nodes if node["kind"] == "compute"]
    slots = sum(node.get("slots", 0) for node in compute if node["state"] != "dead")
    free = sum(node.get("free_slots") or 0 for node in compute)
    line = Text(_count(len(reading.nodes), "node"))
    _states(line, Counter(node["state"] for node in reading.nodes), NODE_ORDER)
    line.append(f" · {free} of {_count(slots, 'slot')} free").append(f" · {reading.registry}\n", style="dim")
    line.append(_count(len(reading.sessions), "session"))
    _states(line, Counter(one["state"] for one in reading.sessions), SESSION_ORDER)
    return line


def marks(reading: Reading) -> list[Text]:
    """What has to be known of the whole."""
    lines = []
    if reading.stale_seconds is not None:
        age = _age(reading.stale_seconds)
        lines.append(Text(f"▲ Redis is away: this is what was known {age} ago. Streams go on.", style="yellow"))
    if reading.preserving:
        words = "▲ Many nodes vanished at once: the network is suspected, and nobody is taken off the list."
        lines.append(Text(words, style="yellow"))
    return lines


def nodes_table(nodes: Sequence[Json], now: float, width: int, most: int, *, fold: bool) -> Table:
    """The nodes, the troubled first; `most` rows. now: the registry's clock, Unix seconds."""
    ordered = sorted(nodes, key=lambda n: (_rank(n, NODE_ORDER), n["kind"], n["name"].casefold()))
    table = _table("Nodes", len(ordered), most)
    table.add_column("Node", no_wrap=True, overflow="ellipsis", max_width=24, min_width=10)
    table.add_column("State", no_wrap=True)
    table.add_column("Free", justify="right", no_wrap=True)
    table.add_column("fps", justify="right", no_wrap=True)
    table.add_column("Seen", justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("Kind", no_wrap=True)
        table.add_column("Address", no_wrap=True, overflow="ellipsis", max_width=36)
    machines = width >= WIDEST and any((node.get("load") or {}).get("ram_percent") is not None for node in nodes)
    if machines:
        for title in ("CPU", "RAM", "°C"):
            table.add_column(title, justify="right", no_wrap=True)
    table.add_column("About it", overflow="fold" if fold else "ellipsis", no_wrap=not fold, ratio=1)
    for node in ordered[:most]:
        load = node.get("load") or {}
        free = f"{node.get('free_slots') or 0}/{node.get('slots', '?')}" if node["kind"] == "compute" else ""
        cells: list[Text | str] = [
            Text(node["name"]),
            _state(node["state"], _trouble(node)),
            free,
            f"{load['fps']:.1f}" if load.get("fps") else "",
            _age(now - node["last_seen"]) if isinstance(node.get("last_seen"), int | float) else "",
        ]
        if width >= WIDE:
            cells += [node["kind"], Text(node.get("url") or "")]
        if machines:
            cells += _machine(load)
        table.add_row(*cells, Text(_trouble(node) or _does(node)))
    return table


def sessions_table(sessions: Sequence[Json], now: float, width: int, most: int, *, fold: bool) -> Table:
    """The sessions, the troubled first; `most` rows. now: as for nodes_table."""
    ordered = sorted(
        sessions, key=lambda s: (_rank(s, SESSION_ORDER), (s.get("camera_name") or s["camera"]).casefold())
    )
    table = _table("Sessions", len(ordered), most)
    table.add_column("Camera", no_wrap=True, overflow="ellipsis", max_width=24, min_width=8)
    table.add_column("Runs", no_wrap=True, overflow="ellipsis", max_width=16)
    table.add_column("On", no_wrap=True, overflow="ellipsis", max_width=24, min_width=8)
    table.add_column("State", no_wrap=True)
    table.add_column("View", justify="right", no_wrap=True)
    table.add_column("fps", justify="right", no_wrap=True)
    table.add_column("Age", justify="right", no_wrap=True)
    if width >= WIDEST:
        table.add_column("Session", no_wrap=True, overflow="ellipsis", max_width=36)
    table.add_column("About it", overflow="fold" if fold else "ellipsis", no_wrap=not fold, ratio=1)
    for one in ordered[:most]:
        cells: list[Text | str] = [
            Text(one.get("camera_name") or one["camera"]),
            Text(one["algorithm"]),
            Text(one.get("node_name") or "–"),
            _state(one["state"], one.get("state_reason")),
            str(one.get("viewers", 0)),
            f"{one.get('fps', 0):.1f}",
            _age(now - one["created_at"]) if isinstance(one.get("created_at"), int | float) else "",
        ]
        if width >= WIDEST:
            cells.append(Text(one["session_id"]))
        table.add_row(*cells, Text(one.get("state_reason") or ("pinned" if one.get("pinned") else "")))
    return table


def clock(nodes: Iterable[Json]) -> float:
    """Unix seconds of the registry's clock, as far as can be told from here.

    This machine's, unless the two disagree: nodes that are ready have just been heard of, so the newest beat cannot be
    long ago.
    """
    present = time.time()
    beats = [
        node["last_seen"]
        for node in nodes
        if node["state"] in ("ready", "full", "draining") and not node.get("original") and node.get("last_seen")
    ]
    newest = max(beats, default=present)
    return present if -1 < present - newest < CLOCK_TOLERANCE else float(newest)


def clock_off(node: Json) -> str:
    """How wrong a node's clock is, in words; empty while it is near enough to the registry's, or not known."""
    skew = (node.get("load") or {}).get("clock_skew")
    if skew is None or abs(skew) <= CLOCK_OFF or node["state"] == "dead":
        return ""
    return f"its clock is {_age(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the registry's"


def _trouble(item: Json) -> str:
    """What there is to say of a node or a session that is not as it should be."""
    reason, clock = item.get("state_reason") or "", clock_off(item)
    return "; ".join(words for words in (reason, clock and f"{clock}: set up NTP") if words)


def _machine(load: Json) -> list[Text | str]:
    """CPU and RAM in use, and the temperature; empty where it is not known."""
    ram, heat = load.get("ram_percent"), load.get("temperature")
    if ram is None:  # from before nodes said so, or in the first second of one
        return ["", "", ""]
    return [f"{load.get('cpu_percent', 0):.0f}%", f"{ram:.0f}%", "" if heat is None else f"{heat:.0f}"]


def _table(title: str, count: int, most: int) -> Table:
    more = f"… and {count - most} more (--json lists all)" if count > most else None
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=more,
        caption_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        expand=True,
        header_style="dim",
    )


def _rank(item: Json, order: tuple[str, ...]) -> float:
    """The worse, the smaller; what is well but has something to say comes before what has not."""
    place = order.index(item["state"]) if item["state"] in order else -1
    return place - (0.5 if _trouble(item) else 0.0)


def _state(state: str, reason: str | None) -> Text:
    sign, colour = SIGNS.get(state, UNKNOWN)
    if reason and colour == "green":
        colour = "yellow"  # it works, and something is amiss: a camera without a picture
    return Text(f"{sign} {state}", style=colour)


def _states(line: Text, counts: Counter[str], order: tuple[str, ...]) -> None:
    """Append ` (● 8 ready, ▲ 1 dead)`, the best first."""
    known = [state for state in reversed(order) if counts[state]]
    listed = [*known, *sorted(set(counts) - set(order))]
    for number, state in enumerate(listed):
        sign, colour = SIGNS.get(state, UNKNOWN)
        line.append(" (" if number == 0 else ", ").append(f"{sign} {counts[state]} {state}", style=colour)
    if listed:
        line.append(")")


def _does(node: Json) -> str:
    if node["kind"] == "compute":
        return ", ".join(entry.get("id") or entry.get("name", "") for entry in node.get("algorithm", []))
    size = f" {node['width']}×{node['height']}" if node.get("width") and node.get("height") else ""
    return f"camera, {node.get('source') or '?'}{size}"


def _age(seconds: float) -> str:
    """A duration in few characters: `0.4 s`, `12 s`, `3 min`, `2.1 h`, `4 d`."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 86_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} d"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
