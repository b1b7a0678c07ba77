"""All of a registry that is worth keeping, as one document that another registry can be made of: people, API keys, join
tokens, nodes' keys and its own, and added cameras with their sources.

What comes again by itself is not in it: nodes and sessions register anew, people sign in again. Nor is what is one
machine's: a registry makes the keys and the join token of its own machine itself. The audit is a log, which nobody
should be able to write back.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec.structs import replace

from mesh import codec
from mesh.access import Principal
from mesh.errors import Conflict, FoglineError, InvalidInput, SetupProblem
from mesh.keys import Key, private_file
from mesh.version import VERSION
from mesh.wire import HostedCamera
from registry.access import backup, ca, signers
from registry.access.api_keys import KeyRecord
from registry.access.audit import Audit
from registry.access.book import Book, Kind
from registry.access.enrolments import Enrolled
from registry.access.join_tokens import Kept
from registry.access.person import Person
from registry.access.trust import REVOKED, Revocation
from registry.camera_store import MOST_CAMERAS, CameraRecord, CameraStore

FORMAT: Final = "fogline-backup"
VERSION_OF_FORMAT: Final = 1  # grows when an older version of Fogline could not read the document
WARNING: Final = (
    "This document holds secrets: the registry's private keys, the sources of cameras with their passwords, and hashes"
    " of passwords and keys. Whoever has it can let anybody into the mesh. Keep it where nobody else can read it."
)
BY: Final = Principal("local", name="restore")
KINDS: Final[Mapping[Kind, str]] = {
    "user": "people",
    "key": "API keys",
    "join": "join tokens",
    "node": "nodes that have joined",
    "signer": "signing keys",
}


class _Camera(msgspec.Struct, frozen=True, kw_only=True):
    """wanted, wanted_name: the node that it is bound to."""

    camera: HostedCamera
    wanted: str | None = None
    wanted_name: str = ""


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """The mesh's own, as PEM."""

    certificate: str
    key: str


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: str = ""
    version: int = 0
    made_by: str = "?"


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """book: documents by kind and id, whose members that this version does not know are kept. cameras: the oldest
    first. authority: of a mesh that serves by TLS with one of its own."""

    format: str = FORMAT
    version: int = VERSION_OF_FORMAT
    warning: str = WARNING
    made_at: str
    made_by: str = VERSION
    book_id: str
    book: dict[str, dict[str, msgspec.Raw]]
    cameras: list[_Camera] = []
    authority: Authority | None = None

    def counts(self) -> dict[str, int]:
        """How many there are of each, by what people call them."""
        found = {words: len(self.book.get(kind, {})) for kind, words in KINDS.items()}
        found["signing keys"] = len(_signers(self))
        return found | {"added cameras": len(self.cameras), "authorities for TLS": int(self.authority is not None)}


# --- making one


def take(book: Book, cameras: CameraStore, data: Path) -> Archive:
    """What is there now. data: the registry's data folder, for the authority. Raises RegistryAway; SetupProblem when no
    registry has ever begun there, or a file cannot be read."""
    identity = book.get("mesh", backup.IDENTITY)
    if identity is None:
        raise SetupProblem("there is nothing to keep: no registry has run on this Redis")
    now = book.now()
    kept = {
        kind: {ident: msgspec.Raw(text) for ident, text in sorted(book.all(kind).items()) if _lasts(kind, text)}
        for kind in KINDS
    }
    return Archive(
        made_at=datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds"),
        book_id=codec.decode(identity[0], backup.Identity).book_id,
        book=cast("dict[str, dict[str, msgspec.Raw]]", kept),
        cameras=[
            _Camera(camera=one.camera, wanted=one.wanted, wanted_name=one.wanted_name)
            for one in cameras.cameras().cameras
            if not one.camera.draft
        ],
        authority=_authority(data),
    )


def written(archive: Archive) -> bytes:
    """The document, to be read by people too."""
    return msgspec.json.format(msgspec.json.encode(archive), indent=1) + b"\n"


def _lasts(kind: Kind, text: bytes) -> bool:
    """Whether it is not one machine's own."""
    if kind == "key":
        return codec.decode(text, KeyRecord).machine is None
    return kind != "join" or not codec.decode(text, Kept).family


def _authority(data: Path) -> Authority | None:
    certificate, key = (data / ca.FOLDER / name for name in (ca.CERTIFICATE, ca.KEY))
    try:
        return Authority(certificate=certificate.read_text(), key=key.read_text())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SetupProblem(f"cannot read the authority in {certificate.parent}: {error}") from None


# --- reading one


def read(text: bytes) -> Archive:
    """The archive in `text`, looked through whole. Raises InvalidInput for what is none, or a newer one."""
    try:
        head = codec.decode(text, _Head)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _unreadable(f"it is no JSON object, or is cut off ({error})") from None
    if head.format != FORMAT:
        raise _unreadable(f'its "format" is {head.format!r:.40}, not {FORMAT!r}')
    if head.version > VERSION_OF_FORMAT:
        raise InvalidInput(
            f"this backup was made by Fogline {head.made_by:.40} in format {head.version}, and this version ({VERSION})"
            f" reads up to {VERSION_OF_FORMAT}: restore it with that version or a newer one"
        )
    try:
        archive = codec.decode(text, Archive)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _unreadable(str(error)) from None
    for kind, documents in archive.book.items():
        if kind not in KINDS:
            raise _unreadable(f"book.{kind}: there is no such kind")
        for ident, document in documents.items():
            _check(f"book.{kind}.{ident}", _look, kind, ident, bytes(document))
    _check("book.signer.keys", _signers, archive)
    _look_at_cameras(archive)
    if archive.authority is not None:
        _look_at_authority(archive.authority)
    return archive


