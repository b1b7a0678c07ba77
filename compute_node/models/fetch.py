"""Gets one file from an address onto this disk: with progress, resumed after an interruption, checked, or not at all.

While it runs, the bytes lie in `NAME.part` and what identifies them in `NAME.part.json`. The next call goes on from
there when the server still has the same file, and starts again when it does not. The final name appears by a rename,
after the hash was checked.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec
import requests

from mesh.errors import SetupProblem

Progress = Callable[[str, int, int | None], None]
"""Called with what is being fetched, the bytes so far, and all of them (None where the server does not say)."""

CHUNK = 64 * 1024  # bytes between two calls of the progress; what a broken connection can cost
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0  # a server that is silent for a minute is not coming back
TRIES = 4  # connections for one file, each going on where the last one broke
PAUSE_SECONDS = 0.5  # before the second connection, doubled for each further one
MOST_BYTES = 1 << 30  # of one download; the largest in the catalogue has 248 MB


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to get. sha256, sha512: in hex, checked where given. auth: user and password for this address."""

    url: str
    name: str
    sha256: str | None = None
    sha512: str | None = None
    auth: tuple[str, str] | None = None


class _Mark(msgspec.Struct):
    """What a `.part` file is part of."""

    url: str
    validator: str | None


class _Broken(Exception):
    """The connection ended before the file did; going on may help."""


def sha512_of_integrity(integrity: str) -> str | None:
    """The sha512 in hex of an npm `integrity` text (`sha512-BASE64`, several separated by spaces); None without one."""
    for part in integrity.split():
        if part.startswith("sha512-"):
            try:
                return base64.b64decode(part[7:], validate=True).hex()
            except ValueError:
                return None
    return None


def new_session() -> requests.Session:
    """An HTTP session that trusts what pip is told to trust (`PIP_CERT`); requests' own variables go first."""
    session = requests.Session()
    certificates = os.environ.get("PIP_CERT")
    if certificates and not (os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")):
        session.verify = certificates
    # Compressed transfer would make the byte counts of a resumed download meaningless.
    session.headers["Accept-Encoding"] = "identity"
    return session


def redacted(url: str) -> str:
    """`url` without user, password and query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def download(wanted: Wanted, folder: Path, progress: Progress | None = None) -> tuple[Path, str]:
    """Get `wanted` into `folder`; the file's path and its sha256 in hex.

    Raises SetupProblem where the server cannot be reached, the disk is full or the hash differs (the file is deleted).
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / wanted.name
    part = folder / f"{wanted.name}.part"
    shown = progress or (lambda _name, _done, _total: None)
    with new_session() as session:
        for attempt in range(TRIES):
            try:
                _receive(session, wanted, part, shown)
                break
            except _Broken as error:
                if attempt + 1 == TRIES:
                    raise SetupProblem(
                        f"{wanted.name} cannot be fetched from {redacted(wanted.url)}: {error}. "
                        "Check this machine's network and proxy; the next try goes on where this one ended"
                    ) from error
                time.sleep(PAUSE_SECONDS * 2**attempt)
            except OSError as error:
                raise _disk_problem(error, part) from error
    try:
        sha256 = _checked(wanted, part)
        part.replace(final)
    except OSError as error:
        raise _disk_problem(error, part) from error
    _mark_path(part).unlink(missing_ok=True)
    return final, sha256


def _receive(session: requests.Session, wanted: Wanted, part: Path, progress: Progress) -> None:
    """One connection: append to `part` what is missing. Raises _Broken where another connection may help."""
    have, mark = _unfinished(wanted, part)
    headers = {}
    if have:
        headers["Range"] = f"bytes={have}-"
        if mark and mark.validator:
            headers["If-Range"] = mark.validator
    try:
        response = session.get(
            wanted.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS), auth=wanted.auth
        )
    except requests.RequestException as error:
        raise _Broken(_reason(error)) from error
    with response:
        if response.status_code == 416:
            _forget(part)  # longer than the file: it was part of something else
            raise _Broken("the server has a different file now")
        if response.status_code >= 500 or response.status_code == 429:
            raise _Broken(f"the server answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise SetupProblem(
                f"{wanted.name}: {redacted(wanted.url)} answered {response.status_code} {response.reason}. "
                "The file may have moved, or this machine's index or proxy does not offer it"
            )
        resumed = response.status_code == 206 and _continues(response, have)
        if response.status_code == 206 and not resumed:
            _forget(part)
            raise _Broken("the server sent another range than asked for")
        done = have if resumed else 0
        left = int(response.headers["Content-Length"]) if response.headers.get("Content-Length", "").isdigit() else None
        total = None if left is None else done + left
        _need_space(part, left, total)
        if not resumed:
            _forget(part)
        _mark_path(part).write_bytes(msgspec.json.encode(_Mark(wanted.url, _validator(response))))
        with part.open("ab" if resumed else "wb") as file:
            done = _copy(response, file, done, lambda so_far: progress(wanted.name, so_far, total))
        if total is not None and done < total:
            raise _Broken(f"the connection ended after {done} of {total} bytes")


