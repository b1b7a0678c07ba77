"""What a registry makes when it starts: a key for this machine's command line, another one for its Prometheus, and the
link that makes the first admin.

They are files in its data folder that only its user may read (the second one its group, too): whoever may read them all
owns the mesh anyway.
"""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from mesh.access import ALL_SCOPES, Principal, Scope
from mesh.access_wire import KeyRequest
from mesh.credentials import ADMIN_KEY, METRICS_KEY, SETUP_LINK
from mesh.errors import Unauthorized
from mesh.keys import private_file
from mesh.logs import logger
from registry.access import backup
from registry.access.api_keys import ApiKeys
from registry.access.audit import Asker
from registry.access.book import Book
from registry.access.links import FIRST
from registry.access.people import People

FAMILY: Final = ADMIN_KEY.parent / "family"  # which registry made the files: its workers have one parent
LOCK: Final = ADMIN_KEY.parent / "lock"
# The keys that a registry makes for its machine: the file, what the key is called, and what it opens.
KEYS: Final[tuple[tuple[Path, str, frozenset[Scope]], ...]] = (
    (ADMIN_KEY, "this machine", ALL_SCOPES),
    (METRICS_KEY, "monitoring on this machine", frozenset({"metrics"})),
)
REGISTRY: Final = Asker(Principal("local", name="the registry"))
log = logger(__name__)


def prepare(book: Book, data: Path, people: People, keys: ApiKeys, *, locked: bool = True) -> None:
    """Put the book back if it was lost, and make the files. Before anything else looks into the book.

    locked: people have to sign in here, so a missing admin is told aloud. Of several workers the first makes them;
    called again it makes those anew that are good no more. Raises RegistryAway, SetupProblem.
    """
    with backup.only_one(data / LOCK, wait=True):
        backup.begin(book, data)
        people.require_book()
        family = _family()
        anew = _read(data / FAMILY) != family
        for file, name, scopes in KEYS:
            if anew or not _is_good(keys, _read(data / file), scopes):
                _make_key(data, file, name, scopes, keys)
        _offer_setup(data, people, anew, locked)
        private_file(data / FAMILY, family.encode())


def finish(data: Path) -> None:
    """There is an admin: the link is good for nothing any more."""
    (data / SETUP_LINK).unlink(missing_ok=True)


def _make_key(data: Path, file: Path, name: str, scopes: frozenset[Scope], keys: ApiKeys) -> None:
    machine = hashlib.sha256(f"{socket.gethostname()} {data.resolve()}".encode()).hexdigest()[:16]
    if file != ADMIN_KEY:
        machine += f" {file.parent.name}"
    old = _read(data / file).split("_")[1:2]
    # A container has another host name after each start: then the file tells which key it was.
    replaced = [key_id for key_id, its in keys.of_machines().items() if its == machine or key_id in old]
    wish = KeyRequest(name=f"{name} ({socket.gethostname()[:60]})", scopes=sorted(scopes))
    made = keys.make(wish, REGISTRY, machine)
    private_file(data / file, made.secret.encode())
    if file == METRICS_KEY:  # Prometheus is another user, who may be let into this one's group
        with suppress(PermissionError):  # a folder that somebody else has mounted here
            (data / file).parent.chmod(0o750)
        (data / file).chmod(0o640)
    for key_id in replaced:
        keys.drop(key_id)


def _offer_setup(data: Path, people: People, anew: bool, locked: bool) -> None:
    if not people.needed():
        people.links.drop(FIRST)
        finish(data)
        return
    token = _read(data / SETUP_LINK)
    if anew or people.links.find(token) is None:
        people.links.take(token)
        private_file(data / SETUP_LINK, people.links.make_first().encode())
        say = log.warning if locked else log.info
        say("nobody can sign in yet: run `fogline user link` on this machine")


def _is_good(keys: ApiKeys, secret: str, scopes: frozenset[Scope]) -> bool:
    try:
        found, _ = keys.find(secret, "this machine")
    except Unauthorized:
        return False
    return found.scopes == scopes


def _family() -> str:
    """The same for all workers of one registry, and for no other."""
    parent = os.getppid()
    return f"{parent} {psutil.Process(parent).create_time()}"


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
