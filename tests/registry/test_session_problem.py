"""What is wrong with a session now, beside how it came to where it is."""

from __future__ import annotations

from tests.processes import wait_for
from tests.registry.fakes import Registry


def test_a_session_that_moved_and_runs_has_no_problem(registry: Registry) -> None:
    """Its reason still tells of the move; the node's own words are a problem for as long as it says them, and so is a
    camera that is gone; a session that has ended has none."""
    camera = registry.camera()
    nodes = {one.node_id: one for one in (registry.compute("hall-1"), registry.compute("hall-2"))}
    made = registry.open(pinned=True)
    address = f"/v1/sessions/{made['session_id']}"
    assert registry.post(f"{address}/failover", {"token": made["token"]}).ok
    moved = registry.session(made["session_id"])
    assert moved["node"] != made["node"]
    node = nodes[moved["node"]]

    def seen(problem: str) -> str:
        def look() -> str | None:
            one = registry.session(made["session_id"])
            running = one["state"] == "running" and problem in one["problem"] and bool(one["problem"]) == bool(problem)
            return str(one["state_reason"]) if running else None

        return wait_for(look, 5, f"problem {problem!r}")

    node.serves(moved)
    assert seen("").startswith("moved: ")
    node.serves(moved, problem="the camera sends no frames")
    assert seen("the camera sends no frames") == "the camera sends no frames"
    node.serves(moved)
    assert seen("").startswith("moved: ")
    camera.die()
    assert registry.delete(f"/v1/nodes/{camera.node_id}").ok
    assert "is waited for" in seen(f"camera {camera.name} is gone")
    assert registry.delete(address).ok
    assert registry.session(made["session_id"])["problem"] == ""