def _copy(response: requests.Response, file: IO[bytes], done: int, report: Callable[[int], None]) -> int:
    """Append the body to `file`; the bytes it has then."""
    report(done)
    try:
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if done > MOST_BYTES:
                raise SetupProblem(f"{Path(file.name).stem} is larger than {MOST_BYTES} bytes: not what it should be")
            report(done)
    except requests.RequestException as error:
        raise _Broken(_reason(error)) from error
    return done


def _unfinished(wanted: Wanted, part: Path) -> tuple[int, _Mark | None]:
    """The bytes that an earlier call left of `wanted`, 0 where they belong to something else or cannot be trusted."""
    try:
        mark = msgspec.json.decode(_mark_path(part).read_bytes(), type=_Mark)
        have = part.stat().st_size
    except (OSError, msgspec.MsgspecError):
        return 0, None
    # Without a validator only a known hash tells afterwards whether the two ends belong together.
    trusted = mark.validator is not None or wanted.sha256 is not None or wanted.sha512 is not None
    return (have, mark) if mark.url == wanted.url and trusted else (0, None)


def _validator(response: requests.Response) -> str | None:
    """What `If-Range` may carry: a strong ETag, else the date of the last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _continues(response: requests.Response, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _need_space(part: Path, left: int | None, total: int | None) -> None:
    if total is not None and total > MOST_BYTES:
        raise SetupProblem(f"{part.stem} has {total} bytes, the limit is {MOST_BYTES}; it is not what it should be")
    free = shutil.disk_usage(part.parent).free
    if left is not None and left > free:
        raise SetupProblem(
            f"{part.parent} has {free // 2**20} MB free, {part.stem} needs {left // 2**20 + 1} MB: "
            "make room, or choose another folder with --data"
        )


def _checked(wanted: Wanted, part: Path) -> str:
    """The sha256 of `part`. Raises SetupProblem, and deletes the file, where a known hash differs."""
    sums = {"sha256": hashlib.sha256(), "sha512": hashlib.sha512()}
    with part.open("rb") as file:
        while chunk := file.read(1 << 20):
            for one in sums.values():
                one.update(chunk)
    for kind, expected in (("sha256", wanted.sha256), ("sha512", wanted.sha512)):
        found = sums[kind].hexdigest()
        if expected is not None and found != expected.lower():
            _forget(part)
            raise SetupProblem(
                f"{wanted.name} from {redacted(wanted.url)} has the {kind} {found}, not {expected.lower()}: "
                "it was changed or damaged on its way and is deleted. Try again; if it stays, do not use this source"
            )
    return sums["sha256"].hexdigest()


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _mark_path(part).unlink(missing_ok=True)


def _mark_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _reason(error: Exception) -> str:
    """The innermost words of a chain of network errors, which say most."""
    inner: Any = error
    while (below := getattr(inner, "reason", None)) is not None and isinstance(below, Exception):
        inner = below
    if inner is error and error.args and isinstance(error.args[0], Exception):
        inner = getattr(error.args[0], "reason", None) or error.args[0]
    return (str(inner) or type(inner).__name__)[:300]


def _disk_problem(error: OSError, part: Path) -> SetupProblem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SetupProblem(f"no space is left in {part.parent}: make room, or choose another folder with --data")
    return SetupProblem(f"{part.parent} cannot be written: {error.strerror or error}")
