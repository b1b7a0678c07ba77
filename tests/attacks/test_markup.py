"""What a node or a person says is shown as text, on every page, whatever it is made of."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.attacks.conftest import Start
from tests.attacks.markup import MARKUP, PATH, PLAIN, SCRIPT, Trap, Words, origin, trap
from tests.processes import wait_for
from tests.registry.fakes import FakeNode, Registry
from tests.registry.onvif_device import answer, device, match, network
from tests.ui.fake_registry import FakeRegistry
from tests.ui.fakes import FakeCamera, FakeCompute, Handler
from tests.ui.locked_mesh import PASSWORD, locked_mesh

Json = dict[str, Any]
PAGES = ("/", "/nodes", "/cameras", "/access", "/audit", "/account", "/about", "/sign-in", "/docs")


class Hostile(FakeNode):
    """A node that says payloads wherever words go, and as a camera host why it runs none of the cameras it is given."""

    problem = ""

    def beat(self, **load: Any) -> requests.Response:
        answered = super().beat(**({"no_signal": self.problem} if self.manifest["kind"] == "camera" else {}), **load)
        if self.manifest.get("hosting"):
            path, boot_id = f"/v1/nodes/{self.node_id}/cameras", self.manifest["boot_id"]
            added = self._registry.json("/v1/cameras")["cameras"]
            problems = {one["camera_id"]: self.reason for one in added}
            body = {"boot_id": boot_id, "capacity": 4, "cameras": [], "problems": problems}
            self._registry.post(path, body).raise_for_status()
        return answered

    reason = ""


def hostile_fields(words: Words, kind: str) -> Json:
    """Every string of a manifest, and some that it has not."""
    strange = {words.plain(f"{kind} field's name"): [{"deep": words.plain(f"{kind} unknown field")}]}
    fields = {key: words.plain(f"{kind} {key}") for key in ("name", "host_name", "FriendlyName", "ip_address")}
    more = {key: words.plain(f"{kind} {key}", 60) for key in ("version", "cpu", "ram")}
    labels = {"place": f"{words.plain(f'{kind} label')[:8]} javascript:alert/1"}
    made = fields | more | strange | {"labels": labels, "accelerators": [words.plain(f"{kind} accelerator", 80)]}
    if kind == "camera":
        said = {key: words.plain(f"camera {key}") for key in ("source", "source_host")}
        return made | said | {"type": words.plain("camera type"), "hosting": 4}
    entry = {key: words.plain(f"algorithm {key}") for key in ("name", "category", "class", "path", "model", "engine")}
    return made | {"algorithm": [{"id": "yolo", "fps": 20.0, **entry}]}


def original_fields(words: Words, kind: str) -> Json:
    fields = {
        key: words.plain(f"original {kind} {key}") for key in ("host_name", "name", "FriendlyName", "type", "ram")
    }
    keys = ("name", "category", "class", "path") if kind == "device" else ()
    entry = {key: words.plain(f"original {kind} algorithm {key}") for key in keys}
    strange = {words.plain("original's field's name"): [{"deep": words.plain("original's unknown field")}]}
    return {**fields, **strange, "ip_address": "127.0.0.1", "algorithm": [entry] if kind == "device" else []}


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


@pytest.fixture(scope="module")
def said(start_once: Start, words: Words) -> Iterator[tuple[Registry, str]]:
    """A mesh of real services in which everybody says payloads: its registry, and its dashboard's address."""
    registry = Registry(start_once("registry", "--redis", "memory:", "--announce", "off", "--beat-seconds", "0.5"))
    ui = start_once("ui", "--registry", registry.url)
    compute = Hostile(registry, "compute", **hostile_fields(words, "compute"))
    compute.manifest["advertise_url"] = f"{compute.url}/{PATH}"
    camera = Hostile(registry, "camera", **hostile_fields(words, "camera"))
    camera.problem, camera.reason = words.markup("no_signal"), words.markup("host's problem")
    registry.nodes += [compute, camera]
    added = registry.post("/v1/cameras", {"name": words.plain("added camera"), "source": f"http://10.0.0.5/{PATH}"})
    assert added.status_code == 201, added.text
    for node in (compute, camera):
        node.join().live()
    for kind, path in (("cam", "/cam"), ("device", "/device")):
        assert registry.post(path, original_fields(words, kind)).ok
    session = registry.open(camera.node_id, "yolo", pinned=True)
    problem = words.markup("session's problem")
    compute.serves(session, problem=problem)
    people(registry, words)

    def told() -> bool:
        overview = requests.get(f"{ui.url}/api/overview", timeout=5).text
        return all(one[:7] in overview for one in (problem, camera.problem, camera.reason))

    wait_for(told, 10, "dashboard that has heard of every problem")
    yield registry, ui.url
    registry.close()


