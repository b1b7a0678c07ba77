"""The mesh's certificate authority, for who serves by TLS: made at the first start, or the factory's own.

It signs what it can see to be true: the address that a request for a certificate came from, names that lead there, and
the node's own name below `fogline.internal`. So a node cannot get a certificate for another machine's address.
"""

from __future__ import annotations

import datetime
import fcntl
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh import tls
from mesh.errors import InvalidInput, SetupProblem
from mesh.keys import private_file
from registry.settings import RegistrySettings

FOLDER: Final = "access"  # in the registry's data folder
CERTIFICATE: Final = "ca.pem"
KEY: Final = "ca.key"
CA_DAYS: Final = 3650
SERVICE_DAYS: Final = 90  # renewed with the node's certificate, long before
EARLIER: Final = datetime.timedelta(hours=1)  # clocks of cameras and small computers are behind
MAX_NAMES: Final = 64  # in one request


@dataclass(frozen=True)
class Authority:
    """pem: the certificate, with those above it where the factory's own authority is not a root."""

    pem: str
    _certificate: x509.Certificate
    _key: CertificateIssuerPrivateKeyTypes

    @classmethod
    def open(cls, data: Path, certificate: Path | None = None, key: Path | None = None) -> Authority:
        """The authority of the data folder, made if there is none; or the factory's own in these two files. Raises
        SetupProblem."""
        if certificate is None or key is None:
            folder = data / FOLDER
            certificate, key = folder / CERTIFICATE, folder / KEY
            _make(certificate, key)
        try:
            pem = certificate.read_text()
            private = serialization.load_pem_private_key(key.read_bytes(), None)
            found = x509.load_pem_x509_certificate(pem.encode())
        except OSError as error:
            raise SetupProblem(f"cannot read {error.filename}: {error.strerror}") from None
        except (ValueError, TypeError):
            raise SetupProblem(
                f"{certificate} or {key} is no certificate or no private key without a password (PEM)"
            ) from None
        if key.stat().st_mode & 0o077:
            raise SetupProblem(f"others may read {key}: chmod 600 {key}")
        _require_authority(found, certificate)
        if not isinstance(private, ec.EllipticCurvePrivateKey) and not hasattr(private, "sign"):
            raise SetupProblem(f"{key} cannot sign certificates")
        if private.public_key().public_bytes(*_PUBLIC) != found.public_key().public_bytes(*_PUBLIC):
            raise SetupProblem(f"{key} is not the key of {certificate}")
        return cls(pem, found, private)  # type: ignore[arg-type]  # every kind that can sign is one

    @property
    def fingerprint(self) -> str:
        return tls.fingerprint(self.pem)

    def issue(self, request: str, node_id: str, seen: str) -> str:
        """A certificate (PEM, with the chain) for what of `request` (PEM) is true. seen: the address that it came
        from. Raises InvalidInput."""
        try:
            asked = x509.load_pem_x509_csr(request.encode())
            if not asked.is_signature_valid:
                raise ValueError
            names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, x509.ExtensionNotFound):
            raise InvalidInput("csr: no request for a certificate (PEM) with names and a good signature") from None
        wanted = [str(value) for value in names.get_values_for_type(x509.DNSName)]
        wanted += [str(value) for value in names.get_values_for_type(x509.IPAddress)]
        granted = {f"{node_id}.{tls.HOLDER}", *_true(wanted[:MAX_NAMES], seen)}
        return self._sign(asked.public_key(), sorted(granted), node_id)

    def issue_own(self, names: list[str]) -> tuple[bytes, str]:
        """A private key and a certificate (PEM) for the registry itself, by these names."""
        private, request = tls.new_request("registry", names)
        asked = x509.load_pem_x509_csr(request.encode())
        return private, self._sign(asked.public_key(), sorted({*names, f"registry.{tls.HOLDER}"}), "registry")

    def _sign(self, public: object, names: list[str], node_id: str) -> str:
        now = datetime.datetime.now(datetime.UTC)
        until = min(now + datetime.timedelta(days=SERVICE_DAYS), self._certificate.not_valid_after_utc)
        signed = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{node_id[:36]}.{tls.HOLDER}")]))
            .issuer_name(self._certificate.subject)
            .public_key(public)  # type: ignore[arg-type]  # of a request whose signature was checked
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - EARLIER)
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([tls.general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._certificate.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return signed.public_bytes(serialization.Encoding.PEM).decode() + self.pem


def authority_of(settings: RegistrySettings) -> Authority | None:
    """The authority of a registry that serves by TLS; None for others. Raises SetupProblem."""
    if not settings.tls:
        return None
    if bool(settings.ca) != bool(settings.ca_key):
        raise SetupProblem("--ca and --ca-key (FOGLINE_CA, FOGLINE_CA_KEY) are given together or not at all")
    own = (Path(settings.ca), Path(settings.ca_key)) if settings.ca else (None, None)
    return Authority.open(settings.data, *own)


def certificate_of(settings: RegistrySettings) -> tls.Certificate | None:
    """What this registry serves with: a new certificate at each start, and the authority's laid out for others on this
    machine. None without TLS. Raises SetupProblem."""
    published = settings.data / tls.OWN_FILE
    authority = authority_of(settings)
    if authority is None:
        published.unlink(missing_ok=True)
        return None
    private_file(published, authority.pem.encode())
    published.chmod(0o644)  # no secret
    named = [] if settings.host in ("0.0.0.0", "::") else [settings.host]
    key, chain = authority.issue_own(sorted({*tls.names_of_this_machine(), *named}))
    files = tls.Certificate(settings.data / FOLDER / "registry.tls.pem", settings.data / FOLDER / "registry.tls.key")
    private_file(files.key, key)
    private_file(files.file, chain.encode())
    tls.trust_of(settings.data)
    return files


_PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _make(certificate: Path, key: Path) -> None:
    """Make an authority where there is none. Several registries with one folder may call it at once."""
    if certificate.exists() and key.exists():
        return
    try:
        certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (certificate.parent / "ca.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if certificate.exists() and key.exists():
                return
            private = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Fogline mesh at {socket.gethostname()[:40]}")])
            now = datetime.datetime.now(datetime.UTC)
            made = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(name)
                .public_key(private.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - EARLIER)
                .not_valid_after(now + datetime.timedelta(days=CA_DAYS))
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
                .sign(private, hashes.SHA256())
            )
            private_file(
                key,
                private.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ),
            )
            private_file(certificate, made.public_bytes(serialization.Encoding.PEM))
            certificate.chmod(0o644)  # no secret: browsers are given it
    except OSError as error:
        raise SetupProblem(f"cannot make a certificate authority in {certificate.parent}: {error.strerror}") from None


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _require_authority(certificate: x509.Certificate, file: Path) -> None:
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        allowed = False
    if not allowed:
        raise SetupProblem(f"{file} is no certificate of an authority: it may sign no others")
    if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise SetupProblem(f"{file} has expired")


def _true(names: list[str], seen: str) -> set[str]:
    """Those of `names` that lead to the address `seen`."""
    try:
        address = ipaddress.ip_address(seen)
    except ValueError:
        return set()
    found = {str(address)}
    for name in names:
        if name == seen:
            continue
        if address.is_loopback and (name == "localhost" or _is_own(name)):
            found.add(name)  # it is on the registry's machine: all that this machine is called is true
        elif not _is_address(name) and seen in _addresses(name):
            found.add(name)
    return found


def _is_own(name: str) -> bool:
    return name in tls.names_of_this_machine()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _addresses(name: str) -> set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    except OSError:
        return set()
