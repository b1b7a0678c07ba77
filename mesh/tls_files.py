"""A service's certificate for TLS, beside its identity, and how it comes to know the mesh's authority."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from mesh import tls
from mesh.errors import SetupProblem
from mesh.keys import private_file
from mesh.logs import logger
from mesh.reach import host_of

LEAST: Final = datetime.timedelta(days=30)  # that a certificate must have left at a start
log = logger(__name__)


class TlsFiles:
    """Only one thread may call at a time. identity: the file of the service's identity (`camera-line-3.id`).
    advertised: its own address as the settings give it, or empty."""

    def __init__(self, identity: Path, node_id: str, advertised: str) -> None:
        self.certificate = tls.Certificate(identity.with_suffix(".tls.pem"), identity.with_suffix(".tls.key"))
        self._node_id = node_id
        self._advertised = host_of(advertised)
        self._key: bytes | None = None

    @property
    def good(self) -> bool:
        """Whether there is a certificate that lasts a while."""
        try:
            found = x509.load_pem_x509_certificate(self.certificate.file.read_bytes())
            left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        except (OSError, ValueError):
            return False
        return left > LEAST and self.certificate.key.exists()

    def request(self) -> str:
        """A request (PEM) for a new certificate, of a new key."""
        names = {*tls.names_of_this_machine(), *([self._advertised] if self._advertised else [])}
        self._key, request = tls.new_request(self._node_id, sorted(names))
        return request

    def take(self, chain: str | None) -> None:
        """What the registry has answered to the last request. Raises SetupProblem."""
        if chain is None or self._key is None:
            return
        private_file(self.certificate.key, self._key)
        private_file(self.certificate.file, chain.encode())
        self._key = None


def learn_authority(data: Path, registry: str, token: str) -> None:
    """Come to trust the mesh's authority before a registry that speaks TLS is asked for the first time: by the
    fingerprint in the join token. Raises RegistryAway, Unauthorized, SetupProblem."""
    tls.trust_of(data)
    if not registry.startswith("https://") or tls.verify() is not True:
        return
    fingerprint = token.partition(".")[2]
    if not fingerprint:
        return  # its certificate is of an authority that this system trusts, or the connection will say that it is not
    pem = tls.fetch_authority(registry, fingerprint)
    file = data / tls.CA_FILE
    private_file(file, pem.encode())
    tls.trust_of(data)
    log.info("the mesh's authority is trusted from now on", fingerprint=fingerprint[:16])


def require_certificate(files: TlsFiles) -> tls.Certificate:
    """The certificate to serve with. Raises SetupProblem when the registry gave none."""
    if not files.good:
        raise SetupProblem(
            "the registry gives no certificates: start it with --tls, or this service without (FOGLINE_TLS)"
        )
    return files.certificate
