"""`./fogline doctor`: what it says of the nodes of a mesh."""

from __future__ import annotations

from collections.abc import Callable

from cli.doctor import Finding, _mesh
from cli.settings import DoctorSettings
from tests.processes import Running, wait_for
from tests.registry.fakes import Registry


def about_nodes(registry: str) -> list[Finding]:
    """What it says of nodes' clocks. Loads are listed a moment after the beat."""
    found = _mesh(DoctorSettings(registry=registry))
    return [one for one in found if one.subject == "clock" and "hall" in one.text]


def test_a_node_whose_clock_is_off_is_named(start: Callable[..., Running]) -> None:
    """With how much it is off and in which direction, and the remedy; one that is right is not."""
    mesh = Registry(start("registry").ready())
    try:
        for name, skew in (("hall-1", -5.2), ("hall-2", 0.4)):
            assert mesh.node("compute", name).join().beat(clock_skew=skew).ok
        (found,) = wait_for(lambda: about_nodes(mesh.url) or None, 3, "a node whose clock is off")
    finally:
        mesh.close()
    assert found.verdict == "bad"
    assert found.text == "hall-1: its clock is 5.2 s behind the registry's"
    assert "NTP" in found.remedy
