"""A locked mesh runs with everything that has a secret; then every place that others can read is searched for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
import requests

from mesh import doors
from mesh.credentials import ADMIN_KEY, JOIN_TOKEN, METRICS_KEY, SETUP_LINK
from mesh.keys import Key
from tests.attacks.leaks import Heard, Secrets, beginning, command_lines, everything, files, hearing, is_private
from tests.attacks.locked_house import House, locked_house
from tests.camera_node.pictures import picture
from tests.camera_node.rtsp_server import RtspCamera
from tests.camera_node.web_server import WebCamera, still
from tests.processes import Running, free_port, wait_for

SOURCES = {"password of an added camera", "password of a failing camera", "password in a query"}
READERS = 8  # answers that are read at once: of most that have no end one hears nothing for a while
# What a call has just made is told once, to who made it.
MAKING = {
    *("POST /v1/keys", "POST /v1/join-tokens", "POST /v1/sign-in", "POST /v1/setup", "POST /v1/users"),
    *("POST /v1/users/anna/link", "POST /api/sign-in", "POST /api/setup"),
}
MADE = {"API key", "join token", "bearer", "cookie", "one-time link", "first link"}


@dataclass
class Run:
    """What was left of it. stored: Redis, by key."""

    secrets: Secrets
    data: Path
    heard: list[Heard] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    commands: bytes = b""
    stored: dict[str, bytes] = field(default_factory=dict)
    held: list[tuple[Path, set[str], bool]] = field(default_factory=list)  # files with secrets: which, whether private


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("secrets")
    secrets = Secrets()
    with hearing() as heard, ExitStack() as ends:
        house = ends.enter_context(locked_house(folder, "--allowed-networks", "127.0.0.0/8", "--legacy-open"))
        made = Run(secrets, house.data, heard)
        running = [*house.services.values(), *nodes(house, secrets, folder, ends)]
        cameras(house, secrets, ends)
        people(house, secrets)
        programs(house, secrets)
        trouble(house, secrets)
        every_door(house, made)
        for what, place in (
            ("admin key", ADMIN_KEY),
            ("key for figures", METRICS_KEY),
            ("this machine's join token", JOIN_TOKEN),
        ):
            secrets.note(what, (house.data / place).read_text().strip().split("_", 2)[2])
        secrets.note("signing key", house.signer().secret())
        for file in (house.data / "identity").glob("*.key"):
            key = Key.load(file)
            assert key is not None
            secrets.note(f"key of {file.stem}", key.secret())
            secrets.note(f"key of {file.stem}, as a file has it", file.read_text().splitlines()[1])
        made.commands = command_lines(one.process.pid for one in running)
        store = redis.Redis(unix_socket_path=str(house.data / "valkey" / "valkey.sock"))
        made.stored = everything(store)
        store.save()
        made.held = [
            (file, found, is_private(file, folder))
            for file, text in files(house.data)
            if (found := secrets.within(text))
        ]
        ends.close()
        made.logs = {file.name: text for file, text in files(folder) if file.suffix == ".log"}
        yield made


def nodes(house: House, secrets: Secrets, folder: Path, ends: ExitStack) -> list[Running]:
    """A camera of one's own with a password, and another compute node to move to."""
    camera = ends.enter_context(RtspCamera([picture(64, 48, seed=n) for n in range(3)]))
    password = secrets.note("password of an own camera", "seCret-of:source/1")
    source = f"rtsp://user:{quote(password, safe='')}@127.0.0.1:{camera.port}/live?token={password[:6]}"
    shared = ("--access", "locked", "--data", str(house.data), "--registry", house.registry.url)
    environment = {"FOGLINE_SOURCE": source}
    named, echo = ("--name", "gate-1"), ("--name", "hall-2", "--algorithms", "echo")
    begun = [
        ends.enter_context(one)
        for one in (
            Running("camera", *shared, *named, port=free_port(), log=folder / "gate.log", environment=environment),
            Running("compute", *shared, *echo, port=free_port(), log=folder / "hall-2.log"),
        )
    ]
    for one in begun:
        one.ready(60)
    names = {"gate-1", "hall-2"}
    wait_for(lambda: names <= {one["name"] for one in house.ask("GET", "/v1/nodes?state=ready")["nodes"]}, 20, "nodes")
    return begun


