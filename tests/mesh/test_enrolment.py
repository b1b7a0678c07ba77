"""A node's membership of a locked mesh, at a registry that runs."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from mesh import enrolment, proof
from mesh.client import RegistryClient
from mesh.credentials import ADMIN_KEY, Bearer
from mesh.enrolment import KEY_SECONDS, Enrolment, enrol
from mesh.errors import FoglineError, Unauthorized
from mesh.identity import claim
from mesh.join_token import VARIABLE
from mesh.key_files import KeyFiles
from mesh.keys import Key
from mesh.proof import NodeCertificate
from mesh.settings import NodeSettings
from tests.processes import Running, free_port, stolen_signer, wait_for


@dataclasses.dataclass
class Place:
    """A locked registry, and a folder for one node."""

    registry: Running
    data: Path
    folder: Path

    @contextmanager
    def node(self, *, token: str | None = None, open: bool = False, begins: bool = True) -> Iterator[Enrolment]:
        """A node with the registry's own token, as if it ran on the same machine, or with another one. begins: at
        once."""
        given = (self.data / "joining" / "token").read_text() if token is None else token
        settings = NodeSettings(data=self.folder, registry=self.registry.url, join_token=given)
        identity = claim(self.folder, "compute", "hall-1")
        node = enrol(settings, "compute", identity, open=open)
        if begins:
            node.start()
        yield node
        node.stop()
        if node._thread is not None:
            node._thread.join(8)  # it has joined before what it got is on disk
        identity.lock.close()

    @property
    def files(self) -> KeyFiles:
        return KeyFiles(self.folder / "identity" / "compute-hall-1.id")

    def admin(self) -> RegistryClient:
        return RegistryClient(self.registry.url).showing(Bearer((self.data / ADMIN_KEY).read_text()))

    def signer(self) -> Key:
        """The registry's own key, stolen from its folder."""
        return stolen_signer(self.data)


def locked(data: Path, log: Path, port: int = 0) -> Running:
    words = ("--data", str(data), "--redis", "memory:", "--announce", "off", "--datagrams", "off")
    return Running("registry", *words, "--access", "locked", port=port or free_port(), log=log)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    folder = tmp_path_factory.mktemp("registry")
    with locked(folder / "data", folder / "log") as registry:
        yield registry.ready(), folder / "data"


@pytest.fixture
def place(running: tuple[Running, Path], tmp_path: Path) -> Place:
    return Place(*running, tmp_path / "node")


def soon(look: Callable[[], object], what: str) -> None:
    wait_for(lambda: bool(look()), 8, what)


def test_a_locked_node_joins_and_keeps_what_it_got(place: Place) -> None:
    """For this user alone; started again it needs neither the token nor the registry."""
    with place.node() as node:
        soon(lambda: node.joined, "certificate")
        assert node.registry().nodes()["nodes"] == []
        assert node.problem is None
        assert node.locked
        kid = node.credentials.key and node.credentials.key.kid
    kept = sorted((place.folder / "identity").glob("compute-hall-1.*"))
    assert [one.suffix for one in kept] == [".certificate", ".id", ".key", ".trust"]
    assert {one.stat().st_mode & 0o777 for one in kept if one.suffix != ".id"} == {0o600}
    settings = NodeSettings(data=place.folder, registry=f"http://127.0.0.1:{free_port()}")
    again = Enrolment(settings, "compute", claim(place.folder, "compute", "hall-1"), open=False)
    assert again.joined
    assert again.credentials.key is not None
    assert again.credentials.key.kid == kid
    assert again.trusted.keys


def test_an_open_node_joins_when_the_registry_asks_who_it_is(place: Place) -> None:
    """Until then everybody on its machine may do everything; from then on nobody without a credential."""
    with place.node(open=True) as node:
        assert not node.locked
        assert node.problem is None
        assert node.registry().nodes()["nodes"] == []
        assert node.locked


def test_a_token_that_comes_later_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the node says what to do; who calls the registry hears the same."""
    monkeypatch.setattr(enrolment, "GRACE", 0.1)
    with place.node(token="") as node:
        soon(lambda: "fogline token create" in (node.problem or ""), "words")
        with pytest.raises(Unauthorized, match="no join token"):
            node.require()
        (place.folder / "joining").mkdir()
        (place.folder / "joining" / "token").write_text((place.data / "joining" / "token").read_text())
        soon(lambda: node.joined, "certificate")
        node.require()


def test_a_wrong_token_is_said_to_be_wrong(place: Place) -> None:
    with place.node(token="fgj_000000000000_nobody") as node:
        soon(lambda: node.problem not in (None, "joining the mesh"), "words")
        with pytest.raises(Unauthorized) as refused:
            node.registry().nodes()
        assert "token" in refused.value.detail
        assert "nobody" not in refused.value.detail


def test_the_token_does_not_stay_in_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fgj_x")
    with place.node():
        assert VARIABLE not in os.environ


def test_a_clock_that_is_wrong_does_not_keep_it_out(place: Place) -> None:
    """It takes the registry's time from the refusal; all that it signs goes by that."""
    settings = NodeSettings(
        data=place.folder, registry=place.registry.url, join_token=(place.data / "joining" / "token").read_text()
    )
    node = enrol(settings, "compute", claim(place.folder, "compute", "hall-1"), open=False)
    node.credentials.heard(time.time() + 10_000)
    node.start()
    soon(lambda: node.joined, "certificate")
    assert abs(node.credentials.now() - time.time()) < 5
    node.credentials.heard(time.time() - 10_000)
    assert node.registry().nodes()["nodes"] == []
    node.stop()


