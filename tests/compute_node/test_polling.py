"""Viewers who fetch a picture now and then instead of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from tests.compute_node.test_node import good_parts
from tests.processes import Running, wait_for
from tests.rogue import RogueCamera
from tests.viewers import node, session


def test_fetching_a_picture_now_and_then_keeps_a_session(start: Callable[..., Running], tmp_path: Path) -> None:
    """A wall of snapshots, large or small, fetched at the node itself, counts as watching, and the search goes on at
    full speed between them; when it stops, the sessions end by themselves."""
    registry = start("registry", "--idle-seconds", "3").ready()
    start("compute", "--registry", registry.url, "--algorithms", "echo", data=tmp_path / "k").ready()
    with RogueCamera(good_parts) as camera:
        camera.join(registry, "wall")
        node(registry, "camera", name="wall")
        node(registry, "compute")
        large, small = session(registry, "wall", "echo"), session(registry, "wall", "echo", width=600)
        wanted = (large["snapshot_url"], f"{small['snapshot_url']}&width=320")

        def listed() -> list[dict[str, Any]]:
            return [
                requests.get(f"{registry.url}/v1/sessions/{one['session_id']}", timeout=5).json()
                for one in (large, small)
            ]

        # The registry hears of the rate with full beats only, up to five seconds apart, and one may have been sent
        # before the second frame.
        for times in range(1, 11):
            assert all(requests.get(url, timeout=10).ok for url in wanted)
            time.sleep(1)
            if times >= 5 and all(one["fps"] > 10 for one in listed()):
                break
        for one in listed():
            assert (one["state"], one["viewers"]) == ("running", 1)
            assert one["fps"] > 10
        wait_for(lambda: all(one["state"] == "ended" for one in listed()), 15, "end of the sessions")
