"""`./fogline status`: who is in the mesh, and what runs where."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.settings import StatusSettings
from mesh.client import RegistryClient

SIGNS = {"ready": ("●", "green"), "full": ("◐", "yellow"), "draining": ("▽", "yellow"), "running": ("●", "green")}
TROUBLE = ("▲", "red")


def run(settings: StatusSettings) -> None:
    """Print the tables once."""
    client = RegistryClient(settings.registry)
    nodes = client.nodes(state="any")["nodes"]
    sessions = client.sessions()["sessions"]
    if settings.json:
        click.echo(json.dumps({"nodes": nodes, "sessions": sessions}, indent=2))
        return
    console = Console()
    console.print(_nodes(nodes) if nodes else "No nodes yet: ./fogline camera and ./fogline compute join them.")
    console.print(_sessions(sessions) if sessions else "No sessions.")


def _nodes(nodes: list[dict[str, Any]]) -> Table:
    table = Table("Node", "Kind", "State", "Slots", "Can do", title="Nodes", title_justify="left")
    table.add_column("Address", overflow="fold")
    for node in sorted(nodes, key=lambda n: (n["kind"], n["name"])):
        slots = f"{node.get('free_slots', '?')} of {node['slots']} free" if node["kind"] == "compute" else ""
        does = (
            ", ".join(a.get("id", "") for a in node.get("algorithm", []))
            if node["kind"] == "compute"
            else f"{node.get('source', '')} {node.get('width') or '?'}×{node.get('height') or '?'}"
        )
        table.add_row(node["name"], node["kind"], _state(node), slots, does, node.get("url", ""))
    return table


def _sessions(sessions: list[dict[str, Any]]) -> Table:
    table = Table(
        "Session", "Camera", "Algorithm", "Node", "State", "Viewers", "fps", title="Sessions", title_justify="left"
    )
    for one in sessions:
        table.add_row(
            one["session_id"],
            one.get("camera_name") or one["camera"],
            one["algorithm"],
            one.get("node_name") or "–",
            _state(one),
            str(one.get("viewers", 0)),
            f"{one.get('fps', 0):.1f}",
        )
    return table


def _state(item: dict[str, Any]) -> Text:
    sign, colour = SIGNS.get(item["state"], TROUBLE)
    reason = item.get("state_reason")
    text = Text(f"{sign} {item['state']}", style=colour)
    if reason:
        text.append(f" – {reason}", style="default")
    seen = item.get("last_seen")
    if item["state"] == "dead" and isinstance(seen, (int, float)):
        text.append(f" (last seen {time.strftime('%H:%M:%S', time.localtime(seen))})", style="default")
    return text