def test_a_certificate_is_renewed_from_half_its_life_on_and_an_old_key_is_changed(place: Place) -> None:
    """What is signed with the key before it is good for a while still: nothing is refused meanwhile."""
    with place.node() as node:
        soon(lambda: node.joined, "certificate")
        old = node.credentials.key
    assert old is not None
    now = time.time()
    certificate = NodeCertificate(node.node_id, "compute", "hall-1", old.public, now + 30_000)
    place.files.keep(old, proof.certify(place.signer(), certificate, now - 50_000))
    file = place.folder / "identity" / "compute-hall-1.key"
    os.utime(file, (now - KEY_SECONDS - 60,) * 2)
    with place.node(token="", begins=False) as node, ThreadPoolExecutor(1) as pool:
        assert node.credentials.key is not None
        assert node.credentials.key.kid == old.kid
        over = threading.Event()
        answers: list[object] = []

        def ask() -> None:
            """Before, during and after the change."""
            while not over.is_set():
                answers.append(node.registry().nodes()["nodes"])

        asking = pool.submit(ask)
        try:
            soon(lambda: answers or asking.done(), "answers to the old key")
            node.start()
            soon(lambda: node.credentials.key is not None and node.credentials.key.kid != old.kid, "new key")
            with_the_old = len(answers)
            soon(lambda: len(answers) > with_the_old + 1 or asking.done(), "answers to the new key")
        finally:
            over.set()
        asking.result(5)  # raises what refused one of them
        assert not any(answers)
        soon(lambda: (found := Key.load(file)) is not None and found.kid != old.kid, "new key on disk")
        began, ends = place.files.life(place.files.certificate())
        assert now - 5 < began < ends
        following = node.credentials.key
    with place.node(token="") as node:
        assert node.credentials.key is not None
        assert node.credentials.key.kid == following.kid


def test_a_new_key_whose_answer_was_lost_is_found_out(place: Place) -> None:
    """The registry has it, and the node has it on disk: either key leads to a certificate."""
    with place.node() as node:
        soon(lambda: node.joined, "certificate")
        old = node.credentials.key
        assert old is not None
    now, following = time.time(), Key.new()
    following.save(place.folder / "identity" / "compute-hall-1.next.key")
    certificate = NodeCertificate(node.node_id, "compute", "hall-1", old.public, now + 30_000)
    place.files.keep(old, proof.certify(place.signer(), certificate, now - 50_000))
    with place.node(token="") as node:
        soon(lambda: node.credentials.key is not None and node.credentials.key.kid == following.kid, "the new key")
        assert node.registry().nodes()["nodes"] == []


def test_a_revoked_node_says_so_and_stays_out(place: Place) -> None:
    with place.node() as node:
        soon(lambda: node.joined, "certificate")
        url = f"{place.registry.url}/v1/enrolments/{node.node_id}"
        shown = {"Authorization": f"Bearer {(place.data / ADMIN_KEY).read_text()}"}
        assert requests.delete(url, headers=shown, timeout=5).status_code == 204
        for _ in range(2):
            with pytest.raises(Unauthorized, match="this node was revoked: to let it in again"):
                node.registry().nodes()
        # The thread that joined may only now be done with that, and finds out anew what is wrong.
        soon(lambda: "was revoked" in (node.problem or ""), "words")
        other = claim(place.folder, "compute", "other")
        settings = NodeSettings(data=place.folder, registry=place.registry.url)
        watching = Enrolment(settings, "compute", other, open=False)
        watching.trusted.take(place.admin().trust())
        assert watching.trusted.revoked(node.node_id)
        other.lock.close()


def test_a_registry_that_has_lost_everything_is_joined_again(place: Place, tmp_path: Path) -> None:
    """With the key that the node has, if there is a token."""
    port = free_port()
    first, second = tmp_path / "first", tmp_path / "second"
    with locked(first, tmp_path / "log", port) as registry:
        place = Place(registry.ready(), first, place.folder)
        with place.node() as node:
            soon(lambda: node.joined, "certificate")
            key = node.credentials.key
    with locked(second, tmp_path / "log", port) as registry:
        registry.ready()
        place = Place(registry, second, place.folder)
        with place.node() as node:
            assert node.joined

            def known() -> bool:
                try:
                    return bool(node.registry().nodes()["nodes"] == [])
                except FoglineError:
                    return False

            soon(known, "answer")
            assert key is not None
            assert node.credentials.key is not None
            assert node.credentials.key.kid == key.kid


def test_a_key_that_others_may_read_is_not_used(place: Place) -> None:
    """In words that name the file and the remedy."""
    with place.node() as node:
        soon(lambda: node.joined, "certificate")
    (place.folder / "identity" / "compute-hall-1.key").chmod(0o644)
    with place.node() as node:
        soon(lambda: "others may read the key" in (node.problem or ""), "words")
        assert not node.joined
