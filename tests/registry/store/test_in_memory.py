"""A registry without Redis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.processes import Running, wait_for
from tests.registry.conftest import QUICK
from tests.registry.fakes import Registry


def test_a_registry_without_redis_places_and_moves_sessions(start: Callable[..., Running], tmp_path: Path) -> None:
    """It starts no Valkey, and leaves nothing on disk that another one would find."""
    registry = Registry(start("registry", "--redis", "memory:", *QUICK).ready())
    try:
        registry.camera()
        nodes = {node.node_id: node for node in (registry.compute("hall-1"), registry.compute("hall-2"))}
        session = registry.open(pinned=True)
        nodes[session["node"]].die()
        (other,) = nodes.keys() - {session["node"]}
        moved = wait_for(lambda: (now := registry.session(session["session_id"]))["node"] == other and now, 6, "move")
        assert moved["token"] > session["token"]
        stream = registry.get(f"/v1/sessions/{session['session_id']}/stream").headers["Location"]
        assert stream.startswith(moved["node_url"])
    finally:
        registry.close()
    assert not (tmp_path / "data" / "valkey").exists()


def test_several_processes_cannot_share_one_memory(start: Callable[..., Running]) -> None:
    """Each would know another mesh; the words say what to do instead."""
    refused = start("registry", "--redis", "memory:", "--workers", "2")
    wait_for(lambda: refused.process.poll() is not None, 15, "end")
    assert refused.process.returncode != 0
    assert "--workers (FOGLINE_WORKERS) is 2" in refused.log()
    assert "name a Redis" in refused.log()
