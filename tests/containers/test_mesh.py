"""The mesh as the compose file starts it, on a real engine: seen from outside its containers, hurt, and removed."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, expect

from tests.calm import browsing, changing
from tests.containers.project import BUILD_SECONDS, Project, docker, engine_answers, free_ports, project, this_host
from tests.gaps import Viewer
from tests.processes import ROOT, wait_for
from tests.viewers import watch

SERVICES = ("redis", "registry", "ui", "demo", "compute")
PERSON = {"name": "anna", "password": "a long enough password"}
RIGHTS = """
id -u; grep CapEff /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2
for place in / /etc /opt /home; do touch "$place/x" 2>/dev/null && echo "wrote $place"; done; echo end
"""
REPORTS = ROOT / ".reports"  # what a run leaves to look at: the table of times and sizes, the screenshot
Json = dict[str, Any]
pytestmark = [
    pytest.mark.skipif(not engine_answers(), reason="no container engine answers on this machine"),
    pytest.mark.timeout(BUILD_SECONDS + 300),
]


@dataclass
class Mesh:
    """compose: the project. ui, registry: where both are, from outside. headers: an admin's. took: seconds of what was
    done, for the table."""

    compose: Project
    ui: str
    registry: str
    link: str
    headers: dict[str, str] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = requests.request(method, self.registry + path, json=body, headers=self.headers, timeout=10)
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code} {answer.text}")  # who waits asks again
        return dict(answer.json()) if answer.content else {}

    def nodes(self, kind: str) -> dict[str, Json]:
        """Those that are ready, by id."""
        found = self.ask("GET", f"/v1/nodes?kind={kind}")["nodes"]
        return {node["node_id"]: node for node in found if node["state"] == "ready"}

    def ready(self, kind: str, count: int, seconds: float = 60) -> dict[str, Json]:
        """So many of them, as soon as they are ready."""

        def look() -> dict[str, Json] | None:
            found = self.nodes(kind)
            return found if len(found) == count else None

        return wait_for(look, seconds, f"{count} {kind} nodes that are ready")

    def session(self, **wish: Any) -> Json:
        return self.ask("POST", "/v1/sessions", {"camera": "demo", "algorithm": "yolo", **wish})

    def key(self) -> str:
        """An API key's secret."""
        made: str = self.ask("POST", "/v1/keys", {"name": "test", "scopes": ["view", "operate"]})["secret"]
        return made


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Up, with a first admin, on ports that nobody else has."""
    first, host = free_ports(10), this_host()
    variables = {
        "FOGLINE_ADDRESS": host,
        "FOGLINE_REGISTRY_PORT": str(first),
        "FOGLINE_UI_PORT": str(first + 1),
        "FOGLINE_CAMERA_PORTS": f"{first + 2}-{first + 5}",
        "FOGLINE_COMPUTE_PORTS": f"{first + 6}-{first + 9}",
        "FOGLINE_COMPUTE_NAME": "worker",
    }
    REPORTS.mkdir(exist_ok=True)
    with project("mesh", variables) as compose:
        compose.build()
        began = time.monotonic()
        with changing():
            compose("up", "--detach", "--wait", seconds=180)
        up = time.monotonic() - began
        link = compose.cli("user", "link")
        one = Mesh(compose, f"http://{host}:{first + 1}", f"http://{host}:{first}", link)
        one.took["up --wait, images built"] = up
        signed_in = requests.post(
            f"{one.registry}/v1/setup", json={"token": link.partition("#")[2], **PERSON}, timeout=10
        ).json()
        one.headers = {"Authorization": f"Bearer {signed_in['token']}"}
        yield one
        with changing():
            one.compose("down", "--volumes", "--timeout", "5")
        assert one.compose.left() == []
        report(one)


def changes(picture: Locator) -> None:
    before = picture.screenshot()
    wait_for(lambda: picture.screenshot() != before, 30, "another picture in the tile")


def report(mesh: Mesh) -> None:
    """The table of times and sizes, as a file."""
    base = int(docker("image", "inspect", "python:3.11-slim-bookworm", "--format", "{{.Size}}"))
    lines = [f"{what}: {seconds:.2f} s" for what, seconds in mesh.took.items()]
    for role in ("registry", "ui", "camera", "compute"):
        size = int(docker("image", "inspect", f"fogline/{role}", "--format", "{{.Size}}"))
        lines.append(f"fogline/{role}: {size / 1e6:.0f} MB, {(size - base) / 1e6:.0f} MB over its base")
    (REPORTS / "containers.txt").write_text("\n".join(lines) + "\n")


def test_two_commands_and_a_sign_in_lead_to_annotated_pictures(mesh: Mesh) -> None:
    """Nodes have joined by themselves; nothing is open; a session's pictures come through the published ports."""
    assert mesh.link.startswith(f"{mesh.ui}/setup#fgl_")
    assert requests.get(f"{mesh.registry}/v1/nodes", timeout=5).status_code == 401
    mesh.ready("camera", 1)
    (compute,) = mesh.ready("compute", 1).values()
    assert compute["name"] == "worker"
    session = mesh.session()
    began = time.monotonic()
    frames = watch(session["stream_url"], 5, 60)
    mesh.took["first annotated pictures of a session"] = time.monotonic() - began
    assert all("x-inference-ms" in frame.headers for frame in frames)
    assert compute["url"].startswith(mesh.ui.rpartition(":")[0])


