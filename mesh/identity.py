"""Who a node is: an id that outlives restarts, its name, and what every manifest says of it."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from mesh import codec
from mesh.client import addresses_of
from mesh.errors import InvalidInput, SetupProblem
from mesh.limits import MAX_LABELS
from mesh.machine import Machine
from mesh.manifest import SCHEMA, Labels, Name, Url
from mesh.reach import WORDS, host_of, places
from mesh.settings import NodeSettings
from mesh.version import VERSION

ELSEWHERE = "192.0.2.1"  # nobody's address (RFC 5737): packets to it would leave by the default route
_MAX_SIBLINGS = 1000  # nodes of one kind and name on one machine


@dataclass(frozen=True, slots=True)
class Identity:
    """node_id: kept on disk. boot_id: new at every start. name: unique among the running nodes of this data folder.
    lock: the open file that keeps a second process from taking the same id; it frees itself when the process ends."""

    node_id: str
    boot_id: str
    name: str
    lock: IO[str]


def check(settings: NodeSettings) -> None:
    """Refuse at the start what the registry would refuse again and again. Raises SetupProblem naming the setting."""
    addresses_of(settings.registry)
    labels_of(settings.label, settings.site)
    left_open = places(settings.advertise) is not None
    for value, kind, option, words in (
        (settings.name, Name, "--name (FOGLINE_NAME)", "at most 200 characters, without < and > and line breaks"),
        ("http://x" if left_open else settings.advertise or "http://x", Url, "--advertise (FOGLINE_ADVERTISE)", WORDS),
    ):
        try:
            codec.convert(value, kind)
        except InvalidInput:
            raise SetupProblem(f"{option} is {value!r:.60}: {words}") from None


def labels_of(given: tuple[str, ...], site: str = "") -> dict[str, str]:
    """The labels that the settings give, the site among them. Raises SetupProblem naming --label or --site."""
    option = "--label (FOGLINE_LABEL)"
    labels: dict[str, str] = {}
    for text in given:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not name or not value:
            raise SetupProblem(f"{option} is {text!r:.60}: write it as KEY=VALUE, such as zone=hall-1")
        if name in labels:
            raise SetupProblem(f"{option} gives {name!r:.60} twice: a label has one value")
        labels[name] = value
    if site and "site" not in labels:
        labels["site"] = site
        option = "--site (FOGLINE_SITE) or " + option
    try:
        return codec.convert(labels, Labels)
    except InvalidInput as error:
        raise SetupProblem(
            f"{option}: {error.detail}; at most {MAX_LABELS} labels of letters, digits and . _ -"
            " (in a value also : / and spaces), a value of at most 100 characters"
        ) from None


def claim(data: Path, kind: str, name: str) -> Identity:
    """Take the identity of the `kind` node called `name` in the folder `data`, or make it on first use.

    A second node that runs with the same name becomes `name-2`, with an identity of its own.
    Raises SetupProblem when the folder cannot be written.
    """
    folder = data / "identity"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MAX_SIBLINGS):
            full = name if number == 1 else f"{name}-{number}"
            file = folder / f"{kind}-{re.sub(r'[^A-Za-z0-9._-]', '_', full)[:100]}.id"
            lock = file.open("a+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            lock.seek(0)
            node_id = lock.read().strip()
            if not re.fullmatch(r"[0-9a-f-]{36}", node_id):  # new, or cut off by a full disk
                node_id = str(uuid.uuid4())
                lock.truncate(0)
                lock.write(node_id + "\n")
                lock.flush()
                os.fsync(lock.fileno())
            return Identity(node_id, str(uuid.uuid4()), full, lock)
    except OSError as error:
        raise SetupProblem(
            f"cannot keep this node's identity in {folder}: {error.strerror}; set --data (FOGLINE_DATA)"
        ) from error
    raise SetupProblem(f"more than {_MAX_SIBLINGS} {kind} nodes are called {name!r}; give them --name (FOGLINE_NAME)")


def common_fields(
    identity: Identity, machine: Machine, settings: NodeSettings, port: int, reached: str | None
) -> dict[str, Any]:
    """The fields of a manifest that every kind of node has. reached: where, as mesh.reach found it out."""
    return {
        "schema": SCHEMA,
        "node_id": identity.node_id,
        "boot_id": identity.boot_id,
        "host_name": machine.host_name,
        "name": identity.name,
        "FriendlyName": identity.name,
        "ip_address": address_of(settings.advertise, settings.registry),
        "port": port,
        "advertise_url": reached or _secured(settings, port),
        "version": VERSION,
        "ram": machine.ram,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "labels": labels_of(settings.label, settings.site),
    }


def _secured(settings: NodeSettings, port: int) -> str | None:
    """The address of a node that serves by TLS: the registry would take it for plain HTTP."""
    if not settings.tls:
        return None
    host = address_of("", settings.registry)
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def address_towards(host: str, port: int) -> str:
    """The address of this machine that packets to `host` leave from; nothing is sent. 127.0.0.1 without a network."""
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(info[0], socket.SOCK_DGRAM) as probe:
            probe.connect(info[4])
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def address_of(advertised: str, registry: str) -> str:
    """The IP address (or host) that a manifest gives: the advertised one's, else the one that faces the registry (the
    first one of several), else the one that faces other networks."""
    if host_of(advertised):
        return host_of(advertised)
    addresses = addresses_of(registry)
    if not addresses:
        return address_towards(ELSEWHERE, 9)
    url = urlsplit(addresses[0])
    return address_towards(url.hostname or "127.0.0.1", url.port or 80)
