"""Whom a command asks, and in whose name: the registry, with a key that is shown to nobody else."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from cli.settings import AskSettings
from mesh import tls
from mesh.access import is_loopback
from mesh.access_client import AccessClient
from mesh.client import CONNECT_TIMEOUT, HERE_TIMEOUT, READ_TIMEOUT, REGISTRY_PORT, RegistryClient, addresses_of
from mesh.credentials import Credentials, given
from mesh.errors import SetupProblem
from mesh.identity import ELSEWHERE, address_towards


def registry(settings: AskSettings, timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)) -> RegistryClient:
    """The registry that is meant, asked in the name of whoever may read this machine's data folder, or of --api-key.

    A key is never shown to a registry that merely announces itself on the network: anybody there may. Raises
    SetupProblem.
    """
    tls.trust_of(settings.data)
    url = address(settings)
    if not url and settings.api_key:
        raise SetupProblem("no registry on this machine: name the one that the API key is for with --registry")
    return RegistryClient(url, timeout=timeout, credentials=credentials(settings, url))


def address(settings: AskSettings) -> str:
    """Of the registry that is meant: the one that was named, else this machine's; empty where there is none, so that
    it is sought on the network."""
    return settings.registry or (here(settings.data) if answers("127.0.0.1", REGISTRY_PORT) else "")


def here(data: Path) -> str:
    """This machine's registry: one that serves by TLS has its authority in the data folder."""
    return f"{'https' if (data / tls.OWN_FILE).exists() else 'http'}://127.0.0.1:{REGISTRY_PORT}"


def access(settings: AskSettings) -> AccessClient:
    """The same, for calls about people, keys and nodes. Raises SetupProblem."""
    client = registry(settings)
    client.address()  # one that is sought on the network is told before anything else is
    return AccessClient(client)


def credentials(settings: AskSettings, url: str) -> Credentials | None:
    """What to show to the registry at `url`: --api-key where that registry was named or is on this machine; the key in
    the data folder only where it is on this machine. Raises SetupProblem."""
    addresses = addresses_of(url)
    here = bool(addresses) and all(is_this_machine(urlsplit(one).hostname or "") for one in addresses)
    named = bool(settings.registry and settings.api_key)
    return given(settings.api_key, settings.data) if here or named else None


def is_this_machine(host: str) -> bool:
    """Whether `host` is this machine, as far as can be said without asking a DNS, which may say what it likes."""
    if is_loopback(host):
        return True
    try:
        wanted = ipaddress.ip_address(host)
    except ValueError:
        return False
    own = (one.address.partition("%")[0] for several in psutil.net_if_addrs().values() for one in several)
    return str(wanted) in own


def answers(host: str, port: int) -> bool:
    """Whether something on or near this machine listens there."""
    try:
        with socket.create_connection((host, port), HERE_TIMEOUT):
            return True
    except OSError:
        return False


def as_others_reach_it(url: str) -> str | None:
    """`url` with the address at which other machines reach it; None where only this machine does."""
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return url
    reach = address_towards(ELSEWHERE, 9)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if is_loopback(reach) or not answers(reach, port):
        return None
    return f"{parts.scheme}://{f'[{reach}]' if ':' in reach else reach}:{port}"
