"""The registry describes itself: OpenAPI, health, metrics."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from registry.app import RegistryService
from registry.redis_store import sources
from registry.settings import RegistrySettings
from tests.registry.fakes import Registry


@pytest.fixture(scope="module")
def app() -> Flask:
    """The application, not started: making it opens no connection."""
    return RegistryService(RegistrySettings(redis="redis://127.0.0.1:9/0")).application()


def test_every_rule_is_described(app: Flask) -> None:
    """A route without a description would be missing in the document."""
    with app.test_client() as client:
        document = client.get("/openapi.json").get_json()
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    rules = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == described
    assert ("/v1/sessions/{session_id}/failover", "post") in described


def test_the_document_is_openapi_3_1(app: Flask) -> None:
    """Every reference leads somewhere, every operation has answers, every path variable is a parameter."""
    with app.test_client() as client:
        document = client.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["responses"]
            variables = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert all(f"{{{name}}}" in path for name in variables)
            assert path.count("{") == len(variables)
    for reference in _references(document):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert target


def test_an_answer_fits_its_description(registry: Registry) -> None:
    """The described fields are those that come."""
    registry.camera()
    registry.compute("hall-1")
    registry.open()
    schemas = registry.json("/openapi.json")["components"]["schemas"]
    for path, name in (("nodes", "NodeDocument"), ("sessions", "SessionDocument"), ("algorithms", "AlgorithmDocument")):
        for document in registry.json(f"/v1/{path}")[path]:
            assert set(schemas[name]["required"]) <= set(document), name


def test_metrics_count_what_happens(registry: Registry) -> None:
    """Nodes and sessions by state; placements and beats."""
    registry.camera()
    registry.node("compute", "hall-1", slots=1).join().beat()
    registry.open()
    registry.post("/v1/sessions", {"camera": "line-3", "algorithm": "yolo", "width": 64})
    text = registry.get("/metrics").text
    for line in (
        'fogline_registry_nodes{kind="camera",state="ready"} 1.0',
        'fogline_registry_nodes{kind="compute",state="full"} 1.0',
        'fogline_registry_sessions{state="placed"} 1.0',
        "fogline_registry_placements_total 1.0",
        "fogline_registry_refusals_total 1.0",
        "fogline_registry_stale 0.0",
    ):
        assert line in text, line
    assert registry.get("/docs").ok


def test_every_change_is_a_script_with_its_purpose() -> None:
    """One file each, which begins by saying what it does; none uses what Redis 6.2 lacks."""
    for name, text in sources().items():
        assert text.startswith("-- "), name
        for missing in ("redis.call('HEXPIRE", "redis.call('FUNCTION", "redis.call('EXPIRE'", "os.time"):
            assert missing not in text, name


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for child in value.values() for found in _references(child)]
    if isinstance(value, list):
        return [found for child in value for found in _references(child)]
    return []