def test_the_dashboard_is_seen_from_outside(mesh: Mesh, browser: Browser) -> None:
    """With nothing but its own port: it passes on the pictures of nodes that the browser could not reach."""
    mesh.session()
    with browsing():
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{mesh.ui}/sign-in")
        page.locator("#sign-in input[name=name]").fill(PERSON["name"])
        page.locator("#sign-in input[name=password]").fill(PERSON["password"])
        page.locator("#sign-in button").click()
        expect(page).to_have_url(f"{mesh.ui}/")
        picture = page.locator(".tile", has_text="yolo").locator("canvas")
        expect(picture).to_be_visible(timeout=30_000)
        changes(picture)  # the first picture comes
        changes(picture)  # and it moves
        page.screenshot(path=REPORTS / "dashboard.png")
        page.close()
    assert all(url.startswith((mesh.ui, "data:", "blob:")) for url in asked), asked


def test_more_compute_nodes_by_one_word(mesh: Mesh) -> None:
    """`--scale compute=3`: each a node of its own, found at a port of its own."""
    before = mesh.ready("compute", 1)
    began = time.monotonic()
    with changing():
        mesh.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "compute=3", seconds=180)
    nodes = mesh.ready("compute", 3)
    mesh.took["--scale compute=3"] = time.monotonic() - began
    assert set(before) < set(nodes)
    assert {node["name"] for node in nodes.values()} == {"worker", "worker-2", "worker-3"}
    assert len({node["url"] for node in nodes.values()}) == 3


def test_a_stream_moves_when_its_container_is_killed_and_the_node_comes_back(mesh: Mesh) -> None:
    """kill -9 of the compute node that serves it: the viewer sees another one's pictures; the engine starts it again,
    and it is the node that it was."""
    nodes = mesh.ready("compute", 3)
    session = mesh.session()
    with Viewer(mesh.registry, session["session_id"], key=mesh.key()) as viewer:
        viewer.runs(seconds=60)
        serving = nodes[mesh.ask("GET", f"/v1/sessions/{session['session_id']}")["node"]]
        port = re.sub(r".*:", "", serving["url"])
        (victim,) = [
            one
            for one in mesh.compose.containers("compute")
            if one["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"] == port
        ]
        began = time.monotonic()
        with changing():
            mesh.compose.crash(victim)
            wait_for(lambda: viewer.nodes(began)[-1:] not in ([], [serving["url"]]), 20, "another node's pictures")
            mesh.took["gap of a stream whose container was killed"] = viewer.gap(began)
            back = mesh.ready("compute", 3)
        mesh.took["until the killed container's node was ready again"] = time.monotonic() - began
        viewer.runs()
    assert set(back) == set(nodes)


@pytest.mark.parametrize("service", ["redis", "registry"])
def test_nothing_is_lost_with_redis_or_the_registry(mesh: Mesh, service: str) -> None:
    """kill -9 of its container: streams run on, and afterwards every node, session, person and key is there."""
    key = wait_for(mesh.key, 20, "a key, once Redis is back from the case before")
    session = mesh.session()

    def known() -> tuple[set[str], ...]:
        nodes = {*mesh.ready("compute", 3), *mesh.ready("camera", 1)}
        sessions = {one["session_id"] for one in mesh.ask("GET", "/v1/sessions")["sessions"]}
        people = {one["name"] for one in mesh.ask("GET", "/v1/users")["users"]}
        return nodes, sessions, people

    before = known()
    with Viewer(mesh.registry, session["session_id"], key=key) as viewer:
        viewer.runs(seconds=60)
        if service == "redis":  # while the disk is busy, what it has acknowledged is in its file a moment later only
            at_once = ("config", "set", "appendfsync", "no")
            mesh.compose("exec", "-T", service, "redis-cli", "-s", "/data/redis.sock", *at_once)
        began = time.monotonic()
        (container,) = mesh.compose.containers(service)
        with changing():
            mesh.compose.crash(container)
            wait_for(lambda: known() == before, 60, f"the mesh as it was before {service} was killed")
        mesh.took[f"until everything was there again after {service} was killed"] = time.monotonic() - began
        viewer.runs()
        mesh.took[f"longest gap of a stream meanwhile ({service})"] = viewer.gap(began)
    shown = {"Authorization": f"Bearer {key}"}
    assert requests.get(f"{mesh.registry}/v1/nodes", headers=shown, timeout=5).ok


