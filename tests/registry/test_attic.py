"""What is kept of nodes that a wipe took away."""

from __future__ import annotations

import time

import pytest

from mesh.wire import Load
from registry import attic as module
from registry.attic import Attic
from registry.store import NodeRecord


def record(node_id: str, boot_id: str = "b") -> NodeRecord:
    return NodeRecord(
        node_id=node_id, kind="camera", name=node_id, boot_id=boot_id, url="http://h:1", slots=0, used=0, load=Load(),
        document={}, algorithms=(), original=False, draining=False, reach="ok", reach_reason="", read_at=1.0,
        lease_ends=1.0, last_seen=1.0,
    )  # fmt: skip


def test_only_the_very_boot_is_found() -> None:
    """A process that was started anew has a manifest of its own to tell."""
    attic = Attic()
    attic.keep([record("a"), record("b")])
    found = attic.find("a", "b")
    assert found is not None
    assert found.node_id == "a"
    assert attic.find("a", "other") is None
    assert attic.find("c", "b") is None
    attic.forget(["a", "c"])
    assert attic.find("a", "b") is None
    assert attic.find("b", "b") is not None


def test_nothing_is_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute who comes back registers; what is put in later stays."""
    attic = Attic()
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.05)
    attic.keep([record("a")])
    time.sleep(0.1)
    assert attic.find("a", "b") is None
    monkeypatch.undo()
    attic.keep([record("b")])
    assert attic.find("b", "b") is not None
    assert attic._kept.keys() == {"b"}