def _check(where: str, look: Callable[..., object], *arguments: object) -> None:
    try:
        look(*arguments)
    except ValueError as error:  # msgspec's are, too
        raise _unreadable(f"{where}: {error}") from None


def _look(kind: str, ident: str, text: bytes) -> None:
    records: dict[str, type[Any]] = {"user": Person, "key": KeyRecord, "join": Kept, "node": Enrolled}
    if kind in records:
        codec.decode(text, records[kind])
    elif ident.startswith(REVOKED):
        codec.decode(text, Revocation)
    elif ident != signers.IDENT:
        raise ValueError("there is no such document")


def _signers(archive: Archive) -> list[signers.Signer]:
    """None in a mesh in which nothing was ever signed. Raises ValueError for keys with which nothing can be."""
    document = archive.book.get("signer", {}).get(signers.IDENT)
    if document is None:
        return []
    found = signers.read(bytes(document)).keys
    if not found or found[0].private is None:
        raise ValueError("none of them signs")
    if any(one.private is not None and Key.parse(one.private).public != one.public for one in found):
        raise ValueError("a private key is not that of its public one")
    return found


def _look_at_cameras(archive: Archive) -> None:
    ids = {one.camera.camera_id for one in archive.cameras}
    names = {one.camera.name for one in archive.cameras}
    if len(archive.cameras) > MOST_CAMERAS:
        raise _unreadable(f"cameras: {len(archive.cameras):,} of them; there can be {MOST_CAMERAS:,}")
    if not len(ids) == len(names) == len(archive.cameras):
        raise _unreadable("cameras: two have one id or name")


def _look_at_authority(authority: Authority) -> None:
    with tempfile.TemporaryDirectory(prefix="fogline-") as folder:
        certificate, key = Path(folder) / ca.CERTIFICATE, Path(folder) / ca.KEY
        private_file(certificate, authority.certificate.encode())
        private_file(key, authority.key.encode())
        try:
            ca.Authority.open(Path(folder), certificate, key)
        except SetupProblem as error:
            raise _unreadable(f"authority: {error.detail.replace(f'{folder}/', '')}") from None


def _unreadable(reason: str) -> InvalidInput:
    return InvalidInput(f"this is no backup that can be restored, and nothing was changed: {reason}")


# --- putting one back


def restore(archive: Archive, book: Book, cameras: CameraStore, data: Path, *, instead: bool = False) -> None:
    """Make the registry one that has what is in the archive, and nothing else of these kinds; revocations stay. What
    was cut off half-way can be done again. instead: of what is there now. Registries that run take it up within
    seconds; an authority with their next start. Raises Conflict when something is there and `instead` is not said,
    RegistryAway, SetupProblem."""
    there = dict(_there(book, cameras, data, archive))
    if there and not instead:
        listed = ", ".join(f"{count} {words}" for words, count in there.items())
        raise Conflict(
            f"this registry is not empty, and nothing was changed: it has {listed}. --replace puts the backup in their"
            " place"
        )
    if archive.authority is not None:
        private_file(data / ca.FOLDER / ca.KEY, archive.authority.key.encode())
        private_file(data / ca.FOLDER / ca.CERTIFICATE, archive.authority.certificate.encode())
        (data / ca.FOLDER / ca.CERTIFICATE).chmod(0o644)  # no secret: browsers are given it
    for kind in KINDS:
        wanted = archive.book.get(kind, {})
        if kind == "signer":  # what is revoked stays so, and registries that run know their keys anyway
            revoked = {ident: document for ident, document in wanted.items() if ident != signers.IDENT}
            backup.put_back(book, kind, revoked, revision=0)
            wanted = {ident: document for ident, document in wanted.items() if ident == signers.IDENT}
        else:
            for ident in book.all(kind).keys() - wanted.keys():
                book.remove(kind, ident)
        backup.put_back(book, kind, wanted, revision=None)
    _restore_cameras(archive, cameras)
    # Last: registries that run see by it that all of it has changed.
    book.put("mesh", backup.IDENTITY, codec.dump(backup.Identity(book_id=archive.book_id)))
    Audit(book).note(BY, "", "backup restored", f"of {archive.made_at}, by Fogline {archive.made_by}")


def _there(book: Book, cameras: CameraStore, data: Path, archive: Archive) -> Iterator[tuple[str, int]]:
    """What people have made here that would be lost, by what they call it, and how many."""
    for kind, words in KINDS.items():
        count = sum(_lasts(kind, text) for text in book.all(kind).values())
        if count and kind != "signer":  # a registry makes one by itself
            yield words, count
    if saved := sum(not one.camera.draft for one in cameras.cameras().cameras):
        yield "added cameras", saved
    own = _authority(data)
    if own is not None and archive.authority is not None and own != archive.authority:
        yield "authorities for TLS", 1


def _restore_cameras(archive: Archive, cameras: CameraStore) -> None:
    there = {one.camera.camera_id: one for one in cameras.cameras().cameras}
    for camera_id in there.keys() - {one.camera.camera_id for one in archive.cameras}:
        cameras.remove_camera(camera_id)
    for one in archive.cameras:
        known = there.get(one.camera.camera_id)
        before = known.camera.revision if known else 0
        # A host takes up what has a higher revision than what it runs.
        revision = max(one.camera.revision, before + 1 if known and known.camera != one.camera else 0)
        record = CameraRecord(
            camera=replace(one.camera, revision=revision), wanted=one.wanted, wanted_name=one.wanted_name
        )
        done = cameras.put_camera(record, before)
        if done.outcome != "stored":
            raise _meanwhile(one.camera.name, done.outcome)


def _meanwhile(name: str, outcome: str) -> FoglineError:
    return Conflict(f"somebody changes cameras at the same moment ({name!r}: {outcome}): do it again, with --replace")
