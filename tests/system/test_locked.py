"""A whole mesh that is locked: registry, camera and compute node, each with a key of its own, on this machine."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh import proof
from mesh.credentials import Bearer, NodeCredentials
from mesh.errors import Unauthorized
from mesh.follow import Follower
from mesh.key_files import KeyFiles
from mesh.keys import Key
from mesh.proof import Call, Ticket
from tests.processes import Running, free_port, stolen_signer, wait_for
from tests.viewers import node, picture, session, watch

Json = dict[str, Any]
SMALL = ("--source", "demo:", "--width", "320", "--height", "180", "--fps", "20")
LOCKED = ("--access", "locked")


@dataclass
class Mesh:
    """The services of one mesh, each with a data folder of its own: nodes join by a token in their environment."""

    stack: ExitStack
    folder: Path
    models: Path
    registry: Running
    token: str = ""
    nodes: dict[str, Running] = field(default_factory=dict)

    def start(self, role: str, name: str, *words: str, token: str | None = None) -> Running:
        data = self.folder / name
        data.mkdir(exist_ok=True)
        if not (data / "media").exists():
            (data / "media").symlink_to(self.models / "media")
        words = (*LOCKED, "--registry", self.registry.url, "--name", name, "--data", str(data), *words)
        environment = {"FOGLINE_JOIN_TOKEN": self.token if token is None else token}
        port, log = free_port(), self.folder / f"{name}.log"
        running = self.stack.enter_context(Running(role, *words, port=port, log=log, environment=environment))
        self.nodes[name] = running
        return running

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """As an admin."""
        url = self.registry.url + path
        answer = requests.request(method, url, json=body, headers=self.registry.shown, timeout=5)
        assert answer.ok, answer.text
        return dict(answer.json()) if answer.content else {}

    def key(self, *scopes: str) -> tuple[str, dict[str, str]]:
        """A new API key: its id, and the header with it."""
        made = self.ask("POST", "/v1/keys", {"name": "a test", "scopes": list(scopes)})
        return made["key"]["key_id"], {"Authorization": f"Bearer {made['secret']}"}

    def address(self, session_id: str, view: str = "stream", shown: dict[str, str] | None = None) -> str:
        """Where the session's view is, signed."""
        answer = requests.get(
            f"{self.registry.url}/v1/sessions/{session_id}/{view}",
            headers=shown or self.registry.shown, allow_redirects=False, timeout=5,
        )  # fmt: skip
        assert answer.status_code == 307, answer.text
        return answer.headers["Location"]

    def signer(self) -> Key:
        """The registry's own key, stolen from its folder."""
        return stolen_signer(self.folder / "registry")

    def signing_as(self, role: str, name: str) -> tuple[NodeCredentials, str]:
        """What that node shows, stolen from its folder; and its id."""
        identity = self.folder / name / "identity" / f"{role}-{name}.id"
        found = KeyFiles(identity).load()
        assert found is not None
        credentials = NodeCredentials(identity.read_text().strip())
        credentials.hold(*found)
        return credentials, credentials.node_id


