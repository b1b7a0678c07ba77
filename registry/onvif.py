"""ONVIF cameras on the network, found by WS-Discovery: one question by multicast, answered by whoever likes to.

An answer is a stranger's datagram. It is read within narrow bounds, and nothing in it is ever opened or fetched.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

import msgspec

from mesh.discovery import MAX_TEXT, own_addresses, plain
from mesh.errors import Unavailable
from mesh.logs import logger
from mesh.networks import ANYWHERE, Outside

GROUP = ("239.255.255.250", 3702)
SECONDS = 2.0  # to wait for answers: cameras answer after up to 0.5 s, so that they do not all speak at once
REPEATS = (0.0, 0.4)  # seconds at which the question is sent: datagrams get lost
MAX_ANSWER = 32 * 1024  # bytes: a camera with long scopes sends 4 KB
MAX_ANSWERS = 20_000  # datagrams taken for one question
MAX_READ = 64  # of one host's that are looked into
MAX_CAMERAS = 256
MAX_PER_HOST = 16  # an encoder or recorder may speak for several cameras
MAX_DEPTH = 32  # of an answer's elements; 6 are usual
MAX_RAW = 8192  # characters of one element
MAX_XADDRS = 8
SCOPE = "onvif://www.onvif.org/"
_PROBE = """<?xml version="1.0" encoding="UTF-8"?>
<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
 xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<e:Header><w:MessageID>{message}</w:MessageID>
<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>
<w:Action e:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>
<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"""
_FIELDS = ("Address", "Types", "Scopes", "XAddrs")
log = logger(__name__)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that answered, and that may be added. address: where the answer came from. xaddrs: addresses of its
    ONVIF service, as it says. urn: its own identity. already: the name of the registered camera that reads it."""

    name: str
    hardware: str
    location: str
    address: str
    xaddrs: list[str]
    urn: str
    already: str | None = None


class Refused(ValueError):
    """An answer that is not read, and why."""


def probe(seconds: float = SECONDS, interfaces: Sequence[str] | None = None) -> list[Candidate]:
    """The cameras that answer within `seconds`, by address; each once. interfaces: IPv4 addresses of this machine to
    ask on, all that face a network when None. Raises Unavailable with words when nothing could be sent."""
    message = f"uuid:{uuid.uuid4()}"
    question = _PROBE.format(message=message).encode()
    found: dict[tuple[str, str], Candidate] = {}
    heard: Counter[str] = Counter()
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as waiting:
        sockets = _sockets(own_addresses() if interfaces is None else interfaces, opened)
        for one in sockets:
            waiting.register(one, selectors.EVENT_READ)
        began = time.monotonic()
        to_send = list(REPEATS)
        while (elapsed := time.monotonic() - began) < seconds and sum(heard.values()) < MAX_ANSWERS:
            if to_send and elapsed >= to_send[0]:
                to_send.pop(0)
                _send(sockets, question)
            for key, _ in waiting.select(min([seconds, *to_send]) - elapsed):
                assert isinstance(key.fileobj, socket.socket)
                answer, (sender, _port) = key.fileobj.recvfrom(MAX_ANSWER + 1)
                heard[sender] += 1
                if heard[sender] > MAX_READ:
                    continue
                try:
                    _collect(found, sender, read(answer, message))
                except Refused as problem:
                    log.debug("an answer to the search for cameras is not read", sender=sender, reason=str(problem))
    return sorted(found.values(), key=lambda one: (socket.inet_aton(one.address), one.name, one.urn))