def cameras(house: House, secrets: Secrets, ends: ExitStack) -> None:
    """Added ones: by RTSP, by HTTP with a password in the query, one that is not there, and wishes that are refused."""
    rtsp = ends.enter_context(RtspCamera([picture(64, 48, seed=n) for n in range(3)]))
    web = ends.enter_context(WebCamera(still(lambda _n: picture())))
    added = secrets.note("password of an added camera", "seCret-added-2")
    failing = secrets.note("password of a failing camera", "seCret-failing-3")
    query = secrets.note("password in a query", "seCret-query-4")
    refused = secrets.note("password of a refused camera", "seCret-refused-5")
    sources = {
        "shed": f"rtsp://user:{added}@127.0.0.1:{rtsp.port}/live",
        "yard": f"http://{web.host}/still.jpg?user=op&password={query}",
    }
    ids = {
        name: house.ask("POST", "/v1/cameras", {"name": name, "source": source})["camera_id"]
        for name, source in sources.items()
    }
    wait_for(lambda: set(ids) <= running_cameras(house), 20, "added cameras")
    house.ask("PATCH", f"/v1/cameras/{ids['yard']}", {"source": f"rtsp://user:{failing}@127.0.0.1:{free_port()}/live"})
    wait_for(lambda: house.ask("GET", f"/v1/cameras/{ids['yard']}")["state"] == "failing", 20, "failing camera")
    house.ask("PATCH", f"/v1/cameras/{ids['yard']}", {"source": sources["yard"]})
    spoiled = [
        f"ftp://user:{refused}@127.0.0.1/", f"rtsp://user:{refused}@8.8.8.8/", f"http://user:{refused}/@127.0.0.1/",
        f"rtsp://user:{refused}@169.254.169.254/", f"rtsp://[user:{refused}@x/", f"rtsp://user:{refused}@127.0.0.1:x/",
        f"user:{refused}@127.0.0.1", f"rtsp://user:<{refused}>@127.0.0.1/",
    ]  # fmt: skip
    for source in spoiled:
        for method, path in (("POST", "/v1/cameras"), ("PATCH", f"/v1/cameras/{ids['shed']}")):
            assert ask(house, method, path, {"name": "no", "source": source}).status_code == 422, source
    assert ask(house, "POST", "/v1/sessions", {"camera": sources["shed"], "algorithm": "echo"}).status_code in (
        404,
        422,
    )


def running_cameras(house: House) -> set[str]:
    return {one["name"] for one in house.ask("GET", "/v1/cameras")["cameras"] if one["state"] == "running"}


def people(house: House, secrets: Secrets) -> None:
    """Links, passwords, wrong ones, and pages: at the registry and at the dashboard."""
    ui = house.services["ui"].url
    first = secrets.note("first link", (house.data / SETUP_LINK).read_text().strip())
    password = secrets.note("password", "corRect horse-6 & more")
    browser = requests.Session()
    browser.headers["Sec-Fetch-Site"] = "same-origin"
    browser.post(f"{ui}/api/setup", json={"token": first, "name": "anna", "password": password}).raise_for_status()
    assert (
        browser.post(f"{ui}/api/setup", json={"token": first, "name": "eve", "password": password}).status_code == 401
    )
    secrets.note("cookie", str(browser.cookies["fogline"]))
    for path in ("/", "/cameras", "/nodes", "/access", "/audit", "/account", "/api/overview", "/api/me", "/api/users"):
        assert browser.get(ui + path).ok, path
    session = house.session["session_id"]
    for path in (f"/s/{session}", f"/sessions/{session}/snapshot", f"/relay/sessions/{session}/snapshot"):
        assert browser.get(ui + path, allow_redirects=False).status_code in (200, 307), path
    signed_in = post(house, "/v1/sign-in", {"name": "anna", "password": password}).json()
    secrets.note("bearer", signed_in["token"])
    wrong = secrets.note("wrong password", "wRong-password-7")
    for name in ("anna", wrong):
        for url in (f"{house.registry.url}/v1/sign-in", f"{ui}/api/sign-in"):
            assert browser.post(url, json={"name": name, "password": wrong}).status_code == 401
    changed = secrets.note("new password", "chAnged-password-8")
    shown = {"Authorization": f"Bearer {signed_in['token']}"}
    for body in (
        {"old": wrong, "new": changed},
        {"old": password, "new": [changed]},
        {"old": password, "new": changed},
    ):
        requests.post(f"{house.registry.url}/v1/me/password", json=body, headers=shown, timeout=10)
    link = house.ask("POST", "/v1/users/anna/link")
    secrets.note("one-time link", link["token"])
    half = f'{{"name": "anna", "password": "{changed}"'.encode()
    for spoiled in (half, json.dumps({"name": "anna", "password": {"x": changed}}).encode()):
        kind = {"Content-Type": "application/json"}
        answered = requests.post(f"{house.registry.url}/v1/sign-in", data=spoiled, headers=kind, timeout=10)
        assert answered.status_code in (400, 422)