def people(registry: Registry, words: Words) -> None:
    """Everything that a person names."""
    for path, name in (("keys", "API key"), ("join-tokens", "join token")):
        body = {"name": words.plain(name, 100), "scopes": ["view"], "uses": 1}
        answered = registry.post(f"/v1/{path}", body)
        assert answered.status_code == 201, answered.text
    assert registry.post("/v1/users", {"name": "a.b_c@d-e", "role": "viewer"}).ok


def services(registry: Registry) -> list[str]:
    """Their addresses, those at which the original's are by custom included."""
    return [
        registry.url,
        *(node.url for node in registry.nodes),
        *(f"http://127.0.0.1:{port}" for port in (5000, 8000)),
    ]


def visit(caught: Trap, ui: str, session: str, pages: tuple[str, ...] = PAGES) -> None:
    """Every page of the dashboard, its dialogs opened."""
    page = caught.page
    for path in (*pages, f"/s/{session}"):
        page.goto(ui + path, wait_until="load")
        # Some lists come after the page.
        expect(page.locator("[data-part=waiting]:visible")).to_have_count(0, timeout=10_000)
        page.wait_for_timeout(300)
        caught.look()
        if path == "/":
            page.goto(f"{ui}/?algorithm=yolo", wait_until="load")
            expect(page.locator("#start")).to_be_visible()
            caught.look("start dialog")
        elif path == "/cameras":
            page.goto(f"{ui}/cameras#add", wait_until="load")
            expect(page.get_by_role("dialog")).to_be_visible()
            caught.look("dialog of a camera")


def test_all_that_is_said_is_text(browser: Browser, said: tuple[Registry, str], words: Words) -> None:
    """Manifests, beats, problems, cameras, names of people, keys and tokens, what was tried at the door: each is shown
    on some page, and none runs, leads away or needs the policy to be stopped."""
    registry, ui = said
    session = registry.json("/v1/sessions")["sessions"][0]["session_id"]
    with trap(browser, words, ui, *services(registry)) as caught:
        visit(caught, ui, session)
        for path in ("/", "/docs"):
            caught.page.goto(registry.url + path, wait_until="load")
            caught.look()
        unseen = caught.unseen()
    # Of these the pages show nothing; lists have them, as JSON.
    hidden = (
        "unknown field",
        "field's name",
        "ip_address",
        "label",
        " type",
        "class",
        "category",
        "source_host",
        "ram",
    )
    left = [one for one in unseen if not one.endswith(hidden)]
    assert not left, left


def test_cameras_that_are_found_on_the_network_are_text(
    browser: Browser, said: tuple[Registry, str], words: Words
) -> None:
    """What answers the search says its name, its make and its place."""
    registry, ui = said
    scopes = " ".join(
        f"onvif://www.onvif.org/{key}/{quote(words.markup(f'found {key}')[:150], safe='')}"
        for key in ("name", "hardware", "location")
    )

    def answers(message: str) -> list[bytes]:
        return [answer(message, match(f"urn:uuid:{uuid.uuid4()}", scopes=scopes))]

    # The trap first: what addresses this machine has changes while others make networks.
    with trap(browser, words, ui, *services(registry)) as caught, ExitStack() as ends:
        ends.enter_context(device(answers, network()))
        caught.page.goto(f"{ui}/cameras#add", wait_until="load")
        dialog = caught.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Look for cameras").click()
        option = dialog.get_by_role("button", name="zq")
        expect(option.first).to_be_visible(timeout=15_000)
        caught.look("found cameras")
        option.first.click()
        caught.look("form filled in")
        assert [one for one in caught.unseen() if one.startswith("found")] == []


FORGED = '{"entry_id":"1-1","at":1,"who":"anna","address":"10.0.0.9","action":"sign-in"}'


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u0085", "\u2028", "\u2029"])
def test_the_audit_keeps_one_entry_a_line(said: tuple[Registry, str], end: str) -> None:
    """No name makes another entry, for readers that know more ends of a line than JSON lines have, either; nor does one
    that was tried at the door."""
    registry, _ui = said
    registry.post("/v1/cameras", {"name": f"gate {end}{FORGED}{end}", "source": "http://10.0.0.6/"})
    registry.post("/v1/sign-in", {"name": f"x{end}{FORGED}", "password": "certainly wrong"})
    lines = registry.get("/v1/audit?format=jsonl").content.decode().splitlines()
    entries = [json.loads(line) for line in lines]
    assert "anna" not in {entry["who"] for entry in entries}
    assert [entry for entry in entries if "gate" in entry["subject"]] or end in ("\n", "\r\n"), "it was refused"


