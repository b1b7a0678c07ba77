"""The registry's watch as an iterator: what happens to nodes and sessions, as it happens."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import msgspec
import requests

from mesh import codec, tls
from mesh.client import RegistryClient
from mesh.errors import RegistryAway
from mesh.proof import Call, target

QUIET = 25.0  # seconds without even a keep-alive, which comes every ten, after which the connection counts as lost


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """kind: `snapshot`, `node`, `session` or `mesh`; see the registry's `GET /v1/events`. `quiet` without data is a
    keep-alive."""

    kind: str
    data: dict[str, Any]


def follow(client: RegistryClient, connect: float = 2.0) -> Generator[Event, None, None]:
    """Events from now on, `snapshot` first. connect: seconds to wait for a connection.

    Ends never by itself; raises RegistryAway when the connection breaks, no registry answers, or something else does.
    """
    address = client.address()
    shown = client._credentials.headers(Call("GET", target("/v1/events", "")), b"")
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{address}/v1/events",
                stream=True,
                timeout=(connect, QUIET),
                headers={"Accept": "text/event-stream", **shown},
                allow_redirects=False,
                verify=tls.verify(),
            )
            with answer:
                if answer.status_code != 200:
                    raise RegistryAway(f"the registry at {address} answered {answer.status_code} to a watcher")
                yield from _events(answer.iter_content(chunk_size=None))
    except requests.RequestException as error:
        raise RegistryAway(f"the registry at {address} broke off ({type(error).__name__})") from error
    raise RegistryAway(f"the registry at {address} ended the connection")


def _events(chunks: Iterator[bytes]) -> Iterator[Event]:
    rest = bytearray()
    for chunk in chunks:
        looked = max(0, len(rest) - 1)  # a snapshot of thousands comes in many chunks
        rest += chunk
        while (end := rest.find(b"\n\n", looked)) >= 0:
            block = bytes(rest[:end])
            del rest[: end + 2]
            looked = 0
            yield _event(block)


def _event(block: bytes) -> Event:
    kind, data = "", b""
    for line in block.split(b"\n"):
        if line.startswith(b"event: "):
            kind = line[7:].decode("ascii", "replace")
        elif line.startswith(b"data: "):
            data = line[6:]
    if not kind:
        return Event(kind="quiet", data={})
    return Event(kind=kind, data=codec.parse_answer(data))
