"""In a mesh that is open to its own machine addresses are plain."""

from __future__ import annotations

from tests.registry.fakes import Registry


def test_addresses_are_plain_in_an_open_mesh(registry: Registry) -> None:
    """Where nodes have not joined nothing is signed, and the addresses are those of the nodes."""
    camera = registry.camera()
    node = registry.compute("press")
    session = registry.open()
    told = registry.post("/v1/tickets", {"sessions": [session["session_id"]], "cameras": [camera.node_id]}).json()
    assert (told["seconds"], told["stream_seconds"]) == (None, None)
    assert told["cameras"][camera.node_id]["image_url"] == f"{camera.url}/image.jpg"
    address = f"{node.url}/v1/sessions/{session['session_id']}/stream?token={session['token']}"
    assert told["sessions"][session["session_id"]]["stream_url"] == session["stream_url"] == address
