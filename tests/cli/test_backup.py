"""`./fogline backup` and `restore`: a registry that lost everything is what it was, for people, programs and nodes."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from click.testing import CliRunner, Result

from cli.main import fogline
from mesh.errors import Conflict, InvalidInput, SetupProblem
from registry import archive
from registry.access import backup as copy
from registry.access import signers
from registry.access.ca import Authority
from registry.access.memory_book import MemoryBook
from registry.memory.store import MemoryStore
from registry.settings import RegistrySettings
from tests.processes import Running, free_port, wait_for
from tests.registry.servers import Server

PASSWORD = "a long enough password"
SOURCE = "rtsp://viewer:hunter2@10.99.0.5/stream"
Json = dict[str, Any]


def call(*words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(fogline, words, input=stdin)


class House:
    """A locked registry. `lost` ends it, and its data folder is gone."""

    def __init__(self, data: Path, *words: str, port: int = 0) -> None:
        self.data = data
        options = ("--data", str(data), "--access", "locked", "--announce", "off", *words)
        self.running = Running("registry", *options, port=port or free_port(), log=data.with_suffix(".log"))

    def ask(self, method: str, path: str, body: Json | None = None, secret: str = "") -> requests.Response:
        shown = {"Authorization": f"Bearer {secret}"} if secret else self.running.shown
        return requests.request(method, self.running.url + path, json=body, headers=shown, timeout=5)

    def json(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = self.ask(method, path, body)
        assert answer.ok, answer.text
        return dict(answer.json())

    def signs_in(self, name: str) -> bool:
        words = {"name": name, "password": PASSWORD}
        return requests.post(f"{self.running.url}/v1/sign-in", json=words, timeout=10).ok

    def lists(self, name: str) -> bool:
        """Whether a node is ready that is called so."""
        answer = self.ask("GET", "/v1/nodes?state=ready")
        answer.raise_for_status()  # it is being started, or its Redis is: whoever waits asks again
        return name in [one["name"] for one in answer.json()["nodes"]]

    def lost(self) -> None:
        family = psutil.Process(self.running.process.pid).children(recursive=True)
        self.running.kill()
        left = psutil.wait_procs(family, 10)[1]  # its Valkey ends when it sees that nobody is there
        assert not left
        shutil.rmtree(self.data)


@contextmanager
def house(data: Path, *words: str, port: int = 0) -> Iterator[House]:
    made = House(data, *words, port=port)
    with made.running:
        made.running.ready()
        yield made


def test_who_lost_everything_goes_on_from_the_backup(start: Callable[..., Running], tmp_path: Path) -> None:
    """A registry on a Valkey of its own is copied while it runs and put back before it runs again: the same password,
    key and join token are good, a node goes on with the certificate it has, an added camera has its source."""
    data, file, port = tmp_path / "registry", str(tmp_path / "mesh.json"), free_port()
    with house(data, port=port) as old:
        old.json("POST", "/v1/users", {"name": "anna", "role": "admin", "password": PASSWORD})
        key = old.json("POST", "/v1/keys", {"name": "vlc", "scopes": ["view", "metrics"]})["secret"]
        token = old.json("POST", "/v1/join-tokens", {"uses": 2, "expires_in": 3600})["secret"]
        camera = old.json("POST", "/v1/cameras", {"name": "yard", "source": SOURCE, "width": 320})
        join = ("--source", "none", "--host-cameras", "1", "--name", "gate", "--access", "locked")
        at, given = ("--registry", old.running.url), {"FOGLINE_JOIN_TOKEN": token}
        gate = start("camera", *join, *at, data=tmp_path / "gate", environment=given)
        wait_for(lambda: old.lists("gate"), 20, "node")
        done = call("backup", file, "--data", str(data))
        assert done.exit_code == 0, (done.output, done.exception)
        assert "1 people, 1 API keys, 1 join tokens, 1 nodes that have joined, 1 signing keys, 1 added" in done.stderr
        assert "holds secrets" in done.stderr
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
        assert "hunter2" in Path(file).read_text()
        for secret in (key, token):
            assert secret.split("_", 2)[2] not in Path(file).read_text()
        old.lost()
    done = call("restore", file, "--data", str(data))
    assert done.exit_code == 0, (done.output, done.exception)
    with house(data, port=port) as new:
        assert new.signs_in("anna")
        assert new.ask("GET", "/v1/nodes", secret=key).ok
        wait_for(lambda: new.lists("gate"), 20, "the node again")
        assert gate.log().count("joined the mesh's trust") == 1
        (listed,) = new.json("GET", "/v1/enrolments")["enrolments"]
        assert (listed["name"], listed["token_name"]) == ("gate", "join token")
        assert [one["uses_left"] for one in new.json("GET", "/v1/join-tokens")["tokens"]] == [1]
        (added,) = new.json("GET", "/v1/cameras")["cameras"]
        assert (added["camera_id"], added["width"]) == (camera["camera_id"], 320)
        assert call("backup", "-", "--data", str(data)).stdout.count("hunter2") == 1
        assert "backup restored" in [one["action"] for one in new.json("GET", "/v1/audit")["entries"]]


def test_a_registry_that_runs_and_is_not_empty_is_replaced_only_when_that_is_said(tmp_path: Path) -> None:
    """Then it has what is in the backup and nothing else, but for the keys of its own machine, which it makes anew."""
    with Server(tmp_path / "one") as one, Server(tmp_path / "two") as two:
        first = ("--redis", one.url)
        with house(tmp_path / "first", *first) as old:
            old.json("POST", "/v1/users", {"name": "anna", "role": "admin", "password": PASSWORD})
            kept = call("backup", "-", *first, "--data", str(old.data)).stdout_bytes
        second = ("--redis", two.url)
        with house(tmp_path / "second", *second) as new:
            new.json("POST", "/v1/users", {"name": "mallory", "role": "admin", "password": PASSWORD})
            new.json("POST", "/v1/cameras", {"name": "yard", "source": SOURCE})
            there = ("restore", "-", *second, "--data", str(new.data))
            refused = call(*there, stdin=kept).exception
            assert isinstance(refused, Conflict)
            assert "nothing was changed: it has 1 people, 1 added cameras" in refused.detail
            assert new.signs_in("mallory")
            done = call(*there, "--replace", stdin=kept)
            assert done.exit_code == 0, (done.output, done.exception)
            assert "Restored from the backup of 20" in done.stdout
            assert new.signs_in("anna")
            assert not new.signs_in("mallory")
            wait_for(lambda: new.ask("GET", "/v1/users").ok, 10, "a new key of this machine")
            assert [one["name"] for one in new.json("GET", "/v1/users")["users"]] == ["anna"]
            assert new.json("GET", "/v1/cameras")["cameras"] == []
            assert call(*there, stdin=kept).exception is not None


@pytest.fixture
def document() -> Json:
    """A backup with one person and the signing keys."""
    book = MemoryBook()
    book.put("mesh", copy.IDENTITY, b'{"book_id":"b"}')
    signers.ensure(book, 1.0)
    person = {"name": "anna", "role": "admin", "created_at": 1, "uid": "u", "era": "e", "later": 1}
    book.put("user", "anna", json.dumps(person).encode())
    taken = archive.take(book, MemoryStore(RegistrySettings()), Path("/nonexistent"))
    return dict(json.loads(archive.written(taken)))


def break_role(document: Json) -> None:
    document["book"]["user"]["anna"]["role"] = "king"


def break_signer(document: Json) -> None:
    document["book"]["signer"]["keys"]["keys"][0]["public"] = "A" * 43


def take_two(document: Json) -> None:
    camera = {"camera_id": "c", "revision": 1, "name": "yard", "source": "demo:"}
    document["cameras"] = [{"camera": camera}] * 2


def break_authority(document: Json) -> None:
    document["authority"] = {"certificate": "no PEM", "key": "no PEM"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_role, "book.user.anna: Invalid enum value 'king'"),
        (break_signer, "book.signer.keys: a private key is not that of its public one"),
        (take_two, "cameras: two have one id or name"),
        (break_authority, "authority: ca.pem or ca.key"),
        (lambda document: document.pop("book_id"), "missing required field `book_id`"),
        (lambda document: document["book"].update(dog={}), "book.dog: there is no such kind"),
        (lambda document: document.update(format="other"), "\"format\" is 'other'"),
        (lambda document: document.update(version=2, made_by="0.9"), "made by Fogline 0.9 in format 2"),
    ],
)
def test_a_document_that_is_not_sound_is_refused_whole(
    document: Json, damage: Callable[[Json], object], words: str
) -> None:
    """With the place that is wrong, before anything is written; so is a newer format."""
    assert archive.read(json.dumps(document).encode()).counts()["people"] == 1
    damage(document)
    with pytest.raises(InvalidInput) as refused:
        archive.read(json.dumps(document).encode())
    assert words in refused.value.detail


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"format":"fogline-b'])
def test_what_is_no_document_or_half_of_one_is_refused(text: bytes, tmp_path: Path) -> None:
    """And the folder stays as it is: no Redis is begun in it."""
    (tmp_path / "file").write_bytes(text)
    refused = call("restore", str(tmp_path / "file"), "--data", str(tmp_path / "data")).exception
    assert isinstance(refused, InvalidInput)
    assert "no backup that can be restored" in refused.detail
    assert not (tmp_path / "data").exists()


def test_the_authority_for_tls_goes_along(tmp_path: Path) -> None:
    """It is put into the data folder for its user alone; another one that is there is replaced only on demand."""
    made, book = Authority.open(tmp_path / "old"), MemoryBook()
    book.put("mesh", copy.IDENTITY, b'{"book_id":"b"}')
    signers.ensure(book, 1.0)
    store = MemoryStore(RegistrySettings())
    taken = archive.read(archive.written(archive.take(book, store, tmp_path / "old")))
    archive.restore(taken, MemoryBook(), store, tmp_path / "new")
    assert Authority.open(tmp_path / "new").pem == made.pem
    assert stat.S_IMODE((tmp_path / "new" / "access" / "ca.key").stat().st_mode) == 0o600
    other = Authority.open(tmp_path / "other")
    with pytest.raises(Conflict, match="authorities for TLS"):
        archive.restore(taken, MemoryBook(), store, tmp_path / "other")
    assert Authority.open(tmp_path / "other").pem == other.pem
    archive.restore(taken, MemoryBook(), store, tmp_path / "other", instead=True)
    assert Authority.open(tmp_path / "other").pem == made.pem


def test_where_nothing_is_kept_nothing_is_copied(tmp_path: Path) -> None:
    """A wrong folder, a registry in memory, a folder that is not there: each is said, and nothing is left behind."""
    wrong = {
        ("--data", str(tmp_path / "wrong")): "no registry has kept anything in",
        ("--redis", "memory:"): "keeps nothing that could be copied",
    }
    for words, said in wrong.items():
        refused = call("backup", str(tmp_path / "file"), *words).exception
        assert isinstance(refused, SetupProblem)
        assert said in refused.detail
    with Server(tmp_path) as empty:
        refused = call("backup", str(tmp_path / "file"), "--redis", empty.url).exception
        assert isinstance(refused, SetupProblem)
        assert "no registry has run on this Redis" in refused.detail
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "wrong").exists()