@pytest.fixture(scope="module")
def mesh(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """With a camera and a compute node, for all tests here."""
    folder = tmp_path_factory.mktemp("locked")
    with ExitStack() as stack:
        short = ("--stream-seconds", "1")  # of people
        words = ("--data", str(folder / "registry"), "--redis", "memory:", "--announce", "off", *LOCKED, *short)
        registry = stack.enter_context(Running("registry", *words, port=free_port(), log=folder / "registry.log"))
        made = Mesh(stack, folder, models, registry.ready())
        made.token = made.ask("POST", "/v1/join-tokens", {"uses": 4})["secret"]
        made.start("camera", "line-3", *SMALL, "--host-cameras", "1")
        made.start("compute", "hall-1", "--algorithms", "echo")
        node(registry, "camera")
        node(registry, "compute")
        yield made


@pytest.fixture(scope="module")
def made(mesh: Mesh) -> Json:
    """A session on the camera."""
    return session(mesh.registry, "line-3", "echo", pinned=True)


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """The status of an answer, and why it is no picture."""
    with requests.get(url, headers=headers, timeout=10, stream=True) as answer:
        return answer.status_code, "" if answer.ok else str(answer.json()["detail"])


def test_an_api_key_gets_annotated_frames(mesh: Mesh, made: Json) -> None:
    """At the stable address, which leads to a signed one; a key that may only look is enough for that."""
    _, shown = mesh.key("view")
    stable = f"{mesh.registry.url}/v1/sessions/{made['session_id']}"
    parts = watch(f"{stable}/stream", 5, shown=shown)
    assert picture(parts[-1].body).shape == (180, 320, 3)
    assert "x-inference-ms" in parts[-1].headers
    follower = Follower(mesh.registry.url, made["session_id"], credentials=Bearer(shown["Authorization"][7:]))
    assert len(list(itertools.islice(follower, 5))) == 5
    assert requests.get(f"{stable}/snapshot", headers=shown, timeout=10).content[:2] == b"\xff\xd8"
    assert get(mesh.nodes["line-3"].url + "/image.jpg", shown)[0] == 200
    refused = requests.post(f"{mesh.registry.url}/v1/sessions", headers=shown, json={}, timeout=5)
    assert refused.status_code == 403, refused.text


def test_without_a_credential_that_is_good_nothing_opens(mesh: Mesh, made: Json) -> None:
    """Nothing, a wrong key, and addresses that are forged or too old, another view's, placement's or node's; and what
    was opened by a good one ends in time."""
    camera, compute = mesh.nodes["line-3"], mesh.nodes["hall-1"]
    stream = mesh.address(made["session_id"])
    plain, ticket = re.match(r"(.*?)\?.*ticket=(.*)", stream).groups()  # type: ignore[union-attr]
    assert get(stream)[0] == 200
    head, body, signature = ticket.split(".")
    now, signer, forger = time.time(), mesh.signer(), Key.new()
    forger.kid = signer.kid
    good = Ticket(
        node_id=mesh.signing_as("compute", "hall-1")[1],
        path=f"/v1/sessions/{made['session_id']}/stream",
        subject="local",
        opens_until=now + 60,
        ends=now + 60,
        session=made["session_id"],
        token=made["token"],
    )
    assert get(f"{plain}?ticket={proof.issue(signer, good)}")[0] == 200
    forged = proof.issue(forger, good)
    expired = proof.issue(signer, replace(good, opens_until=now - 2))
    wrong = {
        "nothing": (plain, None),
        "a wrong key": (plain, {"Authorization": "Bearer fgk_000000_nobody"}),
        "forged": (f"{plain}?ticket={forged}", None),
        "expired": (f"{plain}?ticket={expired}", None),
        "changed": (f"{plain}?ticket={head}.{body}.{signature[:-4]}AAAA", None),
        "of another view": (f"{plain.replace('/stream', '/snapshot')}?ticket={ticket}", None),
        "of another node": (f"{camera.url}/stream.jpg?ticket={ticket}", None),
        "nothing at the camera": (f"{camera.url}/stream.jpg", None),
        "nothing at its page": (f"{camera.url}/", None),
        "no metrics": (f"{compute.url}/metrics", None),
        "the original's call": (f"{compute.url}/echo/image.jpg?camera=line-3", None),
    }
    opened = {what: got for what, (url, shown) in wrong.items() if (got := get(url, shown))[0] != 401}
    assert not opened
    for token in (made["token"] - 1, made["token"] + 1):  # whatever the query says
        other = proof.issue(signer, replace(good, token=token))
        assert get(f"{plain}?token={made['token']}&ticket={other}")[0] == 409
    now = time.time()  # all of that may have taken a while
    ended = proof.issue(signer, replace(good, ends=now + 2))
    with requests.get(f"{plain}?ticket={ended}", stream=True, timeout=10) as answer:
        assert answer.status_code == 200, answer.text
        while answer.raw.read1(65536):
            assert time.time() < now + 5, "the stream goes on after its time"
    image = mesh.ask("POST", "/v1/tickets", {"cameras": [made["camera"]]})["cameras"][made["camera"]]["image_url"]
    assert get(image)[0] == 200
    assert requests.get(f"{camera.url}/healthz", timeout=5).ok


def test_a_nodes_proof_is_good_once(mesh: Mesh) -> None:
    """Of the node that the certificate names, for the node that it is meant for, and for one request."""
    camera = mesh.nodes["line-3"]
    credentials, _ = mesh.signing_as("compute", "hall-1")
    _, camera_id = mesh.signing_as("camera", "line-3")
    url, call = f"{camera.url}/image.jpg?width=64", Call("GET", "/image.jpg?width=64", camera_id)
    shown = credentials.headers(call, b"")
    assert get(url, shown)[0] == 200
    assert get(url, shown) == (401, "this request was sent before: each needs a proof of its own")
    for other in (Call("GET", "/image.jpg?width=65", camera_id), Call("GET", call.target, "another"), Call("GET", "/")):
        assert get(url, credentials.headers(other, b""))[0] == 401
    thief = NodeCredentials(credentials.node_id)
    thief.hold(Key.new(), shown["Fogline-Certificate"])
    assert get(url, thief.headers(call, b""))[0] == 401
    assert get(f"{camera.url}/metrics", credentials.headers(Call("GET", "/metrics", camera_id), b""))[0] == 403


def test_a_persons_stream_is_opened_again_and_again_until_the_sign_out(
    mesh: Mesh, made: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is over each second: the reference client opens it anew, and asks nobody to move anything."""
    password = "a long way home"
    mesh.ask("POST", "/v1/users", {"name": "ann", "role": "viewer", "password": password})
    signed = requests.post(f"{mesh.registry.url}/v1/sign-in", json={"name": "ann", "password": password}, timeout=10)
    person = Bearer(signed.json()["token"])
    follower = Follower(mesh.registry.url, made["session_id"], credentials=person)
    seen = [next(pictures := iter(follower))]
    while seen[-1].at - seen[0].at < 2.5:
        seen.append(next(pictures))
    assert follower.moves == 0
    monkeypatch.setattr("mesh.follow.FORGOTTEN", 0.5)
    assert max(second.at - first.at for first, second in itertools.pairwise(seen)) < 0.9
    mesh.ask("DELETE", "/v1/users/ann/sign-ins")
    until = time.monotonic() + 20
    with pytest.raises(Unauthorized):
        deque(itertools.takewhile(lambda sight: sight.at < until, pictures), maxlen=0)


def test_pictures_over_a_kept_connection_end_with_their_address(mesh: Mesh, made: Json) -> None:
    """One that may not be opened any more gives no further picture, though the connection is not looked at anew."""
    now, path = time.time(), f"/v1/sessions/{made['session_id']}/snapshot"
    ticket = Ticket(mesh.signing_as("compute", "hall-1")[1], path, "local", now + 3, now + 60, made["session_id"])
    url = f"{mesh.nodes['hall-1'].url}{path}?ticket={proof.issue(mesh.signer(), ticket)}"
    with requests.Session() as kept:
        while (status := kept.get(url, timeout=5).status_code) == 200:
            assert time.time() < now + 5
            time.sleep(0.05)
    assert status == 401
    assert time.time() > now + 2


def test_a_new_signing_key_is_known_at_once(mesh: Mesh, made: Json) -> None:
    """What it signs opens without a wait, and what the one before it signed still does."""
    before = mesh.address(made["session_id"])
    mesh.ask("POST", "/v1/signing-keys")
    assert get(mesh.address(made["session_id"]))[0] == 200
    assert get(before)[0] == 200


def test_an_added_camera_signs_as_its_host(mesh: Mesh) -> None:
    """Its pictures have addresses of their own, which are no good for its host's own camera."""
    added = mesh.ask("POST", "/v1/cameras", {"name": "gate", "source": "demo:", "width": 320, "height": 180})
    gate = node(mesh.registry, "camera", name="gate")
    tickets = mesh.ask("POST", "/v1/tickets", {"cameras": [gate["node_id"]]})
    image = tickets["cameras"][added["camera_id"]]["image_url"]
    wait_for(lambda: get(image)[0] == 200, 10, "picture")
    assert get(image.partition("?")[0])[0] == 401
    assert get(image.replace(f"/cameras/{added['camera_id']}", ""))[0] == 401
    watched = session(mesh.registry, "gate", "echo")
    assert watch(mesh.address(watched["session_id"]), 3)
    mesh.ask("DELETE", f"/v1/sessions/{watched['session_id']}")
    mesh.ask("DELETE", f"/v1/cameras/{added['camera_id']}")


def test_a_key_that_is_revoked_ends_what_it_opened(mesh: Mesh, made: Json) -> None:
    """A running stream, and pictures over a connection that is kept open, within seconds."""
    key_id, shown = mesh.key("view")
    stream, still = (mesh.address(made["session_id"], view, shown) for view in ("stream", "snapshot"))
    ended: list[float] = []
    with requests.Session() as kept, requests.get(stream, stream=True, timeout=10) as answer:

        def read() -> None:
            while answer.raw.read1(65536):
                pass
            ended.append(time.monotonic())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        assert [kept.get(still, timeout=5).status_code for _ in range(5)] == [200] * 5
        assert not ended
        mesh.ask("DELETE", f"/v1/keys/{key_id}")
        began = time.monotonic()
        wait_for(lambda: bool(ended) and kept.get(still, timeout=5).status_code == 401, 9, "end of both")
        assert ended[0] - began < 8
    assert get(stream)[0] == 401
    assert requests.get(f"{mesh.registry.url}/v1/me", headers=shown, timeout=5).status_code == 401


def test_a_node_without_a_token_says_what_to_do(mesh: Mesh) -> None:
    """It is alive, lets nobody in, and joins as soon as its folder has a token."""
    running = mesh.start("camera", "line-9", *SMALL, token="")
    words = "no join token: make one with ./fogline token create and start this with --join-token"
    wait_for(lambda: words in get(f"{running.url}/readyz")[1], 20, "words in /readyz")
    status, why = get(f"{running.url}/image.jpg", mesh.registry.shown)
    assert (status, why.startswith("this node has not joined the mesh yet: no join token")) == (503, True)
    assert requests.get(f"{running.url}/healthz", timeout=5).ok
    joining = mesh.folder / "line-9" / "joining"
    joining.mkdir()
    (joining / "token").write_text(mesh.token)
    node(mesh.registry, "camera", name="line-9")
    assert get(f"{running.url}/image.jpg", mesh.registry.shown)[0] == 200
    assert mesh.token not in running.log()
    assert running.log().count("cannot join the mesh") <= 1
    running.stop()


def test_revoking_a_node_moves_its_session(mesh: Mesh, made: Json) -> None:
    """Its own proofs are refused everywhere, and it says what has happened to it."""
    mesh.start("compute", "hall-2", "--algorithms", "echo")
    node(mesh.registry, "compute", name="hall-2")
    name = mesh.ask("GET", f"/v1/sessions/{made['session_id']}")["node_name"]
    victim = mesh.nodes[name]
    credentials, node_id = mesh.signing_as("compute", name)
    _, camera_id = mesh.signing_as("camera", "line-3")
    mesh.ask("DELETE", f"/v1/enrolments/{node_id}")

    def moved() -> bool:
        found = mesh.ask("GET", f"/v1/sessions/{made['session_id']}")
        return found["node_name"] not in (None, name) and found["state"] == "running"

    wait_for(moved, 10, "session on the other node")
    assert watch(f"{mesh.registry.url}/v1/sessions/{made['session_id']}/stream", 3, shown=mesh.registry.shown)
    call = Call("GET", "/image.jpg", camera_id)
    url = mesh.nodes["line-3"].url + "/image.jpg"
    wait_for(lambda: get(url, credentials.headers(call, b"")) == (401, "this was revoked"), 9, "refusal by the camera")
    wait_for(lambda: "this node was revoked: to let it in again" in get(f"{victim.url}/readyz")[1], 9, "its words")


def test_streams_go_on_without_the_registry(mesh: Mesh, made: Json) -> None:
    """And what is shown is still checked; a key that was good a moment ago is good still, an unknown one is not."""
    _, shown = mesh.key("view")
    image = mesh.nodes["line-3"].url + "/image.jpg"
    stream = mesh.address(made["session_id"])
    assert get(image, shown)[0] == 200
    with requests.get(stream, stream=True, timeout=10) as answer:
        mesh.registry.kill()
        until = time.monotonic() + 4.5  # longer than a lease
        while time.monotonic() < until:
            assert answer.raw.read1(65536)
        assert get(stream)[0] == 200
        assert get(f"{stream}x")[0] == 401
        assert get(image, shown)[0] == 200
        status, why = get(image, {"Authorization": "Bearer fgk_000000_nobody"})
        assert (status, "cannot be found out" in why) == (503, True)
