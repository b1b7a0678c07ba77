"""Takes named members out of a downloaded archive (`.tar.gz`, `.tgz`, `.zip`, `.whl`), and nothing else.

Members are written under names that Fogline chose, so a path in the archive can lead nowhere; links and devices are
refused; sizes are bounded while unpacking, because a small archive may hold an endless file.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from compute_node.models.catalogue import Member
from mesh.errors import SetupProblem

MOST_MEMBER_BYTES = 1 << 30
CHUNK = 1 << 20


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
            with file.open(info) as stream:
                sums[member.saved_as] = _write(stream, member, folder)
    return sums


def _from_tar(archive: Path, wanted: list[Member], folder: Path) -> dict[str, str]:
    missing = {member.path: member for member in wanted}
    sums = {}
    # One pass from the front: a compressed archive has no index, and it ends when everything was found.
    with tarfile.open(archive, "r|*") as file:
        for info in file:
            member = missing.get(info.name)
            if member is None:
                continue
            stream = file.extractfile(info) if info.isreg() else None
            if stream is None:
                raise SetupProblem(f"{info.name} in {archive.name} is no plain file")
            sums[member.saved_as] = _write(stream, member, folder)
            del missing[info.name]
            if not missing:
                break
    for member in missing.values():
        raise _absent(archive, member)
    return sums


def _absent(archive: Path, member: Member) -> SetupProblem:
    return SetupProblem(f"{archive.name} does not hold {member.path}")


def _write(stream: IO[bytes], member: Member, folder: Path) -> str:
    """Copy one member into `folder`; its sha256. Leaves nothing behind where it fails."""
    name = member.saved_as
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise SetupProblem(f"{name!r} is no name for a file")
    target = folder / name
    total, digest = 0, hashlib.sha256()
    try:
        with target.open("xb") as file:
            while chunk := stream.read(CHUNK):
                total += len(chunk)
                if total > MOST_MEMBER_BYTES:
                    raise SetupProblem(f"{member.path} unpacks to more than {MOST_MEMBER_BYTES} bytes")
                digest.update(chunk)
                file.write(chunk)
        if member.sha256 and digest.hexdigest() != member.sha256:
            raise SetupProblem(f"{member.path} has the sha256 {digest.hexdigest()}, not {member.sha256}")
    except BaseException:  # an interrupted copy must not stay either
        target.unlink(missing_ok=True)
        raise
    return digest.hexdigest()