def programs(house: House, secrets: Secrets) -> None:
    """An API key in each way in which one is shown, and a join token."""
    _key_id, key = house.key("view", "detect", "operate")
    secrets.note("API key", key.split("_", 2)[2])
    token = house.ask("POST", "/v1/join-tokens", {"uses": 1, "name": "press shop"})["secret"]
    secrets.note("join token", token.split("_", 2)[2])
    url, session = house.registry.url, house.session["session_id"]
    for service in ("camera", "compute"):
        requests.get(f"{house.services[service].url}/", headers={"Authorization": f"Bearer {key}"}, timeout=10)
    for path in (f"/v1/sessions/{session}/snapshot", f"/v1/sessions/{session}/stats", f"/v1/sessions/{session}"):
        assert requests.get(url + path, auth=("key", key), timeout=10, allow_redirects=False).status_code in (200, 307)
    followed = requests.get(f"{url}/v1/sessions/{session}/snapshot", auth=("key", key), timeout=10)
    assert followed.ok, followed.text
    # Somebody puts it where it does not belong.
    for query in (f"?key={key}", f"?ticket={key}", f"?token={token}"):
        requests.get(f"{url}/v1/nodes{query}", timeout=10)
        requests.get(f"{house.services['camera'].url}/image.jpg{query}", timeout=10)
    requests.get(f"{url}/v1/nodes", headers={"Authorization": f"Bearer {key[:-3]}xyz"}, timeout=10)
    requests.get(f"{url}/v1/users/{key}", headers={"Authorization": f"Basic {key}"}, timeout=10)
    requests.post(f"{url}/v1/join", json={"token": token, "node_id": "x", "kind": "camera"}, timeout=10)


def trouble(house: House, secrets: Secrets) -> None:
    """A session moves by failover and by draining, and nodes end and come back to it."""
    session = house.session["session_id"]
    found = house.ask("GET", f"/v1/sessions/{session}")
    house.ask("POST", f"/v1/sessions/{session}/failover", {"token": found["token"]})
    moved = wait_for(lambda: ran(house, session, found["node"]), 20, "session elsewhere")
    house.ask("POST", f"/v1/nodes/{moved}/drain")
    wait_for(lambda: ran(house, session, moved), 20, "session that has left the node that is drained")
    house.ask("POST", f"/v1/nodes/{moved}/undrain")
    house.join("compute", "revoked-node")
    house.ask("DELETE", "/v1/enrolments/revoked-node")


def ran(house: House, session: str, before: str) -> str | None:
    now = house.ask("GET", f"/v1/sessions/{session}")
    return str(now["node"]) if now["state"] == "running" and now["node"] != before else None


def every_door(house: House, made: Run) -> None:
    """All that can be read, as an admin reads it."""
    session, camera = house.session["session_id"], house.ask("GET", "/v1/cameras")["cameras"][0]["camera_id"]
    ids = {"<session_id>": session, "<camera_id>": camera, "<node_id>": house.ids["camera"], "<view>": "snapshot"}
    places: list[tuple[str, str]] = []
    for service, table in doors.SERVICES.items():
        for door in table:
            method, path = door.split(" ")
            for name, value in ids.items():
                path = path.replace(name, value)
            if method != "GET" or "<" in path or path.endswith("/discovered"):
                continue
            places.append((service, path))
    with ThreadPoolExecutor(READERS) as readers:
        made.heard += readers.map(lambda place: read(house, *place), places)


