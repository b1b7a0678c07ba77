"""What a simulation goes through, step by step: joining, lists, quiet, placements, deaths, a cut, a wipe."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from cli.simulation import placements
from cli.simulation.readings import Reading
from cli.simulation.registries import Registries
from cli.simulation.remote import RemoteFleet
from cli.simulation.watch import Watch
from mesh.errors import SetupProblem

CLIENTS = 8
SLOTS_SHARE = 4  # of all slots a quarter is asked for over HTTP, and a quarter of the store
MOST_HTTP = 1000  # sessions
MOST_STORE = 6000  # sessions
PATIENCE = 30.0  # seconds for anything that should take a few
JOIN_PATIENCE = 0.02  # further seconds for each node: a registry takes hundreds a second
LISTS = 5
UNCHANGED = 50
CUT_SHARE = 0.3
FEWEST_NODES = 40  # below it there are too few to lose a third of


@dataclass
class Simulation:
    """`nodes` nodes of `fleet` on `registries`, seen through `watch`. say: one line of progress. Steps are called in
    their order, by one thread; each adds to `readings`."""

    registries: Registries
    fleet: RemoteFleet
    watch: Watch
    nodes: int
    seconds: float
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.readings: list[Reading] = []
        self._lost: set[str] = set()  # nodes that were killed: their alarms are none

    def run(self) -> list[Reading]:
        for text, step in (
            (f"{self.nodes:,} nodes join", self.join),
            ("lists", self.lists),
            ("sessions are opened", self.place),
            (f"{self.seconds:g} quiet seconds", self.quiet),
            ("one node is killed, the host of another vanishes", self.lose),
            ("30 % of the nodes are cut off; one more is killed", self.cut),
            ("everything in Redis is wiped", self.wipe),
            ("all is counted", self.audit),
        ):
            self.say(text)
            step()
        return self.readings

    # --- steps

    def join(self) -> None:
        patience = PATIENCE + JOIN_PATIENCE * self.nodes
        begun = self.fleet.call("join")["at"]
        state = self.fleet.until(lambda s: s["registered"] == s["alive"], patience)
        registered = state["registered_at"] - begun if state else None
        self._add("join", "registrations", self.nodes / registered if registered else None, "/s")
        ready = self.watch.until(lambda: self.watch.ready() >= self.nodes, patience)
        self._add("join", "all registered, dialled and listed after", ready[0] - begun if ready else None, "s")
        self._must("join", "nodes listed as ready", self.watch.ready(), self.nodes)
        if not ready:
            states = sorted(set(self.watch.nodes.values()))
            raise SetupProblem(f"only {self.watch.ready()} of {self.nodes} nodes are ready ({', '.join(states)})")

    def lists(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.registries.ports[0], timeout=PATIENCE)
        whole, unchanged, size, tag = [], [], 0, ""
        for _ in range(LISTS):
            seconds, body, tag = _get(connection, "/v1/nodes")
            whole.append(seconds * 1000)
            size = len(body)
        for _ in range(UNCHANGED):
            seconds, body, tag = _get(connection, "/v1/nodes", tag)
            if not body:
                unchanged.append(seconds * 1000)
        connection.close()
        self._add("lists", f"the whole list, {size / 1e6:.1f} MB", median(whole), "ms", at_most=85)
        self._add("lists", "an unchanged list (304)", median(unchanged) if unchanged else None, "ms")

    def place(self) -> None:
        cameras = [ident for ident, _ in self._of_kind("camera")]
        slots = sum(document["slots"] for _, document in self._of_kind("compute"))
        first = min(MOST_STORE, slots // SLOTS_SHARE)
        direct = placements.by_store(self.registries.address, placements.wishes(cameras, first), CLIENTS)
        self._add("sessions", f"opened by the store, {CLIENTS} threads", direct.per_second, "/s", at_least=3000)
        self._overbooked("sessions")
        placements.end(self.registries.address, list(direct.sessions))
        wanted = placements.wishes(cameras, min(MOST_HTTP, slots // SLOTS_SHARE), first=first)
        opened = placements.by_http(self.registries.ports, wanted, CLIENTS)
        self._add("sessions", f"opened over HTTP, {CLIENTS} clients", opened.per_second, "/s")
        self._must("sessions", "that could not be opened", first + len(wanted) - len(direct.sessions | opened.sessions))
        begun = time.monotonic()
        # Each node that can be killed gets one of its own, so that its death has something to move.
        for number, node in enumerate(self.fleet.call("killable")["nodes"]):
            spare = placements.wishes(cameras, 1, first=first + len(wanted) + number)
            placements.by_http(self.registries.ports[:1], spare, 1, node=node)
        told = self.fleet.until(lambda s: s["sessions"] == len(self.watch.served), PATIENCE)
        self._add("sessions", "each known by its node after", told["at"] - begun if told else None, "s")
        self._must("sessions", "that no node serves", sum(node is None for node in self.watch.served.values()))

    def quiet(self) -> None:
        begun, before, state, cpu = (
            time.monotonic(),
            self.registries.used(),
            self.fleet.state(),
            self.fleet.cpu_seconds(),
        )
        time.sleep(self.seconds)
        after, later = self.registries.used(), self.fleet.state()
        took = after.at - before.at
        for what, name in (("beats by datagram", "datagrams"), ("full beats by HTTP", "full_beats")):
            self._add("quiet", what, (later.get(name, 0) - state.get(name, 0)) / (later["at"] - state["at"]), "/s")
        cores = f"of {len(self.registries.ports)} registry process{'es' if len(self.registries.ports) > 1 else ''}"
        self._add("quiet", f"CPU {cores}", 100 * (after.registry - before.registry) / took, "% of a core")
        self._add("quiet", "CPU of Redis", 100 * (after.redis - before.redis) / took, "% of a core")
        self._add("quiet", "commands of Redis", (after.commands - before.commands) / took, "/s")
        self._add("quiet", "CPU of the simulated nodes", 100 * (self.fleet.cpu_seconds() - cpu) / took, "% of a core")
        self._add("quiet", "memory of the registries", after.registry_mb, "MB")
        self._add("quiet", "memory of Redis", after.redis_mb, "MB")
        self._must("quiet", "nodes that think they lost their lease", later["alive"] - later["holding"])
        self._must("quiet", "false alarms", len(self.watch.alarms_since(begun, self._lost)))

    def lose(self) -> None:
        one, other = self.fleet.call("killable")["nodes"][:2]
        self._lost |= {one, other}
        served = {node: self._served_by({node}) for node in (one, other)}
        at = {one: self.fleet.call("kill", node_id=one)["at"], other: self.fleet.call("vanish", node_id=other)["at"]}
        for node, what in ((one, "killed node"), (other, "vanished host")):
            seen = self.watch.until(lambda node=node: not self._well(node), PATIENCE)  # type: ignore[misc]
            self._add("death", f"{what} seen after", seen[0] - at[node] if seen else None, "s", at_most=3.5)
        for node, what in ((one, "killed node"), (other, "vanished host")):
            self._add(
                "death",
                f"its sessions moved after ({what})",
                self._moved(served[node], {node}, at[node]),
                "s",
                at_most=4.5,
            )
        self._must("death", "false alarms", len(self.watch.alarms_since(min(at.values()), self._lost)))

    def cut(self) -> None:
        if self.nodes < FEWEST_NODES:
            return
        done = self.fleet.call("cut", share=CUT_SHARE)
        cut, at = set(done["nodes"]), done["at"]
        on = self.watch.until(lambda: self.watch.preserving or None, PATIENCE)
        self._add("cut", "self-preservation on after", on[0] - at if on else None, "s", at_most=4)
        victim = self.fleet.call("killable")["nodes"][0]
        self._lost.add(victim)
        served = self._served_by({victim})
        killed = self.fleet.call("kill", node_id=victim)["at"]
        self._add(
            "cut",
            "a node killed meanwhile: its sessions moved after",
            self._moved(served, {victim}, killed),
            "s",
            at_most=20,
        )
        self._must("cut", "cut-off nodes that were delisted", len(cut - self.watch.nodes.keys()))
        others = self.watch.alarms_since(at, self._lost | cut)
        self._must("cut", "false alarms among the others", len(others))
        healed = self.fleet.call("heal")["at"]
        well = self.watch.until(lambda: all(map(self._well, cut)) or None, PATIENCE)
        self._add("cut", "all well again after healing", well[0] - healed if well else None, "s")
        off = self.watch.until(lambda: not self.watch.preserving or None, PATIENCE)
        self._add("cut", "self-preservation off after", off[0] - healed if off else None, "s", at_most=15)

    def wipe(self) -> None:
        before = self.fleet.state()
        sessions = len(self.watch.served)
        at = time.monotonic()
        self.registries.wipe()
        back = self.watch.until(lambda: self._anew(at) and self.watch.ready() >= before["alive"], 2 * PATIENCE)
        self._add("wipe", "all nodes back after", back[0] - at if back else None, "s", at_most=15)
        self._must("wipe", "nodes that are missing", max(0, before["alive"] - self.watch.ready()))
        adopted = self.watch.until(
            lambda: sum(n is not None for n in self.watch.served.values()) >= sessions or None, PATIENCE
        )
        self._add("wipe", "all sessions back after", adopted[0] - at if adopted else None, "s", at_most=15)
        self._must("wipe", "sessions that are missing", max(0, sessions - len(self.watch.served)))

    def audit(self) -> None:
        self._overbooked("audit")
        state = self.fleet.state()
        self._must("audit", "nodes that serve more than they have slots", state["overloaded"])
        self._must("audit", "live nodes that are not listed as ready", max(0, state["alive"] - self.watch.ready()))

    # --- looking

    def _of_kind(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        store = placements.store_of(self.registries.address)
        found = [(node.node_id, node.document) for node in store.snapshot().nodes if node.alive and node.kind == kind]
        store.close()
        return sorted(found, key=lambda one: one[1]["name"])

    def _overbooked(self, step: str) -> None:
        self._must(step, "overbooked nodes", placements.load(self.registries.address)[0])

    def _well(self, node: str) -> bool:
        return self.watch.nodes.get(node) in ("ready", "full")

    def _anew(self, moment: float) -> bool:
        """Whether the watch was told everything anew since `moment`."""
        return bool(self.watch.snapshots) and self.watch.snapshots[-1] > moment

    def _served_by(self, nodes: set[str]) -> set[str]:
        return {session for session, node in self.watch.served.items() if node in nodes}

    def _moved(self, sessions: set[str], nodes: set[str], since: float) -> float | None:
        """Seconds until all the sessions run elsewhere than on `nodes`."""

        def look() -> bool:
            return all(self.watch.served.get(one, "") not in {None, *nodes} for one in sessions)

        moved = self.watch.until(lambda: look() or None, PATIENCE)
        return moved[0] - since if moved and sessions else None

    def _add(
        self,
        step: str,
        what: str,
        value: float | None,
        unit: str = "",
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        self.readings.append(Reading(step, what, value, unit, at_most=at_most, at_least=at_least))

    def _must(self, step: str, what: str, value: float, wanted: float = 0) -> None:
        """A figure that has to be so: else the mesh is broken, not slow."""
        self.readings.append(Reading(step, what, value, at_most=wanted, at_least=wanted, must=True))


def _get(connection: http.client.HTTPConnection, path: str, tag: str = "") -> tuple[float, bytes, str]:
    begun = time.monotonic()
    connection.request("GET", path, headers={"If-None-Match": tag} if tag else {})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status not in (200, 304):
        raise SetupProblem(
            f"the registry answered {answer.status} to GET {path}: {body[:200].decode(errors='replace')}"
        )
    return time.monotonic() - begun, body, answer.getheader("ETag") or tag
