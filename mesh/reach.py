"""At which of several addresses a node is reached from outside: the port that a container engine chose for it.

A container does not know at which port of its host it is published. Where `--advertise` gives a range of ports, the
node asks each of them who answers, and tells the mesh the one that leads to itself.
"""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import requests

from mesh import tls
from mesh.errors import SetupProblem
from mesh.logs import logger

NODE_ID: Final = "X-Node-Id"  # header of /healthz: the node that answers
TIMEOUT: Final = (1.0, 2.0)  # seconds to connect and to answer in: it is the next machine, or this one
MAX_PORTS: Final = 64  # of a range: each is asked
AT_ONCE: Final = 16  # ports that are asked together
WORDS: Final = (
    "write it as http://HOST:PORT; a range of ports may stand there (http://HOST:8000-8003), from which the node finds"
    " its own, and the host may be left out (http://:8000-8003): it is then the address that the registry sees"
)
_FORM: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]@?#]*):(?P<ports>\d+(?:-\d+)?)/?"
)
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node may be reached. host: as it stands in a URL; empty for the one that the registry sees."""

    scheme: str
    host: str
    ports: range

    def url(self, host: str, port: int) -> str:
        return f"{self.scheme}://{host}:{port}"


def places(advertised: str) -> Places | None:
    """What `--advertise` leaves open; None where it is empty or says one address outright. Raises SetupProblem."""
    found = _FORM.fullmatch(advertised.strip())
    if found is None or (found["host"] and "-" not in found["ports"]):
        return None
    first, _, last = found["ports"].partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not 1 <= len(ports) <= MAX_PORTS or ports[0] < 1 or ports[-1] > 65535:
        raise SetupProblem(
            f"--advertise (FOGLINE_ADVERTISE) is {advertised!r:.80}: give at most {MAX_PORTS} ports, the lowest first"
        )
    return Places(found["scheme"], found["host"], ports)


class Reach:
    """Where this node is reached, found out as far as `advertised` leaves it open. Called by the beat's thread alone.

    url: what its manifest says; None for the address that the registry sees, with the node's own port.
    """

    def __init__(self, advertised: str, node_id: str) -> None:
        self._node_id = node_id
        self._open = places(advertised)
        self._told = ""
        self.url: str | None = (advertised or None) if self._open is None else None

    def settle(self, listed: str) -> bool:
        """Look again when what is known leads here no more; whether `url` has changed, so that the manifest must be
        sent anew. listed: the node's URL as the registry has it; empty while it has none."""
        nowhere = self._open is not None and not (self._open.host or self.url or listed)
        if self._open is None or nowhere or self._is_settled(listed):
            return False
        host = self._open.host or _host_of(self.url or listed)
        urls = [self._open.url(host, port) for port in self._open.ports]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="reach") as threads:
            leading = [url for url, leads in zip(urls, threads.map(self._leads_here, urls), strict=True) if leads]
        found = leading[0] if leading else None
        if found is None:
            asked = f"{urls[0]}{_upto(self._open.ports)}"
            self._tell(
                f"none of {asked} leads to this node: publish its port there (`ports` in the compose file), or set"
                " FOGLINE_ADVERTISE to the address that does"
            )
            found = self.url or urls[0]  # which the registry does not reach either, so that people see what is wrong
        changed = found != self.url
        self.url = found
        return changed

    def _is_settled(self, listed: str) -> bool:
        """Without a port published on its host a node is reached where the registry sees it, with its own port."""
        assert self._open is not None
        known = self.url or ("" if self._open.host else listed)
        return bool(known) and self._leads_here(known)

    def _leads_here(self, url: str) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False
                # Only the head is read: whoever else listens there might answer without end.
                answer = session.get(
                    f"{url}/healthz", timeout=TIMEOUT, allow_redirects=False, verify=tls.verify(), stream=True
                )
        except requests.RequestException:
            return False
        return answer.headers.get(NODE_ID) == self._node_id

    def _tell(self, words: str) -> None:
        if words != self._told:
            self._told = words
            log.warning("this node may not be reached from other machines", reason=words)


def host_of(advertised: str) -> str:
    """The host that `--advertise` names; empty when it names none."""
    found = _FORM.fullmatch(advertised.strip())
    return found["host"].strip("[]") if found is not None else urlsplit(advertised).hostname or ""


def _host_of(url: str) -> str:
    host = urlsplit(url).hostname or socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _upto(ports: range) -> str:
    return f"-{ports[-1]}" if len(ports) > 1 else ""