def read(house: House, service: str, path: str) -> Heard:
    """What comes first of the answer to an admin."""
    url = house.services[service].url + path
    answer = requests.get(url, headers=house.registry.shown, timeout=10, stream=True)
    head = json.dumps(dict(answer.headers)).encode()
    return Heard(f"GET {path} of {service}", head + beginning(answer))


def ask(house: House, method: str, path: str, body: Any) -> requests.Response:
    return requests.request(method, house.registry.url + path, json=body, headers=house.registry.shown, timeout=10)


def post(house: House, path: str, body: Any) -> requests.Response:
    answer = requests.post(house.registry.url + path, json=body, timeout=10)
    assert answer.ok, answer.text
    return answer


def test_the_search_finds_what_is_there() -> None:
    """Plain, encoded, and inside of what was encoded."""
    secrets = Secrets()
    secrets.note("it", "pass/word+1")
    for text in (
        "a pass/word+1",
        "pass%2Fword%2B1",
        "dXNlcjpwYXNzL3dvcmQrMQ==",
        "cGFzcy93b3JkKzE=",
        "b3A6cGFzcy93b3JkKzE",
    ):
        assert secrets.within(text.encode()) == {"it"}, text
    assert not secrets.within(b"pass/word+2")


def test_no_answer_tells_a_secret(run: Run) -> None:
    """No list, manifest, event, metric, page, problem or header has one, but for the answer that made it."""
    assert len(run.heard) > 150
    told = [(one.what, run.secrets.within(one.data) - (MADE if one.what in MAKING else set())) for one in run.heard]
    assert not [(what, found) for what, found in told if found]
    assert any(b"gate-1" in one.data for one in run.heard)


def test_no_log_tells_a_secret(run: Run) -> None:
    """Of no service, nor Valkey's."""
    assert {"registry.log", "camera.log", "ui.log", "gate.log", "valkey.log"} <= set(run.logs)
    told = {name: found for name, text in run.logs.items() if (found := run.secrets.within(text))}
    assert not told, told
    # Nor a part of a signed address or a certificate. Of keys the logs tell 12 random letters, which may hold the three
    # first ones of those by chance.
    assert [name for name, text in run.logs.items() if re.search(rb"eyJ[\w-]{10}", text)] == []


def test_no_command_line_tells_a_secret(run: Run) -> None:
    """Of no process, nor of those that it starts."""
    assert b"compute" in run.commands
    assert not run.secrets.within(run.commands)


def test_redis_keeps_no_secret_of_people_and_programs(run: Run) -> None:
    """Hashes of all, but for the two that the documentation names: the registry's signing key, and the sources of added
    cameras, each in its own keys."""
    held = {key: found for key, text in run.stored.items() if (found := run.secrets.within(text))}
    places = {what: {key for key, found in held.items() if what in found} for what in run.secrets.values}
    kept = {what: keys for what, keys in places.items() if keys}
    assert set(kept) - SOURCES == {"signing key"}, kept
    assert all(":camera:" in key for what in SOURCES for key in kept.get(what, ())), kept
    assert kept["password of an added camera"]


def test_files_with_secrets_are_for_their_owner_alone(run: Run) -> None:
    """Each has mode 0600, or lies in a folder of mode 0700, but for the key for figures, which Prometheus reads by its
    group; and those of people are in no file at all."""
    open_to_others = [(str(file), found) for file, found, private in run.held if not private]
    grouped = (str(run.data / METRICS_KEY), {"key for figures"})
    assert grouped in open_to_others
    assert (run.data / METRICS_KEY).stat().st_mode & 0o027 == 0
    open_to_others.remove(grouped)
    assert not open_to_others, open_to_others
    where = {str(file.relative_to(run.data)): found for file, found, _private in run.held}
    for what in ("password", "new password", "wrong password", "bearer", "cookie", "API key", "one-time link"):
        assert not [name for name, found in where.items() if what in found], what
    assert where[str(ADMIN_KEY)] == {"admin key"}
