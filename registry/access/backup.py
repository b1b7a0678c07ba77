"""A copy of the book on disk, from which it is put back when Redis has lost everything.

People, API keys, join tokens, nodes' keys and the registry's own are in it; sign-ins and links are not. Each book has
an identity of its own, which its copy carries: the copy of another one is laid aside, not written over.
"""

from __future__ import annotations

import fcntl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from mesh import codec
from mesh.errors import RegistryAway, SetupProblem
from mesh.keys import private_file
from mesh.logs import logger
from registry.access.book import Book, Kind

COPY: Final = Path("access") / "book.json"  # in the registry's data folder
KEPT: Final[tuple[Kind, ...]] = ("user", "key", "node", "signer", "join", "mesh")
IDENTITY: Final = "book"  # the id of the document of kind "mesh" that is put in last: without it a book counts as empty
LOCK: Final = COPY.parent / "backup.lock"
LOOK_SECONDS: Final = 1.0  # between two looks for a change
log = logger(__name__)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    book_id: str


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """documents: by kind and id."""

    book_id: str
    documents: dict[str, dict[str, msgspec.Raw]]


class _Lasting(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a document that says until when it is good, whichever way: Unix seconds."""

    expires_at: float | None = None
    until: float | None = None


def begin(book: Book, data: Path) -> bool:
    """Put the copy into an empty book, and give a book without identity one; whether the copy was put back.

    Several may do so at once: what is there already stays, and all put the same. Raises RegistryAway; SetupProblem when
    the copy cannot be read, for nobody could get in who could before.
    """
    if not is_empty(book):
        return False
    copy = read(data)
    if copy is None:
        identity = Identity(book_id=uuid.uuid4().hex)
        book.put("mesh", IDENTITY, codec.dump(identity), revision=0)
        return False
    for kind in KEPT:
        if kind != "mesh":
            put_back(book, kind, copy.documents.get(kind, {}), revision=0)
    book.put("mesh", IDENTITY, codec.dump(Identity(book_id=copy.book_id)), revision=0)
    counts = {kind: len(documents) for kind, documents in copy.documents.items()}
    log.warning("Redis had lost who may get in: it is put back from the copy", documents=counts)
    return True


def put_back(book: Book, kind: Kind, documents: Mapping[str, msgspec.Raw], *, revision: int | None) -> None:
    """Write these documents, by id, but for those whose time is over. revision: 0 leaves what is there as it is, None
    puts these in its place."""
    now = book.now()
    for ident, document in documents.items():
        end = _end(document)
        if end is None or end > now:
            book.put(kind, ident, bytes(document), revision=revision, seconds=None if end is None else end - now)


def is_empty(book: Book) -> bool:
    """Whether it was never begun, or was wiped."""
    return book.get("mesh", IDENTITY) is None


def read(data: Path) -> Copy | None:
    """The copy in this data folder. Raises SetupProblem."""
    file = data / COPY
    try:
        return codec.decode(file.read_bytes(), Copy)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise SetupProblem(
            f"cannot read {file}, which says who may get in: {error}; restore it, or move it away to begin anew"
        ) from None


class Backup:
    """Keeps the copy up to date, and puts it back when Redis was wiped. `start` and `stop` are called once, by the
    serving process; of several with one data folder one does the work.

    prepare: done at the start, and again after the copy or a backup was put back: see registry.access.first_run.
    """

    def __init__(self, book: Book, data: Path, prepare: Callable[[], None] | None = None) -> None:
        self._book = book
        self._data = data
        self._prepare = prepare
        self._due = False
        self._written: dict[Kind, int] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="backup", daemon=True)

    def start(self) -> None:
        """Also prepares at once, unless Redis is away. Raises SetupProblem."""
        if self._prepare is not None:
            try:
                self._prepare()
            except RegistryAway:
                self._due = True
        self._thread.start()

    def stop(self) -> None:
        """What was changed in the last second is written before it returns."""
        self._stopping.set()
        self._thread.join(3)

    def look(self) -> None:
        """What the thread does every second. Raises RegistryAway, SetupProblem."""
        if begin(self._book, self._data) or self._due or self._is_restored():
            self._due = True  # until it is done: Redis may go away amid it
            if self._prepare is not None:
                self._prepare()
            self._due = False
        versions = {kind: self._book.version(kind) for kind in KEPT}
        if versions != self._written:
            self._write()
            self._written = versions

    def _is_restored(self) -> bool:
        """Whether the book was put back by somebody else since the last look: this machine's keys may not be in it."""
        return self._written is not None and self._written["mesh"] != self._book.version("mesh")

    def _keep(self) -> None:
        told = ""
        while True:
            last = self._stopping.wait(LOOK_SECONDS)
            try:
                with only_one(self._data / LOCK) as mine:
                    if mine:
                        self.look()
                told = ""
            except (RegistryAway, SetupProblem) as error:
                if isinstance(error, SetupProblem) and error.detail != told:
                    told = error.detail
                    log.warning("no copy of who may get in is kept", reason=error.detail)
            except Exception:  # the thread must live: what went wrong is in the log
                log.exception("no copy of who may get in is kept")
            if last:
                return

    def _write(self) -> None:
        documents = {kind: self._book.all(kind) for kind in KEPT}
        marked = documents["mesh"].get(IDENTITY)
        if marked is None:
            return  # wiped this moment
        book_id = codec.decode(marked, Identity).book_id
        before = read(self._data)
        file = self._data / COPY
        if before is not None and before.book_id != book_id:
            aside = file.with_name(f"book-{before.book_id[:12]}.json")
            file.replace(aside)
            log.warning("the copy of another Redis's people and keys is laid aside", file=str(aside))
        raw: dict[str, dict[str, msgspec.Raw]] = {
            kind: {ident: msgspec.Raw(text) for ident, text in every.items()} for kind, every in documents.items()
        }
        private_file(file, codec.dump(Copy(book_id=book_id, documents=raw)))


@contextmanager
def only_one(file: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether nobody else holds the lock `file` now. wait: until it is so. Raises SetupProblem."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = file.open("ab")
    except OSError as error:
        raise SetupProblem(f"cannot write {file}: {error.strerror}; set --data (FOGLINE_DATA)") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _end(document: msgspec.Raw) -> float | None:
    lasting = codec.decode(bytes(document), _Lasting)
    return lasting.until if lasting.expires_at is None else lasting.expires_at
