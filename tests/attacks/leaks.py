"""Finding a secret wherever somebody else might read it, however it is written."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest
import redis
import requests

LOOKED_AT = 256 * 1024  # bytes of an answer: a stream has no end
LISTENED = 0.4  # seconds of the same


def forms(secret: str) -> set[bytes]:
    """The secret as it is, percent-encoded, as a JSON string, in hexadecimal, and within base64 at any place."""
    plain = secret.encode()
    found = {plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), plain.hex().encode()}
    for before in range(3):  # bytes that stand before it in what was encoded
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Letters that also depend on what stands beside it are left off.
            found.add(encode(b"\0" * before + plain)[(0, 2, 3)[before] : (len(plain) + before) * 4 // 3])
    return found


@dataclass
class Secrets:
    """values: each secret by what it is."""

    values: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, value: str) -> str:
        assert len(value) >= 8, "too short to be found for certain"
        self.values[what] = value
        return value

    def within(self, data: bytes) -> set[str]:
        """What of them is in `data`."""
        return {what for what, value in self.values.items() if any(form in data for form in forms(value))}


@dataclass(frozen=True)
class Heard:
    """One answer. what: the call that it is the answer to. data: its status, headers and body."""

    what: str
    data: bytes


@contextmanager
def hearing() -> Iterator[list[Heard]]:
    """Take down all answers that this process gets over HTTP."""
    heard: list[Heard] = []
    send = requests.Session.send

    def listen(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        answer = send(self, request, **options)
        body = answer.content if not options.get("stream") else b""
        headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        what = f"{request.method} {urlsplit(str(request.url)).path}"
        heard.append(Heard(what, f"{answer.status_code} {answer.reason}\r\n{headers}\r\n".encode() + body))
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", listen)
        yield heard


def beginning(answer: requests.Response) -> bytes:
    """What comes first of an answer that may have no end."""
    with answer:
        body, until = b"", time.monotonic() + LISTENED
        try:
            for piece in answer.iter_content(8192):
                body += piece
                if len(body) > LOOKED_AT or time.monotonic() > until:
                    break
        except requests.RequestException:
            pass  # it was silent: what came so far is all
        return body


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below, with its content."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file, file.read_bytes()


def is_private(file: Path, top: Path) -> bool:
    """Whether only its owner reads it: by its own mode, or by that of a folder around it below `top`."""
    around = [file, *(one for one in file.parents if one.is_relative_to(top) and one != top)]
    return any(one.stat().st_mode & 0o077 == 0 for one in around)


def command_lines(tops: Iterable[int]) -> bytes:
    """Of these processes and all that they started: every user of the machine can read them."""
    family = [one for top in tops for one in (psutil.Process(top), *psutil.Process(top).children(recursive=True))]
    return b"\0\0".join(Path(f"/proc/{one.pid}/cmdline").read_bytes() for one in family if one.is_running())


def everything(store: redis.Redis) -> dict[str, bytes]:
    """All that a Redis knows, by key: names of fields and members included."""
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": store.get,
        b"hash": store.hgetall,
        b"set": store.smembers,
        b"zset": lambda key: store.zrange(key, 0, -1),
        b"list": lambda key: store.lrange(key, 0, -1),
        b"stream": store.xrange,
    }
    # Some keys last for seconds: those that have run out since they were listed are of no kind.
    found = [(key, _kind(store, key)) for key in store.scan_iter()]
    return {key.decode(): key + b" " + _flat(readers[kind](key)) for key, kind in found if kind != b"none"}


def _flat(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple | set):
        return b" ".join(_flat(one) for one in value)
    return str(value).encode()


def _kind(store: redis.Redis, key: bytes) -> bytes:
    kind: Any = store.type(key)
    return bytes(kind)