MEANT = {
    *("node_id", "kind", "state", "session_id", "node", "camera", "camera_id", "id", "type", "schema", "role"),
    *("key_id", "token_id", "entry_id", "scopes"),
}


def poisoned(words: Words, document: Any, path: str = "") -> Any:
    """`document` with a payload in every string but those by which pages find their way; addresses become scripts."""
    if isinstance(document, dict):
        return {key: one if key in MEANT else poisoned(words, one, f"{path}.{key}") for key, one in document.items()}
    if isinstance(document, list):
        return [poisoned(words, one, path) for one in document]
    if isinstance(document, str):
        return SCRIPT if path.endswith("url") else words.markup(path)
    return document


class Poisoned(FakeRegistry):
    """A registry that lets everything through, or that somebody has taken over."""

    def __init__(self, words: Words) -> None:
        self.words = words
        super().__init__()

    def route(self, request: Handler, method: str, path: str) -> None:
        now = time.time()
        key = {"key_id": "k1", "name": "", "scopes": ["view"], "created_at": now, "created_by": "", "last_address": ""}
        entry = {"entry_id": "1-1", "at": now, "who": "", "address": "", "action": "", "subject": "", "outcome": ""}
        token = {"token_id": "t1", "name": "", "uses": 2, "uses_left": 1, "created_at": now, "created_by": ""}
        joined = {"node_id": "n1", "kind": "camera", "name": "", "kid": "", "enrolled_at": now, "token_name": ""}
        lists: dict[str, Json] = {
            "/v1/users": {"users": [{"name": "", "role": "admin", "created_at": now}]},
            "/v1/keys": {"keys": [{**key, "last_used": now}]},
            "/v1/audit": {"entries": [entry], "next_cursor": None},
            "/v1/join-tokens": {"tokens": [{**token, "expires_at": now + 99}]},
            "/v1/enrolments": {"enrolments": [{**joined, "renewed_at": now, "revoked_at": now, "revoked_by": ""}]},
            "/v1/me": {"kind": "local", "name": "", "scopes": ["admin", "view", "operate", "detect"]},
        }
        if path in lists and method == "GET":
            request.send_json(poisoned(self.words, lists[path], path))
        else:
            super().route(request, method, path)

    def listed(self, name: str) -> list[Json]:
        if name == "nodes":
            return super().listed(name)
        return [poisoned(self.words, one, name) for one in super().listed(name)]


def test_a_registry_that_lies_makes_no_page_run_anything(browser: Browser, start_once: Start) -> None:
    """The dashboard does not rely on what the registry refuses: markup in every string, scripts as addresses; labels,
    models and reasons of nodes' own answers likewise."""
    words = Words()
    with ExitStack() as ends:
        registry = Poisoned(words)
        honest, liar, camera = FakeCompute(), FakeCompute(), FakeCamera()
        for fake in (registry, honest, liar, camera):
            ends.callback(fake.down)
        ids = [registry.add_camera(camera, "c"), registry.add_camera(camera, "d", state="unreachable")]
        nodes = [registry.add_compute(honest, "n"), registry.add_compute(liar, "m")]
        for node_id in (*ids, *nodes):
            told = poisoned(words, registry.nodes[node_id], "node")
            # One of each kind keeps its address, so that its pictures come.
            registry.nodes[node_id] = {**told, "state_reason": words.markup("reason"), "algorithm": []} | (
                {"url": registry.nodes[node_id]["url"]} if node_id in (ids[0], nodes[0]) else {}
            )
            if node_id in nodes:
                entry = {"id": "yolo", "fps": 20.0, **{k: words.markup(f"algorithm {k}") for k in ("name", "model")}}
                registry.nodes[node_id]["algorithm"] = [entry]
        camera.no_signal = MARKUP.encode().decode("latin-1").replace("\u2028", "")
        honest.labels = [words.markup("label")]
        honest.stats["stages"] = {words.markup("stage"): {"count": 2, "mean": 1.0, "p50": 1.0, "p99": 2.0}}
        honest.stats["dropped"] = {words.markup("dropped"): 7}
        made = [registry.add_session(one, "yolo", node) for one, node in zip(ids, nodes, strict=True)]
        for session in made:
            lies = {key: words.markup(f"session {key}") for key in ("why", "state_reason", "camera_name", "node_name")}
            registry.sessions[session["session_id"]] = session | lies
        addresses = [key for key in made[1] if key.endswith("_url")]
        registry.sessions[made[1]["session_id"]] |= dict.fromkeys(addresses, SCRIPT)
        registry.cameras["x"] = {
            **{"camera_id": "x", "revision": 1, "name": words.markup("added"), "source": words.markup("source")},
            **{"width": None, "height": None, "fps": None, "verify": True, "draft": False, "host": nodes[0]},
            **{"host_name": words.markup("host"), "host_wanted": words.markup("wanted"), "state": "failing"},
            **{"state_reason": words.markup("added's reason"), "url": SCRIPT, "created_at": 0.0, "changed_at": 0.0},
        }
        ui = start_once("ui", "--registry", registry.url)
        with trap(browser, words, ui.url, registry.url, camera.url, honest.url, liar.url) as caught:
            pages = tuple(path for path in PAGES if path not in ("/about", "/sign-in", "/docs"))
            visit(caught, ui.url, made[0]["session_id"], pages)
            visit(caught, ui.url, made[1]["session_id"], ())
            assert len(caught.shown) > 25


