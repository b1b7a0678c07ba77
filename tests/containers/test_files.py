"""The compose files say what they should, as far as Compose itself can tell without an engine."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.main import ROLES
from cli.settings import MqttSettings, TokenSettings, UserSettings
from mesh.settings import fields_of, variable_of
from tests.processes import ROOT

DEFAULT = {"redis", "registry", "ui", "demo", "compute"}
PROFILES = {
    "camera": {"camera"},
    "gpu": {"gpu"},
    "tls": {"proxy"},
    "mqtt": {"mqtt", "mqtt-broker"},
    "observability": {"prometheus", "grafana", "loki", "alloy"},
}
JOIN = "deploy/join.yml"
TWO = {"FOGLINE_REGISTRY": "http://10.20.0.14:5050", "FOGLINE_JOIN_TOKEN": "fgj_x"}
Json = dict[str, Any]


def compose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Compose as a user would run it in the checkout, with these variables alone."""
    program = Path(sys.executable).parent / "docker-compose"
    command = [str(program)] if program.exists() else [shutil.which("docker") or "docker", "compose"]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", **variables},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def services(file: str = "docker-compose.yml", **variables: str) -> dict[str, Json]:
    """All services of the file, whatever profile they are in."""
    done = compose("-f", file, "--profile", "*", "config", "--format", "json", **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Json] = json.loads(done.stdout)["services"]
    return found


BOTH = [("docker-compose.yml", {}), (JOIN, TWO)]


def test_without_a_variable_it_is_the_whole_mesh() -> None:
    """And Compose has nothing to warn of."""
    done = compose("config", "--services")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == DEFAULT


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_adds_what_it_is_called_after(profile: str) -> None:
    """And nothing else."""
    done = compose("--profile", profile, "config", "--services")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == DEFAULT | PROFILES[profile]


def test_a_host_joins_with_two_variables() -> None:
    """Of the file alone, without a checkout: nothing is built or read. Without them Compose says what is missing."""
    done = compose("-f", JOIN, "config", "--services", **TWO)
    assert (done.returncode, done.stdout.split()) == (0, ["compute"])
    for one in services(JOIN, **TWO).values():
        assert "build" not in one
        assert all(volume["type"] == "volume" for volume in one.get("volumes", ()))
    for missing, words in (
        ("FOGLINE_REGISTRY", "say where the mesh is"),
        ("FOGLINE_JOIN_TOKEN", "fogline token create"),
    ):
        done = compose("-f", JOIN, "config", **{name: value for name, value in TWO.items() if name != missing})
        assert done.returncode != 0
        assert words in done.stderr


@pytest.mark.parametrize(("file", "variables"), BOTH)
def test_the_address_of_the_host_reaches_the_nodes(file: str, variables: dict[str, str]) -> None:
    """With the ports that are published; without it they leave the address to the registry."""
    for address in ("", "10.20.0.14"):
        for name, one in services(file, **variables, FOGLINE_ADDRESS=address).items():
            advertised = one.get("environment", {}).get("FOGLINE_ADVERTISE")
            if name in ("compute", "gpu", "camera", "demo"):
                (port,) = one["ports"]
                assert advertised == f"http://{address}:{port['published']}"


@pytest.mark.parametrize(("file", "variables"), BOTH)
def test_every_variable_is_a_setting(file: str, variables: dict[str, str]) -> None:
    """Of the service that gets it: none is misspelt."""
    for name, one in services(file, **variables).items():
        given = set(one.get("environment", {}))
        if not one["image"].startswith("fogline/"):
            continue
        role = re.sub(r"fogline/([a-z]+).*", r"\1", one["image"])
        if name == "mqtt":  # a program for everything else to talk to, not a service of the mesh
            assert given <= {variable_of(field) for field in fields_of(MqttSettings)}, given
            continue
        package, settings, _ = ROLES[role]
        declared = getattr(importlib.import_module(f"{package}.settings"), settings)
        # And those of the commands that people run in the registry's container.
        known = {variable_of(one) for kind in (declared, UserSettings, TokenSettings) for one in fields_of(kind)}
        assert given <= known, (name, given - known)


def test_every_variable_that_a_user_may_set_is_explained() -> None:
    """In .env.example, which has no others."""
    text = (ROOT / ".env.example").read_text()
    files = [(ROOT / name).read_text() for name in ("docker-compose.yml", JOIN)]
    used = {name for file in files for name in re.findall(r"\$\{(FOGLINE_[A-Z_]+)", file)}
    assert used - set(TWO) == set(re.findall(r"^#?(FOGLINE_[A-Z_]+)=", text, re.MULTILINE)) - set(TWO)


def test_redis_is_reached_by_nobody_but_the_registry() -> None:
    """It has no network: its socket lies in a volume that only the registry has besides."""
    found = services()
    assert found["redis"]["network_mode"] == "none"
    assert "ports" not in found["redis"]
    having = [name for name, one in found.items() if any(v["source"] == "redis" for v in one.get("volumes", ()))]
    assert sorted(having) == ["redis", "registry"]


@pytest.mark.parametrize(("file", "variables"), BOTH)
def test_no_service_has_more_rights_than_it_needs(file: str, variables: dict[str, str]) -> None:
    """No capability, no new ones, nothing to write but volumes and /tmp, bounds on memory and processes, and nodes
    that start again by themselves."""
    for name, one in services(file, **variables).items():
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert "cap_add" not in one, name
        assert "privileged" not in one, name
        assert int(one["mem_limit"]) > 0, name
        assert one["pids_limit"] > 0, name
        assert one["restart"] == "unless-stopped", name


def test_only_the_registry_holds_the_keys_of_the_mesh() -> None:
    """Its folder `admin` is in a volume of its own; the others may read the join token, and not write it."""
    for name, one in services().items():
        if not one["image"].startswith("fogline/") or name == "mqtt":  # which has no folder at all
            continue
        volumes = {volume["target"]: volume for volume in one.get("volumes", ())}
        sources = {volume["source"] for volume in one.get("volumes", ())}
        assert ("registry" in sources) == (name == "registry"), name
        if name != "registry":
            assert volumes["/data/joining"]["read_only"], name


def test_ports_are_opened_where_the_user_says() -> None:
    """On every address, for people and nodes come from the network, or on this host alone; all images are locked."""
    for wanted, variables in (("0.0.0.0", {}), ("127.0.0.1", {"FOGLINE_BIND": "127.0.0.1"})):
        found = services(**variables)
        assert found.pop("prometheus")["ports"][0]["host_ip"] == "127.0.0.1"  # it asks nobody who they are
        ports = [port for one in found.values() for port in one.get("ports", ())]
        assert ports
        assert {port["host_ip"] for port in ports} == {wanted}
    assert "FOGLINE_ACCESS=locked" in (ROOT / "Dockerfile").read_text()


def test_what_may_be_contacted_can_be_said() -> None:
    """FOGLINE_ALLOWED_NETWORKS reaches the registry."""
    environment = services(FOGLINE_ALLOWED_NETWORKS="203.0.113.0/24")["registry"]["environment"]
    assert environment["FOGLINE_ALLOWED_NETWORKS"] == "203.0.113.0/24"


@pytest.mark.parametrize("file", ["docker-compose.yml", JOIN])
def test_compose_1_is_told_so(file: str) -> None:
    """It stops at a top-level key that it does not know and prints its name; Compose 2 takes no notice of an unused
    configuration."""
    (name,) = re.findall(r"^configs: \{ (\S+): \{ content: \"\" \} \}$", (ROOT / file).read_text(), re.MULTILINE)
    assert "too-old" in name
    assert "install-compose-2" in name
