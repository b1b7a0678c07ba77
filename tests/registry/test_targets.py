"""What Prometheus is told to read, and what it is told not to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh.place import Place
from registry.access.memory_book import MemoryBook
from registry.settings import RegistrySettings
from registry.store import Snapshot
from registry.targets import Places, listed
from tests.registry.fakes import Registry
from tests.registry.store.trial import LEASE, Trial

ASKED = "registry:5050"


def snapshot(trial: Trial) -> Snapshot:
    return trial.store.snapshot()


def places(tmp_path: Path, **settings: Any) -> Places:
    return Places(MemoryBook(), RegistrySettings(data=tmp_path, **settings))


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial("memory", None, RegistrySettings(data=tmp_path, redis="memory:", lease_seconds=LEASE))  # type: ignore[arg-type]


def test_a_node_is_listed_by_its_address_wherever_that_leads(trial: Trial) -> None:
    """Port, scheme and path are the address's; an added camera is below its host's."""
    trial.compute("plain", advertise_url="http://10.0.0.5:8000", labels={"site": "plant-2"})
    trial.compute("secure", advertise_url="https://press.local")
    trial.camera("added", advertise_url="http://[fd00::7]:5000/cameras/added")
    found = {one.labels["node"]: one for one in listed(snapshot(trial), {}, "", ASKED)}
    assert found["plain"].targets == ["10.0.0.5:8000"]
    assert found["plain"].labels == {
        "__scheme__": "http",
        "__metrics_path__": "/metrics",
        "site": "plant-2",
        "node": "plain",
        "node_id": "plain",
        "service": "compute",
        "host": "host-plain",
    }
    assert found["secure"].targets == ["press.local:443"]
    assert found["secure"].labels["__scheme__"] == "https"
    assert found["added"].targets == ["[fd00::7]:5000"]
    assert found["added"].labels["__metrics_path__"] == "/cameras/added/metrics"


def test_who_is_not_known_to_be_there_is_not_shown_the_key(trial: Trial) -> None:
    """Prometheus asks nothing of an address that was not reached, of a node that is gone, or of an original device."""
    trial.compute("here")
    trial.compute("claimed", dialled=False)
    trial.compute("wrong")
    trial.reached("wrong", "no answer")
    trial.compute("gone")
    trial.store.leave("gone", "left the mesh")
    trial.compute("silent")
    trial.silent.add("silent")
    trial.live(0.5)
    assert {one.labels["node"] for one in listed(snapshot(trial), {}, "", ASKED)} == {"here", "silent"}
    trial.live(3)
    assert {one.labels["node"] for one in listed(snapshot(trial), {}, "", ASKED)} == {"here"}


def test_the_registry_is_where_it_was_asked_as_long_as_it_is_the_only_one(tmp_path: Path, trial: Trial) -> None:
    """With several, that address may lead to any of them; a dashboard beside a registry is at the same host."""
    one = places(tmp_path / "one", host="10.0.0.1")
    one.say()
    one.take(Place(node_id="near", port=8080, name="office", site="plant-2"), "127.0.0.1")
    one.take(Place(node_id="far", port=8443, name="gate", secure=True), "fd00::9")

    def addresses() -> dict[str, str]:
        found = listed(snapshot(trial), one.all(), one.own, ASKED)
        return {target.labels["node_id"]: f"{target.labels['__scheme__']}://{target.targets[0]}" for target in found}

    assert addresses() == {
        one.own: "http://registry:5050",
        "near": "http://registry:8080",
        "far": "https://[fd00::9]:8443",
    }
    other = Places(one._book, RegistrySettings(data=tmp_path / "other", host="10.0.0.2", port=5051))
    other.say()
    assert addresses()[one.own] == "http://10.0.0.1:5050"
    assert addresses()[other.own] == "http://10.0.0.2:5051"


def test_replicas_tell_of_each_other_and_of_every_dashboard(own_registry: Callable[..., Registry]) -> None:
    """What a dashboard said to one of them the other one lists; it is for dashboards to say."""
    registry = own_registry()
    said = {"node_id": "d1", "port": 8080, "name": "office"}
    assert registry.post("/v1/targets", said).json()["port"] == 8080
    assert registry.post("/v1/targets", {**said, "port": 0}).status_code == 422
    assert registry.post("/v1/targets", {"port": 1}).json()["field"] == "node_id"
    found = {one["labels"]["service"]: one["targets"] for one in registry.json("/v1/targets")}
    host = registry.url.removeprefix("http://")
    assert found == {"registry": [host], "ui": [f"{host.partition(':')[0]}:8080"]}
