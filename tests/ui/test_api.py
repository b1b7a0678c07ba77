"""The dashboard's calls, before a registry that may go."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.processes import ROOT, wait_for
from tests.ui.conftest import Mesh

UI = ROOT / "ui"
SECONDS = 5  # until the dashboard has noticed something


def overview(mesh: Mesh) -> dict[str, Any]:
    answer = requests.get(f"{mesh.ui}/api/overview", timeout=10)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def wish(mesh: Mesh, **headers: str) -> requests.Response:
    body = {"camera": mesh.camera_id, "algorithm": "yolo"}
    return requests.post(f"{mesh.ui}/api/sessions", json=body, headers=headers, timeout=10)


def test_the_overview_is_what_the_registry_lists(mesh: Mesh) -> None:
    """Nodes, algorithms and sessions come in one answer."""
    found = overview(mesh)
    assert found["registry"]["ok"]
    assert found["registry"]["reason"] is None
    assert not found["stale"]
    assert {node["node_id"] for node in found["nodes"]} == {mesh.camera_id, mesh.compute_id}
    assert {algorithm["id"] for algorithm in found["algorithms"]} == {"yolo", "haar"}
    assert found["sessions"] == []


def test_many_browsers_cost_the_registry_one_call(mesh: Mesh) -> None:
    """Twenty pages that ask at once are answered from one reading."""
    overview(mesh)
    mesh.registry.requests.clear()
    began = time.monotonic()
    for _ in range(20):
        overview(mesh)
    allowed = 1 + int((time.monotonic() - began) / 0.5)
    assert sum(one.startswith("GET /v1/nodes") for one in mesh.registry.requests) <= allowed


def test_a_registry_that_goes_leaves_the_last_known_marked_stale(mesh: Mesh) -> None:
    """The overview says since when and why, keeps what was known, and is fresh again when the registry is back."""
    known = overview(mesh)["nodes"]
    mesh.registry.down()
    gone = wait_for(lambda: (o := overview(mesh)) and o["stale"] and o, SECONDS, "stale overview")
    assert not gone["registry"]["ok"]
    assert "does not answer" in gone["registry"]["reason"]
    assert abs(gone["registry"]["since"] - time.time()) < 2 * SECONDS
    assert {node["node_id"] for node in gone["nodes"]} == {node["node_id"] for node in known}
    assert gone["age_seconds"] >= 0
    mesh.registry.up()
    wait_for(lambda: not overview(mesh)["stale"], SECONDS, "fresh overview")


def test_a_registry_without_redis_is_told_too(mesh: Mesh) -> None:
    """Lists that the registry marks as stale are not passed on as true."""
    mesh.registry.stale = 12.0
    found = wait_for(lambda: (o := overview(mesh)) and o["stale"] and o, SECONDS, "stale overview")
    assert "Redis" in found["registry"]["reason"]
    assert found["age_seconds"] >= 12
    assert len(found["nodes"]) == 2


def test_pages_load_while_the_registry_is_away(mesh: Mesh) -> None:
    """The dashboard's work is to say what is wrong: it stays ready, and its pages come."""
    mesh.registry.down()
    for path in ("/", "/s/anything", "/about", "/readyz"):
        assert requests.get(f"{mesh.ui}{path}", timeout=10).status_code == 200, path


def test_a_session_is_started_and_stopped(mesh: Mesh) -> None:
    """Starting answers what the registry made; stopping twice is no error."""
    made = wish(mesh)
    assert made.status_code == 201
    session = made.json()
    assert session["node"] == mesh.compute_id
    wait_for(
        lambda: [s["session_id"] for s in overview(mesh)["sessions"]] == [session["session_id"]], SECONDS, "session"
    )
    address = f"{mesh.ui}/api/sessions/{session['session_id']}"
    assert requests.get(address, timeout=10).json()["algorithm"] == "yolo"
    assert requests.delete(address, timeout=10).status_code == 204
    assert requests.delete(f"{mesh.ui}/api/sessions/never-was", timeout=10).status_code == 204
    wait_for(lambda: overview(mesh)["sessions"] == [], SECONDS, "no session")


def test_what_the_registry_refuses_is_passed_on_in_its_words(mesh: Mesh) -> None:
    """A full mesh is a 503 that says so; a malformed wish is refused with the field's path."""
    mesh.registry.nodes[mesh.compute_id]["sessions"] = 4
    full = wish(mesh)
    assert full.status_code == 503
    assert "every node is full" in full.json()["detail"]
    wrong = requests.post(f"{mesh.ui}/api/sessions", json={"camera": 3, "algorithm": "yolo"}, timeout=10)
    assert wrong.status_code == 422
    assert wrong.json()["field"] == "camera"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
    ],
    ids=lambda headers: " ".join(*headers.items()),
)
def test_other_sites_pages_change_nothing(mesh: Mesh, headers: dict[str, str]) -> None:
    """A page of elsewhere can neither start nor stop a session."""
    assert wish(mesh, **headers).status_code == 403
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    address = f"{mesh.ui}/api/sessions/{session['session_id']}"
    assert requests.delete(address, headers=headers, timeout=10).status_code == 403
    assert session["state"] == "running"
    assert len(mesh.registry.sessions) == 1