def read(answer: bytes, message: str) -> list[dict[str, str]]:
    """The matches of one answer to the question `message`: the raw text of each one's Address, Types, Scopes, XAddrs.

    Elements are told by their local names: devices differ in the versions of the namespaces. Raises Refused for what
    is too large, no XML, declares a document type (no entity is ever expanded), or answers somebody else.
    """
    if len(answer) > MAX_ANSWER:
        raise Refused(f"longer than {MAX_ANSWER} bytes")
    path: list[str] = []
    matches: list[dict[str, str]] = []
    relates = ""

    def start(name: str, _attributes: dict[str, str]) -> None:
        path.append(name.rpartition(" ")[2])
        if len(path) > MAX_DEPTH:
            raise Refused("nested too deep")
        if path[-1] == "ProbeMatch":
            if len(matches) >= MAX_PER_HOST:
                raise Refused("too many matches")
            matches.append({})

    def text(data: str) -> None:
        nonlocal relates
        if path[-1] == "RelatesTo":
            relates += data[:MAX_TEXT]
        elif path[-1] in _FIELDS and "ProbeMatch" in path:
            fields = matches[-1]
            fields[path[-1]] = (fields.get(path[-1], "") + data)[:MAX_RAW]

    def document_type(*_: Any) -> None:
        raise Refused("declares a document type")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = document_type
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: path.pop()
    parser.CharacterDataHandler = text
    try:
        parser.Parse(answer, True)
    except (expat.ExpatError, LookupError, UnicodeError) as error:
        raise Refused(f"no XML: {error}") from None
    if relates and relates.strip() != message:
        raise Refused("answers another question")
    return matches


def candidate(fields: dict[str, str], sender: str) -> Candidate | None:
    """A match as people read it; None for what is no camera."""
    scopes = fields.get("Scopes", "").split()
    if "NetworkVideoTransmitter" not in fields.get("Types", "") and not any(s.startswith(SCOPE) for s in scopes):
        return None

    def said(what: str) -> str:
        begin = f"{SCOPE}{what}/"
        # A location comes in parts: location/country/…, location/city/…
        parts = [scope.removeprefix(begin).rpartition("/")[2] for scope in scopes if scope.startswith(begin)]
        return plain(", ".join(dict.fromkeys(unquote(part, errors="replace") for part in parts if part)))

    return Candidate(
        name=said("name") or said("hardware") or "camera",
        hardware=said("hardware"),
        location=said("location"),
        address=sender,
        xaddrs=[address for address in fields.get("XAddrs", "").split() if _is_address(address)][:MAX_XADDRS],
        urn=plain(fields.get("Address", "").strip()),
    )


def _collect(found: dict[tuple[str, str], Candidate], sender: str, matches: list[dict[str, str]]) -> None:
    for fields in matches:
        one = candidate(fields, sender)
        if one is None or len(found) >= MAX_CAMERAS:
            continue
        # By both: nobody can take another's place by giving its identity, and who answers twice is listed once.
        key = (sender, one.urn)
        if key not in found and sum(other.address == sender for other in found.values()) >= MAX_PER_HOST:
            raise Refused(f"speaks for more than {MAX_PER_HOST} cameras")
        found.setdefault(key, one)


def _sockets(interfaces: Sequence[str], opened: contextlib.ExitStack) -> list[socket.socket]:
    """One socket for each interface: the answers come back to the port that asked."""
    sockets = []
    problem: object = "this machine has no network"
    for address in interfaces:
        try:
            one = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.bind((address, 0))
            one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            one.setblocking(False)
        except OSError as error:
            problem = error.strerror or error
            continue
        sockets.append(one)
    if not sockets:
        raise _impossible(problem)
    return sockets


def _send(sockets: Sequence[socket.socket], question: bytes) -> None:
    """Ask on every interface. Raises Unavailable when none takes it."""
    problems = []
    for one in sockets:
        try:
            one.sendto(question, GROUP)
        except OSError as error:
            problems.append(error)
    if len(problems) == len(sockets):
        raise _impossible(problems[0].strerror or problems[0])


def _impossible(reason: object) -> Unavailable:
    return Unavailable(
        f"cameras cannot be looked for: multicast is not possible from here ({reason}). In a container, give the "
        "registry the host's network; adding a camera by hand always works"
    )


def _is_address(text: str) -> bool:
    """Whether a camera could be there. Whether one may be is looked at when somebody adds it."""
    if text != plain(text):
        return False
    try:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        ANYWHERE.check(parts.hostname, parts.port or 80)
    except (ValueError, Outside):
        return False
    return True
