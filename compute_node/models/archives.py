"""Takes named members out of a downloaded archive (`.tar.gz`, `.tgz`, `.zip`, `.whl`), and nothing else.

Members are written under names that Fogline chose, so a path in the archive can lead nowhere; links and devices are
refused, and an archive in the archive stays one. Sizes are bounded by what the archive says and again while unpacking,
because a small archive may hold an endless file: each member's, all that is unpacked on the way to it, and by how much
it grows.
"""

from __future__ import annotations

import hashlib
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

from compute_node.models.catalogue import Member
from mesh.errors import SetupProblem

MOST_MEMBER_BYTES = 1 << 30
MOST_ARCHIVE_BYTES = 2 << 30  # unpacked, of all that is read: a compressed archive is read from the front
MOST_GROWTH = 100  # times its packed size: weights grow by a tenth, the graph's text ten times
GROWS_FREELY = 16 << 20  # bytes that anything may unpack to, however small it was
MOST_HEADER_BYTES = 1 << 20  # of a long name or further attributes, which tarfile reads into memory
CHUNK = 1 << 20
_EXTENSIONS = frozenset(
    (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
)


def extract(archive: Path, members: Iterable[Member], folder: Path) -> dict[str, str]:
    """Write `members` of `archive` into `folder`; the sha256 in hex of each by the name that it got.

    Raises SetupProblem where the archive is damaged, lacks a member, or a member's hash differs.
    """
    wanted = list(members)
    try:
        if zipfile.is_zipfile(archive):
            return _from_zip(archive, wanted, folder)
        return _from_tar(archive, wanted, folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise SetupProblem(f"{archive.name} is damaged or no archive: {error}") from error


def _from_zip(archive: Path, wanted: list[Member], folder: Path) -> dict[str, str]:
    sums = {}
    with zipfile.ZipFile(archive) as file:
        for member in wanted:
            try:
                info = file.getinfo(member.path)
            except KeyError:
                raise _absent(archive, member) from None
            mode = info.external_attr >> 16
            if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)) or info.flag_bits & 1:
                raise SetupProblem(f"{member.path} in {archive.name} is no plain file")
            most = _most(archive, info.compress_size)
            _check_size(member.path, info.file_size, most)
            with file.open(info) as stream:
                sums[member.saved_as] = _write(stream, member, folder, most)
    return sums


def _from_tar(archive: Path, wanted: list[Member], folder: Path) -> dict[str, str]:
    missing = {member.path: member for member in wanted}
    sums = {}
    most = _most(archive, archive.stat().st_size)
    total = 0
    # One pass from the front: a compressed archive has no index, and it ends when everything was found.
    with tarfile.open(archive, "r|*", tarinfo=_BoundedInfo) as file:
        for info in file:
            total += info.size  # what is not wanted is unpacked as well, on the way to the next
            _check_size(info.name, total, most)
            member = missing.get(info.name)
            if member is None:
                continue
            stream = file.extractfile(info) if info.isreg() else None
            if stream is None:
                raise SetupProblem(f"{info.name} in {archive.name} is no plain file")
            sums[member.saved_as] = _write(stream, member, folder, most)
            del missing[info.name]
            if not missing:
                break
    for member in missing.values():
        raise _absent(archive, member)
    return sums


class _BoundedInfo(tarfile.TarInfo):
    """A member's header, unless it is followed by more about the member than fits into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _EXTENSIONS and info.size > MOST_HEADER_BYTES:
            raise SetupProblem(f"a header in the archive has {info.size} bytes; at most {MOST_HEADER_BYTES} are read")
        return info


def _most(archive: Path, packed: int) -> int:
    """Bytes that `packed` bytes of `archive` may unpack to."""
    growth = max(GROWS_FREELY, MOST_GROWTH * min(packed, archive.stat().st_size))
    return min(MOST_ARCHIVE_BYTES, growth)


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise SetupProblem(
            f"{name} would unpack to {size} bytes, which is more than {most}: that is a bomb, and no model"
        )


def _absent(archive: Path, member: Member) -> SetupProblem:
    return SetupProblem(f"{archive.name} does not hold {member.path}")


def _write(stream: IO[bytes], member: Member, folder: Path, most: int) -> str:
    """Copy one member into `folder`; its sha256. Leaves nothing behind where it fails. most: bytes of it."""
    name = member.saved_as
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise SetupProblem(f"{name!r} is no name for a file")
    target = folder / name
    total, digest = 0, hashlib.sha256()
    try:
        with target.open("xb") as file:
            while chunk := stream.read(CHUNK):
                total += len(chunk)
                if total > min(most, MOST_MEMBER_BYTES):
                    raise SetupProblem(f"{member.path} unpacks to more than {min(most, MOST_MEMBER_BYTES)} bytes")
                digest.update(chunk)
                file.write(chunk)
        if member.sha256 and digest.hexdigest() != member.sha256:
            raise SetupProblem(f"{member.path} has the sha256 {digest.hexdigest()}, not {member.sha256}")
    except BaseException:  # an interrupted copy must not stay either
        target.unlink(missing_ok=True)
        raise
    return digest.hexdigest()
