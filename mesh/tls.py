"""TLS inside a mesh: services show certificates of the mesh's own authority, and trust that one alone.

The registry keeps the authority (registry/access/ca.py). A join token carries the fingerprint of its certificate, so
that whoever joins can fetch it from a registry that it cannot check yet, and knows that it is the right one.
"""

from __future__ import annotations

import hmac
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.errors import FoglineError, RegistryAway, SetupProblem, Unauthorized

CA_FILE: Final = Path("identity") / "ca.pem"  # in a node's data folder: the authority that it trusts
OWN_FILE: Final = Path("access") / "authority.pem"  # in a registry's, while it serves by TLS: its own
HOLDER: Final = "fogline.internal"  # below it every node has a name that no DNS knows: NODE_ID.fogline.internal
FETCH_SECONDS: Final = (3.0, 5.0)  # to connect to a registry, and for its answer
MAX_PEM: Final = 64 * 1024  # bytes of an authority's certificate with its chain

_trusted: Path | None = None
_lock = threading.Lock()
_made: tuple[Path | None, int, ssl.SSLContext] | None = None


def trust(file: Path | None) -> None:
    """From now on this process trusts the authority in `file` for https, and no other; None for the system's."""
    global _trusted  # noqa: PLW0603  # one process, one mesh
    _trusted = file


def trust_of(data: Path) -> None:
    """Trust the authority that this data folder knows: of a registry on this machine, or the one that a node was told
    when it joined; the system's where it knows none."""
    trust(next((file for name in (OWN_FILE, CA_FILE) if (file := data / name).exists()), None))


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a service shows: the files of its certificate with the chain, and of its private key (PEM)."""

    file: Path
    key: Path


def verify() -> str | bool:
    """What `requests` takes as `verify`."""
    file = _trusted
    return str(file) if file is not None and file.exists() else True


def context() -> ssl.SSLContext:
    """For connections to other services of the mesh. Any thread may call."""
    global _made  # noqa: PLW0603
    file = _trusted
    stamp = file.stat().st_mtime_ns if file is not None and file.exists() else 0
    with _lock:
        if _made is None or _made[:2] != (file, stamp):
            _made = file, stamp, ssl.create_default_context(cafile=str(file) if stamp else None)
        return _made[2]


def connection(address: str, timeout: float) -> http.client.HTTPConnection:
    """To the host of `address`, http or https. timeout: seconds to connect in."""
    url = urlsplit(address)
    if url.scheme == "https":
        return http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout, context=context())
    return http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate in `pem`, in hexadecimal. Raises SetupProblem when there is none."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise SetupProblem("this is no certificate (PEM)") from None
    return sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def fetch_authority(registry: str, wanted: str) -> str:
    """The certificate (PEM) of the mesh's authority, from a registry that cannot be checked yet, if it has the
    fingerprint `wanted`. Raises RegistryAway, or Unauthorized for another one."""
    try:
        # Not verified: whoever answers can only give what the fingerprint names.
        answer = requests.get(f"{registry}/v1/ca", timeout=FETCH_SECONDS, verify=False, allow_redirects=False)
    except requests.RequestException as error:
        raise RegistryAway(f"the registry at {registry} does not answer ({type(error).__name__})") from None
    if answer.status_code != 200 or len(answer.content) > MAX_PEM:
        raise RegistryAway(f"{registry} has no certificate authority: was it started with --tls?")
    pem = answer.text
    try:
        same = hmac.compare_digest(fingerprint(pem), wanted.lower())
    except FoglineError:
        same = False
    if not same:
        raise Unauthorized(
            f"{registry} is not the registry that this join token is for: another certificate authority answers there."
            " Somebody may be in between; make a new token and compare the address",
            reason="wrong authority",
        )
    return pem


def new_request(node_id: str, names: list[str]) -> tuple[bytes, str]:
    """A private key (PEM) and a request (PEM) for a certificate. names: hosts and addresses by which this service is
    called; the registry grants those that it can see to be true."""
    key = ec.generate_private_key(ec.SECP256R1())  # browsers take no Ed25519 here
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{node_id[:36]}.{HOLDER}")]))
        .add_extension(x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, request.public_bytes(serialization.Encoding.PEM).decode()


def general_name(name: str) -> x509.GeneralName:
    """`name` as a certificate has it: an address or a host's name."""
    import ipaddress  # noqa: PLC0415

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def names_of_this_machine() -> list[str]:
    """By which others may call it: its host name and every address of its interfaces."""
    names = {"localhost", socket.gethostname()}
    for addresses in psutil.net_if_addrs().values():
        names |= {one.address for one in addresses if one.family == socket.AF_INET}
        names |= {
            one.address for one in addresses if one.family == socket.AF_INET6 and not one.address.startswith("fe80")
        }
    return sorted(name for name in names if name and "%" not in name)
