"""What the services say of themselves, what the paper says, and what they do are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import requests

from tests.processes import ROOT, Running, free_port

ROLES = ("registry", "camera", "compute", "ui")
COMMON = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    folder: Path = tmp_path_factory.mktemp("services")
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "pictures" / "a.jpg"), np.full((48, 64, 3), 90, np.uint8))
    running: dict[str, Running] = {}
    more = {"camera": ("--source", str(folder / "pictures")), "compute": ("--algorithms", "echo")}
    try:
        for role in ROLES:
            join = () if role == "registry" else ("--registry", running["registry"].url)
            running[role] = Running(
                role, "--data", str(folder), *join, *more.get(role, ()), port=free_port(), log=folder / f"{role}.log"
            )
        for one in running.values():
            one.ready()
        yield running
    finally:
        for one in reversed(running.values()):
            one.stop()


@pytest.mark.parametrize("role", ROLES)
def test_every_call_is_described_and_documented(services: dict[str, Running], role: str) -> None:
    """OpenAPI 3.1 lists it, /docs shows it, and docs/contract.md has it."""
    spec = requests.get(f"{services[role].url}/openapi.json", timeout=5).json()
    assert spec["openapi"].startswith("3.1")
    assert set(spec["paths"]) >= COMMON
    page = requests.get(f"{services[role].url}/docs", timeout=5).text
    paper = (ROOT / "docs" / "contract.md").read_text()
    for path, methods in spec["paths"].items():
        assert path in page
        if path in COMMON:
            continue
        for method in methods:
            assert f"`{method.upper()} {path}" in paper, (role, method.upper(), path)


@pytest.mark.parametrize("role", ROLES)
def test_metrics_have_our_prefix_and_health_is_alive(services: dict[str, Running], role: str) -> None:
    """Base units, one prefix, and a version."""
    text = requests.get(f"{services[role].url}/metrics", timeout=5).text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names
    assert all(name.startswith("fogline_") for name in names), names
    assert requests.get(f"{services[role].url}/healthz", timeout=5).json()["status"] == "ok"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/no/such/thing"), ("PUT", "/healthz"), ("POST", "/openapi.json")]
)
def test_errors_are_problem_documents(services: dict[str, Running], role: str, method: str, path: str) -> None:
    """RFC 9457 everywhere, with words, and no trace."""
    answer = requests.request(method, f"{services[role].url}{path}", timeout=5)
    assert 400 <= answer.status_code < 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