def test_a_nodes_own_pages_are_text(browser: Browser, start_once: Start) -> None:
    """A camera's page and a compute node's, whose name, source and algorithms somebody chose badly."""
    words = Words()
    registry = start_once("registry", "--redis", "memory:", "--announce", "off")
    name = words.markup("name")[:190]
    join = ("--registry", registry.url)
    with trap(browser, words) as caught:
        refused = _ended("camera", *join, "--name", name, "--source", "demo:")
        assert "name" in refused.lower()
        camera = start_once("camera", *join, "--name", words.plain("camera's name"), "--source", f"/no/{PLAIN[:50]}")
        compute = start_once("compute", *join, "--name", words.plain("node's name"), "--algorithms", f"echo,{PATH}")
        caught.allowed |= {origin(one.url) for one in (registry, camera, compute)}
        for one in (camera, compute):
            for path in ("/", "/docs"):
                caught.page.goto(one.url + path, wait_until="load")
                caught.look()
        assert "camera's name" not in caught.unseen()


def _ended(role: str, *arguments: str) -> str:
    """What a service says that does not start."""
    command = [sys.executable, "-m", "cli", role, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode
    return done.stdout + done.stderr


LINKS = [
    "/s/%22%27%3E%3Cimg%20src=x%20onerror=__run()%3E", "/s/{{__run()}}%00", "/%3Csvg%20onload=__run()%3E",
    "/language/%3Cscript%3E__run()%3C/script%3E", "/?start=%22%3E%3Cimg%20src=x%20onerror=__run()%3E&algorithm=x",
    "/setup#%22%3E%3Cimg%20src=x%20onerror=__run()%3E", "/nodes#javascript:__run()", "/cameras#%3Cimg%20onerror=%3E",
    "/relay/sessions/%3Cscript%3E__run()%3C%2Fscript%3E/snapshot", "/audit?x=%3Cscript%3E__run()%3C/script%3E",
]  # fmt: skip


def test_an_address_is_text_too(browser: Browser, said: tuple[Registry, str]) -> None:
    """What a link from elsewhere puts into the address of a page."""
    registry, ui = said
    with trap(browser, Words(), ui, *services(registry)) as caught:
        for path in LINKS:
            caught.page.goto(ui + path, wait_until="load")
            caught.look()


ELSEWHERE = [
    "javascript:__run()", "data:text/html,<script>parent.__run()</script>", "//evil.invalid/", "/\\evil.invalid/",
    "/\t/evil.invalid/", "/..//evil.invalid/", "https:evil.invalid", "/%2f/evil.invalid",
]  # fmt: skip


def test_who_signs_in_stays_here(browser: Browser, tmp_path: Path) -> None:
    """Where a link to the sign-in or to another language says that it leads afterwards is a page of ours, or the wall,
    for who signs in there and for who has done so."""
    with locked_mesh(tmp_path) as mesh, trap(browser, Words(), mesh.ui) as caught:
        page, name = caught.page, mesh.person("viewer")
        for wanted in ELSEWHERE:
            page.goto(f"{mesh.ui}/sign-in?next={quote(wanted, safe='')}", wait_until="commit")
            if wanted == ELSEWHERE[0]:
                _sign_in(page, name)
            page.wait_for_url(lambda url: "/sign-in" not in url, wait_until="domcontentloaded")
            assert origin(page.url) == mesh.ui, wanted
            caught.look()
            back = {"back": wanted}
            answered = requests.get(f"{mesh.ui}/language/en", back, allow_redirects=False, timeout=5)
            assert re.match(r"/(?![/\\]|\.\.)", answered.headers["Location"]), wanted


def _sign_in(page: Page, name: str) -> None:
    # Before that the page is not whole, or Enter does nothing.
    expect(page.locator("#sign-in [data-part=go]")).to_be_enabled()
    opener = page.get_by_text("I have a name and a password")
    if opener.is_visible():
        opener.click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