def test_another_host_joins_with_one_file_and_two_variables(mesh: Mesh, tmp_path: Path) -> None:
    """A project with a network of its own that has nothing but deploy/join.yml: its node gets work, and its pictures
    come at the port that is published there."""
    file = Path(shutil.copy(ROOT / "deploy" / "join.yml", tmp_path / "join.yml"))
    token = mesh.compose.cli("token", "create", "--uses", "1", "--expires", "1h")
    secret = re.search(r"fgj_\S+", token)
    assert secret
    first = free_ports(4)
    two = {"FOGLINE_REGISTRY": mesh.registry, "FOGLINE_JOIN_TOKEN": secret[0]}
    # And two more, for in truth it is the same machine: it has nodes at these ports and of this name already.
    here = {"FOGLINE_COMPUTE_PORTS": f"{first}-{first + 3}", "FOGLINE_COMPUTE_NAME": "second-host"}
    before = mesh.nodes("compute")
    began = time.monotonic()
    with project("join", two | here, file) as other:
        with changing():
            other("up", "--detach", "--wait", seconds=120)
        nodes = mesh.ready("compute", len(before) + 1)
        mesh.took["a second host: from its command to a ready node"] = time.monotonic() - began
        (joined,) = [node for ident, node in nodes.items() if ident not in before]
        assert joined["name"] == "second-host"
        session = wait_for(  # its algorithms are still being loaded
            lambda: mesh.session(node=joined["node_id"], algorithm="echo"), 30, "session on the second host"
        )
        assert watch(session["stream_url"], 5, 60)
        with changing():
            other("down", "--volumes", "--timeout", "10")
        mesh.ready("compute", len(before))
        assert other.left() == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_nobody_and_can_write_nowhere(mesh: Mesh, service: str) -> None:
    """Not root, no capability, no way to new ones, a file system that is read-only."""
    user, capabilities, no_new, *wrote = mesh.compose("exec", "-T", service, "sh", "-c", RIGHTS).split("\n")
    assert user != "0"
    assert int(capabilities, 16) == 0
    assert no_new == "1"
    assert [line for line in wrote if line] == ["end"]


def test_only_the_registry_reaches_redis_and_the_keys(mesh: Mesh) -> None:
    """A camera that is taken over finds neither."""
    assert mesh.compose("exec", "-T", "registry", "ls", "/data/admin/key", "/redis/redis.sock")
    for service in ("ui", "demo", "compute"):
        look = "ls /data/admin /redis 2>/dev/null; touch /data/joining/x 2>/dev/null && echo wrote; echo end"
        assert mesh.compose("exec", "-T", service, "sh", "-c", look).strip() == "end"


def test_secrets_are_in_no_log(mesh: Mesh) -> None:
    """Of any container, after all this."""
    logs = mesh.compose("logs", "--no-color")
    for secret in (mesh.link.partition("#")[2], mesh.headers["Authorization"][7:], PERSON["password"], "fgj_", "fgk_"):
        assert secret not in logs


def test_every_service_stops_in_time(mesh: Mesh) -> None:
    """`docker compose stop` of each takes at most five seconds, and nodes leave the mesh instead of being missed."""
    nodes = mesh.nodes("compute")
    for service in ("compute", "demo", "ui", "registry"):
        with changing():
            began = time.monotonic()
            mesh.compose("stop", "--timeout", "10", service)
            mesh.took[f"stop {service}"] = time.monotonic() - began
        if service == "compute":
            listed = {one["node_id"]: one["state"] for one in mesh.ask("GET", "/v1/nodes?kind=compute")["nodes"]}
            assert not {ident: state for ident, state in listed.items() if ident in nodes}
    for service in ("compute", "demo", "ui", "registry"):
        for line in mesh.compose("ps", "--all", "--format", "{{.ExitCode}}", service).split():
            assert line in ("0", "143"), (service, line)
