"""Reading a camera node: what becomes of addresses that are none."""

from __future__ import annotations

from compute_node.ingest import Ingest
from mesh.wire import CameraAddress
from tests.processes import wait_for


def test_an_address_that_no_resolver_takes_becomes_a_reason() -> None:
    """The thread that reads a camera outlives it, says why, and goes on trying."""
    ingest = Ingest(CameraAddress(node_id="a", name="a", url=f"http://{'a' * 80}:5000"))
    try:
        wait_for(lambda: ingest.problem != "connecting", 5, "reason")
        wait_for(lambda: ingest.counts.reconnects >= 2, 5, "second try")
    finally:
        ingest.stop()
