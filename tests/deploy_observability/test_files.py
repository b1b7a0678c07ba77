"""What people mount into Prometheus, Grafana, Loki and Alloy: as far as it can be looked at without running them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy_observability.boards import BOARDS, OBSERVABILITY, Json, board, panels, queries, variables

RULES = OBSERVABILITY / "rules" / "fogline.yml"
RULE_TESTS = Path(__file__).parent / "rules.test.yml"
# As Grafana writes them. https://grafana.com/docs, units of the standard options
UNITS = {"short", "s", "percentunit", "bytes", "celsius", "ops", "reqps", "dateTimeFromNow", "bool_yes_no"}
TYPES = {"row", "stat", "timeseries", "table", "logs"}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no promtool in CI: ./fogline test installs Debian's package prometheus")
        pytest.skip("no promtool on this machine: ./fogline test installs it where it may")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[Json]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_promtool_takes_the_configuration_and_the_rules(promtool: str) -> None:
    """Those that people use, as they stand."""
    assert "SUCCESS" in run(promtool, "check", "config", "--syntax-only", OBSERVABILITY / "prometheus.yml")
    assert "SUCCESS" in run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_each_alert_fires_when_it_should_and_only_then(promtool: str) -> None:
    """promtool plays it through; no alert is without a moment at which it fires, and one at which it does not."""
    assert "SUCCESS" in run(promtool, "test", "rules", RULE_TESTS)
    tried: dict[str, set[bool]] = {}
    for one in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
        for moment in one.get("alert_rule_test", ()):
            tried.setdefault(moment["alertname"], set()).add(bool(moment["exp_alerts"]))
    assert tried == {rule["alert"]: {True, False} for rule in rules() if "alert" in rule}


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    """In a line and a paragraph, how bad it is, and after a time in which a restart is over."""
    for rule in rules():
        if "alert" not in rule:
            continue
        assert rule["alert"].startswith("Fogline")
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+[sm]", rule["for"])
        assert len(rule["annotations"]["summary"]) < 100
        assert len(rule["annotations"]["description"]) > 60


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    """Its ids are its own, every panel says what it shows in a known unit, and none lies on another one."""
    document = board(path)
    assert document["uid"] == path.stem
    assert "id" not in document
    assert document["schemaVersion"] >= 39
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    assert {panel["type"] for panel in document["panels"]} <= TYPES
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels(document):
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))
        assert set(_units(panel)) <= UNITS, panel["title"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_the_data_sources_that_are_chosen(path: Path) -> None:
    """By variable, and it uses no variable that it does not have, nor has one that it does not use."""
    document = board(path)
    have = set(variables(document))
    used: set[str] = set()
    for source in _sources(document):
        used.add(source["uid"].strip("${}"))
        assert source["uid"] in ("${datasource}", "${logs}")
    for query in queries(path):
        used |= set(re.findall(r"\$(\w+)", query.text))
    assert used - have <= {"__rate_interval"}
    # `site` narrows what the other variables offer.
    asked = {name for text in variables(document).values() for name in re.findall(r"\$(\w+)", text)}
    assert have <= used | asked


def test_links_between_dashboards_lead_to_one_and_set_what_it_has() -> None:
    """Each names a dashboard of ours and variables of it."""
    have = {document["uid"]: set(variables(document)) for document in map(board, BOARDS)}
    found = 0
    for path in BOARDS:
        for uid, query in re.findall(r'"/d/([\w-]+)\?([^"]*)"', path.read_text()):
            found += 1
            assert set(re.findall(r"var-(\w+)=", query)) <= have[uid], (path.name, uid, query)
    assert found > 5


def test_what_grafana_is_given_fits_together() -> None:
    """The dashboards are found where Compose mounts them, and both kinds of data source are there."""
    provisioning = OBSERVABILITY / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "fogline.yml").read_text())["datasources"]
    assert {source["type"]: source["url"] for source in sources} == {
        "prometheus": "http://prometheus:9090",
        "loki": "http://loki:3100",
    }
    assert [source["type"] for source in sources if source.get("isDefault")] == ["prometheus"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "fogline.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


def test_loki_keeps_logs_for_a_while_and_forgets_them() -> None:
    """A disk does not fill up: what it deletes it must be told to, in two places."""
    loki = yaml.safe_load((OBSERVABILITY / "loki.yml").read_text())
    assert loki["limits_config"]["retention_period"] == "336h"
    assert loki["compactor"]["retention_enabled"] is True
    assert loki["schema_config"]["configs"][-1]["store"] == "tsdb"


def test_alloy_gives_each_line_four_labels_and_no_more() -> None:
    """Those by which one looks for lines; brackets and names of components fit."""
    text = re.sub(r"//.*", "", (OBSERVABILITY / "config.alloy").read_text().replace("://", ":"))
    for opening, closing in ("{}", "[]", "()"):
        assert text.count(opening) == text.count(closing)
    (labels,) = re.findall(r"stage\.labels \{\s*values = \{(.*?)\}", text, re.DOTALL)
    assert set(re.findall(r"(\w+)\s*=", labels)) == {"level", "node", "service", "site"}
    made = {f"{kind}.{name}" for kind, name in re.findall(r'^([\w.]+) "(\w+)" \{', text, re.MULTILINE)}
    named = re.findall(r"((?:discovery|loki)\.\w+\.\w+)\.(?:targets|output|receiver)", text)
    assert set(named) == made - {"loki.source.docker.containers"}
    for name in ("FOGLINE_PROJECT", "FOGLINE_SITE", "FOGLINE_LOKI"):
        assert f'sys.env("{name}")' in text


def _units(panel: Json) -> Iterable[str]:
    yield panel["fieldConfig"]["defaults"].get("unit", "short")
    for override in panel["fieldConfig"]["overrides"]:
        for one in override["properties"]:
            if one["id"] == "unit":
                yield one["value"]


def _sources(value: Any) -> Iterable[Json]:
    if isinstance(value, dict):
        if isinstance(value.get("datasource"), dict):
            yield value["datasource"]
        for child in value.values():
            yield from _sources(child)
    elif isinstance(value, list):
        for child in value:
            yield from _sources(child)
