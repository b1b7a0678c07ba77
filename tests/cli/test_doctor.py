"""`./fogline doctor`: what it says of the nodes of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli.doctor import _mesh
from cli.doors import access, secrets
from cli.finding import Finding
from cli.settings import DoctorSettings
from mesh.client import RegistryClient
from mesh.keys import private_file
from tests.cli.locked import Locked
from tests.processes import Running, wait_for
from tests.registry.fakes import Registry


def about_nodes(registry: str) -> list[Finding]:
    """What it says of nodes' clocks."""
    found = _mesh(DoctorSettings(registry=registry))
    return [one for one in found if one.subject == "clock" and "hall" in one.text]


def test_a_node_whose_clock_is_off_is_named(start: Callable[..., Running]) -> None:
    """With how much it is off and in which direction, and the remedy; one that is right is not."""
    mesh = Registry(start("registry").ready())
    try:
        skews = {mesh.node("compute", name).join(): skew for name, skew in (("hall-1", -5.2), ("hall-2", 0.4))}

        def look() -> list[Finding] | None:
            """Loads are listed a moment after the beat; who does not go on beating is dead soon."""
            assert all(node.beat(clock_skew=skew).ok for node, skew in skews.items())
            return about_nodes(mesh.url) or None

        (found,) = wait_for(look, 10, "a node whose clock is off")
    finally:
        mesh.close()
    assert found.verdict == "bad"
    assert found.text == "hall-1: its clock is 5.2 s behind the registry's"
    assert "NTP" in found.remedy


def test_the_doors_are_looked_at(new_mesh: Locked, tmp_path: Path) -> None:
    """Locked or open, a first admin that is missing, and a machine whose nodes cannot join: each with its remedy."""
    found = {one.text: one for one in access(RegistryClient(new_mesh.url), tmp_path)}
    assert any(text.startswith("locked") for text in found)
    assert "user link" in found["nobody can sign in yet"].remedy
    (lost,) = (one for text, one in found.items() if "cannot join" in text)
    assert "./fogline token create" in lost.remedy
    assert not [one for one in access(RegistryClient(new_mesh.url), new_mesh.data) if "cannot join" in one.text]


def test_a_secret_that_others_may_read_is_named(tmp_path: Path) -> None:
    """With what to do; ids and certificates are no secrets."""
    for file in ("admin/key", "identity/camera-demo.key"):
        private_file(tmp_path / file, b"x")
    for file in ("identity/camera-demo.id", "identity/ca.pem", "joining/lock"):
        private_file(tmp_path / file, b"x")
        (tmp_path / file).chmod(0o644)
    assert [one.verdict for one in secrets(tmp_path)] == ["ok"]
    (tmp_path / "admin" / "key").chmod(0o640)
    (found,) = secrets(tmp_path)
    assert found.verdict == "bad"
    assert f"chmod 600 {tmp_path / 'admin' / 'key'}" in found.remedy