def test_a_form_of_another_page_is_no_request(mesh: Mesh) -> None:
    """What a page may send without asking first, a form or plain text, is not read as JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        body = f'{{"camera":"{mesh.camera_id}","algorithm":"yolo"}}'
        answer = requests.post(f"{mesh.ui}/api/sessions", data=body, headers={"Content-Type": kind}, timeout=10)
        assert answer.status_code == 415
    assert not mesh.registry.sessions
    assert wish(mesh, Origin=mesh.ui).status_code == 201


@pytest.mark.parametrize("view", ["stream", "snapshot", "detections"])
def test_a_sessions_address_leads_to_the_node_that_serves_it_now(mesh: Mesh, view: str) -> None:
    """Also after a move, and also while the registry is away."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    address = f"{mesh.ui}/sessions/{session['session_id']}/{view}"

    def target() -> tuple[int, str]:
        answer = requests.get(address, params={"fps": "5"}, allow_redirects=False, timeout=10)
        return answer.status_code, answer.headers.get("Location", "")

    assert target() == (307, f"{session[f'{view}_url']}?fps=5")
    session |= {"token": 2, f"{view}_url": f"http://10.0.0.9:8000/{view}"}
    assert target() == (307, f"http://10.0.0.9:8000/{view}?fps=5")
    wait_for(lambda: "10.0.0.9" in str(overview(mesh)), SECONDS, "moved session in the overview")
    mesh.registry.down()
    assert target() == (307, f"http://10.0.0.9:8000/{view}?fps=5")


def test_a_session_without_a_node_is_worth_another_try(mesh: Mesh) -> None:
    """While it is placed: 503 with the reason. After its end: 404. Never to an address that is no web address."""
    waiting = mesh.registry.add_session(mesh.camera_id, "yolo", None, state_reason="every node is full")
    answer = requests.get(f"{mesh.ui}/sessions/{waiting['session_id']}/stream", timeout=10)
    assert answer.status_code == 503
    assert "every node is full" in answer.json()["detail"]
    assert answer.headers["Retry-After"]
    waiting |= {"stream_url": "javascript:alert(1)"}
    assert requests.get(f"{mesh.ui}/sessions/{waiting['session_id']}/stream", timeout=10).status_code == 503
    waiting |= {"state": "ended"}
    assert requests.get(f"{mesh.ui}/sessions/{waiting['session_id']}/stream", timeout=10).status_code == 404


def test_nothing_foreign_runs_in_our_pages(mesh: Mesh) -> None:
    """The policy allows scripts and styles of our own files only, and no page holds any inline."""
    for path in ("/", "/s/anything", "/about"):
        answer = requests.get(f"{mesh.ui}{path}", timeout=10)
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        scripts = re.findall(r"<script([^>]*)>", answer.text)
        assert all("src=" in tag or 'type="application/json"' in tag for tag in scripts)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", answer.text)
        links = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert all(link.startswith(("/", "#")) for link in links), links
        for link in links:
            if link.startswith("/assets"):
                assert requests.get(mesh.ui + link.partition("#")[0], timeout=10).ok, link


def test_data_cannot_close_the_script_that_carries_it(mesh: Mesh) -> None:
    """The overview is written into the page; a name with markup stays a name."""
    mesh.registry.nodes[mesh.camera_id]["name"] = "</script><script>alert(1)</script>"
    wait_for(lambda: "alert(1)" in str(overview(mesh)), SECONDS, "name in the overview")
    text = requests.get(mesh.ui, timeout=10).text
    assert "<script>alert" not in text
    assert "\\u003cscript\\u003ealert" in text


@pytest.mark.parametrize(
    "path", ["package.json", "../package.json", "%2e%2e/package.json", "pico.min.css/../package.json", "app.py"]
)
def test_only_listed_files_of_libraries_are_served(mesh: Mesh, path: str) -> None:
    """The folder that npm fills, and our own code, are not open."""
    assert requests.get(f"{mesh.ui}/assets/vendor/{path}", timeout=10).status_code == 404
    assert requests.get(f"{mesh.ui}/assets/x/..%2fapp.py", timeout=10).status_code == 404


def test_every_call_is_described(mesh: Mesh) -> None:
    """The description lists each of the dashboard's own routes."""
    paths = requests.get(f"{mesh.ui}/openapi.json", timeout=10).json()["paths"]
    assert {"/", "/s/{session_id}", "/api/overview", "/api/sessions", "/sessions/{session_id}/stream"} <= set(paths)
    assert requests.get(f"{mesh.ui}/docs", timeout=10).ok
    assert "fogline_ui_registry_up" in requests.get(f"{mesh.ui}/metrics", timeout=10).text


def test_the_lock_file_names_no_host() -> None:
    """Where packages come from is the machine's business."""
    lock = (UI / "package-lock.json").read_text()
    assert "://" not in lock
    assert "integrity" in lock


def test_missing_libraries_are_told_with_the_remedy(tmp_path: Path) -> None:
    """The page says what to run, and readiness says the same."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from mesh.audience import Audience  # noqa: PLC0415
    from mesh.client import RegistryClient  # noqa: PLC0415
    from ui.access import Access, DashboardGuard  # noqa: PLC0415
    from ui.addresses import Addresses  # noqa: PLC0415
    from ui.app import create_app  # noqa: PLC0415
    from ui.assets import STATIC, Assets  # noqa: PLC0415
    from ui.overview import Overview  # noqa: PLC0415
    from ui.relay import Relay  # noqa: PLC0415
    from ui.sign_ins import SignIns  # noqa: PLC0415

    client = RegistryClient("http://127.0.0.1:9")
    audience = Audience(9, None, lambda: None)
    overview = Overview(client, audience)
    access = Access(client, SignIns(client), lambda: True)
    addresses = Addresses(overview, lambda: True, "direct")
    page = create_app(
        access,
        overview,
        Assets(STATIC, tmp_path),
        CollectorRegistry(),
        DashboardGuard(access),
        addresses=addresses,
        relay=Relay(addresses, audience, access),
    ).test_client()
    for path in ("/", "/readyz"):
        answer = page.get(path)
        assert answer.status_code == 503
        assert "npm ci" in answer.text
