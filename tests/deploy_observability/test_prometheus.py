"""A real Prometheus reads a real, locked mesh by the registry's list and key, and answers what dashboards ask."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import requests
import yaml

from mesh.credentials import METRICS_KEY
from tests.attacks.locked_house import House, locked_house
from tests.deploy_observability.boards import BOARDS, OBSERVABILITY, Query, board, queries, variables
from tests.deploy_observability.collector import Prometheus, prometheus
from tests.processes import wait_for

SERVICES: Final = ("registry", "camera", "compute", "ui")
# What is empty on a mesh that is well: nobody is lost, dark, off or late, and this machine tells no temperature.
WELL: Final = ("Alerts", "Lost nodes", "Dark cameras", "Temperature", "Accelerator", "Not searched")
BESIDE: Final = re.compile(r"accelerator_ratio|camera_frames_refused_total")  # the same beside others of their panels


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("prometheus")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no prometheus in CI: ./fogline test installs it")
        pytest.skip("no prometheus on this machine: ./fogline test installs it where it may")
    return found


@pytest.fixture(scope="module")
def house(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with locked_house(tmp_path_factory.mktemp("mesh")) as made:
        yield made


@pytest.fixture(scope="module")
def collected(program: str, house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """When it has read everything several times, and reckoned."""
    folder = tmp_path_factory.mktemp("prometheus") / "prometheus"
    folder.mkdir()
    with prometheus(program, folder, house.registry.url, house.data / METRICS_KEY) as made:

        def settled() -> bool:
            latency = made.query('site_node:fogline_frame_age_seconds:p99 > 0 and on () count(up{job="fogline"}) == 4')
            return bool(latency) and len(made.query("rate(fogline_process_cpu_seconds_total[1m])")) == len(SERVICES)

        wait_for(settled, 30, "figures of four services")
        yield made


def key_of(house: House) -> dict[str, str]:
    return {"Authorization": f"Bearer {(house.data / METRICS_KEY).read_text()}"}


@pytest.mark.parametrize("service", SERVICES)
def test_promtool_has_nothing_to_say_of_the_figures(house: House, service: str) -> None:
    """Names, units and help texts are as Prometheus wants them, at every service, for who has the key for them."""
    url = f"{house.services[service].url}/metrics"
    answer = requests.get(url, headers=key_of(house), timeout=10)
    assert answer.ok
    assert requests.get(url, timeout=10).status_code == 401
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=answer.content, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    assert b"fogline_process_cpu_seconds_total" in answer.content


def test_the_key_opens_nothing_else(house: House) -> None:
    """Not the lists, not a stream, and nothing that changes anything."""
    for service, method, path in (
        ("registry", "GET", "/v1/nodes"),
        ("registry", "GET", "/v1/keys"),
        ("registry", "POST", "/v1/sessions"),
        ("registry", "POST", "/v1/targets"),
        ("camera", "GET", "/image.jpg"),
        ("compute", "GET", f"/v1/sessions/{house.session['session_id']}/snapshot"),
        ("ui", "GET", "/api/overview"),
    ):
        answer = requests.request(method, house.services[service].url + path, headers=key_of(house), timeout=10)
        assert answer.status_code == 403, (service, path)
        assert "needs" in answer.json()["detail"] or "for nodes" in answer.json()["detail"]


def test_the_list_has_everything_that_has_figures(house: House) -> None:
    """Each with how to ask it and with its site, name and kind."""
    found = requests.get(f"{house.registry.url}/v1/targets", headers=key_of(house), timeout=10).json()
    by_service = {one["labels"]["service"]: one for one in found}
    assert set(by_service) == set(SERVICES)
    for service, one in by_service.items():
        assert one["targets"] == [house.services[service].url.removeprefix("http://")]
        labels = one["labels"]
        assert (labels["__scheme__"], labels["__metrics_path__"], labels["site"]) == ("http", "/metrics", "plant-2")
        assert labels["host"]
    assert by_service["camera"]["labels"]["node"] == "line-3"
    assert by_service["compute"]["labels"]["node_id"] == house.ids["compute"]


def test_prometheus_reads_all_of_them(collected: Prometheus) -> None:
    """With the configuration and the key that Compose mounts."""

    def health() -> dict[str, str]:
        return {one["labels"]["service"]: one["health"] for one in collected.targets()}

    wait_for(lambda: health() == dict.fromkeys(SERVICES, "up"), 10, "all of them up")
    assert {one["metric"]["site"] for one in collected.query('up{job="fogline"}')} == {"plant-2"}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_shows_something(collected: Prometheus, house: House, path: Path) -> None:
    """Every query is one that Prometheus takes, and those that are not about trouble give something."""
    values = [
        {"site": ".*", "node": node, "camera": "line-3", "session": house.session["session_id"]}
        for node in ("hall-1", "line-3")
    ]
    for query in (query for query in queries(path) if query.kind == "prometheus"):
        shown = partial(_asked, collected, query, values)
        if query.panel in WELL or BESIDE.search(query.text):
            shown()
        else:
            wait_for(shown, 20, f"{query.panel}: {query.text}")  # a rate needs two readings, and one may be missed


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_variable_has_values(collected: Prometheus, path: Path) -> None:
    """What a dashboard lets people choose from is there."""
    for name, text in variables(board(path)).items():
        if text:
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
            assert found, (name, text)
            series = re.sub(r"\$site", ".*", found[1]).replace("$camera", "line-3")
            # The figures of a service are gone for the second in which a busy machine misses a reading.
            wait_for(partial(_has, collected, series, found[2]), 20, f"{name}: {text}")


def test_every_rule_can_be_reckoned(collected: Prometheus) -> None:
    """Prometheus has evaluated each of ours without an error, and none fires on a mesh that is well."""
    groups = collected.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    ours = yaml.safe_load((OBSERVABILITY / "rules" / "fogline.yml").read_text())["groups"]
    assert len(rules) == sum(len(group["rules"]) for group in ours)
    assert not [rule for rule in rules if rule.get("lastError")]
    assert collected.firing() == {}


def test_every_log_line_is_one_object_that_says_from_where_it_is(house: House) -> None:
    """By site, node, service and level, whatever program of the service wrote it."""
    for service in SERVICES:
        lines = [json.loads(line) for line in house.services[service].log().splitlines()]
        assert lines
        assert {(line["site"], line["service"]) for line in lines} == {("plant-2", service)}
        assert all(line["node"] and line["level"] and line["timestamp"].endswith("Z") for line in lines)
    assert {json.loads(line)["node"] for line in house.services["camera"].log().splitlines()} == {"line-3"}


def test_a_node_that_is_killed_raises_an_alert(collected: Prometheus, house: House) -> None:
    """Within seconds, by name; its session waits for a slot, and that raises one, too. The last test: it is gone."""
    house.services["compute"].kill()
    found = wait_for(lambda: _both(collected), 30, "alerts")
    down = found["FoglineNodeDown"]
    assert (down["node"], down["service"], down["site"]) == ("hall-1", "compute", "plant-2")
    assert down["node_id"] == house.ids["compute"]
    shown = [query for path in BOARDS for query in queries(path) if query.panel in ("Alerts", "Lost nodes")]
    assert all(collected.query(query.filled({"site": ".*"})) for query in shown)
    left = {"registry", "camera", "ui"}  # a node that is gone is no target that fails for ever
    wait_for(lambda: {one["labels"]["service"] for one in collected.targets()} == left, 20, "list without it")


def _both(collected: Prometheus) -> dict[str, dict[str, str]] | None:
    firing = collected.firing()
    return firing if {"FoglineNodeDown", "FoglineSessionsWaiting"} <= set(firing) else None


def _has(collected: Prometheus, series: str, label: str) -> bool:
    """Whether any of the series that this asks for has the label."""
    return any(label in one["metric"] for one in collected.query(series))


def _asked(collected: Prometheus, query: Query, values: list[dict[str, str]]) -> bool:
    """Whether it gives something for one of these values of the dashboard's variables."""
    return any(collected.query(query.filled(chosen)) for chosen in values)
