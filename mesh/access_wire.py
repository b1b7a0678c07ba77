"""What is said about people, keys and trust, over HTTP. Secrets appear in one answer each, and never again."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mesh.access import SCOPES, NodeKind, Role, Scope
from mesh.manifest import Identifier

UserName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
Password = Annotated[str, msgspec.Meta(min_length=10, max_length=200)]
Given = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]  # a password or token that somebody tries
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^<>\x00-\x1f\x7f]+$")]
PublicKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000 * 10)]
Pem = Annotated[str, msgspec.Meta(max_length=8000)]
TicketText = Annotated[str, msgspec.Meta(max_length=4096)]  # of a signed address, see mesh.proof


# --- people


class SetupState(msgspec.Struct, frozen=True, kw_only=True):
    """needed: nobody can sign in yet, and the one-time link makes the first admin. locked: this mesh asks for a
    sign-in. legacy_open: the original's devices are let in without one."""

    needed: bool
    locked: bool
    legacy_open: bool = False


class SetupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """token: of a one-time link: of the first start, or one that an admin made. name: taken only by the first start's;
    other links are for a person that there is already. address: see SignInRequest."""

    token: Given
    password: Password
    name: UserName | None = None
    address: str | None = None


class SignInRequest(msgspec.Struct, frozen=True, kw_only=True):
    """address: of the person's browser, believed only from a dashboard."""

    name: Given
    password: Given
    address: str | None = None


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """token: the bearer, for a cookie or an Authorization header. expires_at: Unix seconds; later when it is used."""

    token: str
    expires_at: float
    name: str
    role: Role


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True):
    old: Given
    new: Password


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. kind: as in mesh.access.Principal. role: of a person. sign_ins: of a person, how many there are."""

    kind: str
    name: str
    scopes: list[Scope]
    role: Role | None = None
    expires_at: float | None = None
    sign_ins: int | None = None


class UserRequest(msgspec.Struct, frozen=True, kw_only=True):
    """password: when missing, the answer has a one-time link's token with which the person chooses one."""

    name: UserName
    role: Role
    password: Password | None = None


class UserChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is missing stays. disabled: cannot sign in; present sign-ins end."""

    role: Role | None = None
    password: Password | None = None
    disabled: bool | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """link_pending: has a one-time link that was not used. locked_until: too many wrong passwords; Unix seconds."""

    name: str
    role: Role
    created_at: float
    disabled: bool = False
    last_sign_in: float | None = None
    sign_ins: int = 0
    link_pending: bool = False
    locked_until: float | None = None


class UserList(msgspec.Struct, frozen=True, kw_only=True):
    users: list[User]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """token: to be put behind `/setup#` of the dashboard's address. Shown once."""

    name: str
    token: str
    expires_at: float


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    user: User
    link: Link | None = None


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """expires_in: seconds; never when missing."""

    name: Label
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=len(SCOPES))]
    expires_in: Seconds | None = None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """last_used: to the minute."""

    key_id: str
    name: str
    scopes: list[Scope]
    created_at: float
    created_by: str
    expires_at: float | None = None
    last_used: float | None = None
    last_address: str | None = None


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """secret: the key itself. Shown once."""

    key: ApiKey
    secret: str


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[ApiKey]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """at: Unix seconds. who: a person's name, `key NAME`, `node NAME` or `this machine`; address: from where. action:
    what was done, such as `sign-in`, `sign-in refused`, `key made`; subject: to whom or what. outcome: `ok` or why
    not."""

    entry_id: str
    at: float
    who: str
    address: str
    action: str
    subject: str = ""
    outcome: str = "ok"


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. next_cursor: for those before them."""

    entries: list[AuditEntry]
    next_cursor: str | None = None


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """cursor: of the page before. format: `jsonl` for all of it as JSON lines, oldest first."""

    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    format: str = "json"


# --- nodes


class JoinTokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """uses: nodes that may join with it. expires_in: seconds."""

    uses: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 86_400
    name: Label = "join token"


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """uses_left: nodes that may still join with it."""

    token_id: str
    name: str
    uses: int
    uses_left: int
    created_at: float
    created_by: str
    expires_at: float


class NewJoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """secret: the token itself, which carries the fingerprint of the mesh's CA where it has one. Shown once."""

    token: JoinToken
    secret: str


class JoinTokenList(msgspec.Struct, frozen=True, kw_only=True):
    tokens: list[JoinToken]


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A node trades a join token for a certificate of its own key. proof: that it has the key, see mesh.enrolment. csr:
    a certificate request (PEM) for TLS, where the mesh has a CA."""

    token: Given
    node_id: Identifier
    kind: NodeKind
    name: Label
    public_key: PublicKey
    proof: Annotated[str, msgspec.Meta(max_length=4096)]
    csr: Pem | None = None


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What a node must know to check others. keys: the registry's public keys by kid. revoked: ids of nodes, keys and
    sign-ins that are good for nothing any more, as long as something signed for them could still be in force. version:
    another number with each change; beat replies carry it. now: Unix seconds of the registry's clock. ca: PEM, where
    the mesh has one."""

    version: int
    keys: dict[str, str]
    revoked: list[str]
    now: float
    legacy_open: bool = False
    ca: str | None = None


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """certificate: a JWT, see mesh.proof; renewed well before `expires_at`. tls: PEM chain for the csr."""

    certificate: str
    expires_at: float
    trust: Trust
    tls: str | None = None


class CertificateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A new certificate. public_key and proof: for a new key, the old one stays good for ten minutes. csr: as in
    JoinRequest."""

    public_key: PublicKey | None = None
    proof: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    name: Label | None = None
    csr: Pem | None = None


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """A node that has joined. kid: of its key. revoked_at: Unix seconds, None while it is trusted."""

    node_id: str
    kind: NodeKind
    name: str
    kid: str
    enrolled_at: float
    token_name: str
    renewed_at: float
    revoked_at: float | None = None
    revoked_by: str | None = None


class EnrolmentList(msgspec.Struct, frozen=True, kw_only=True):
    enrolments: list[Enrolment]


class IntrospectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A node asks whose bearer this is. address: from where it came."""

    credential: Given
    address: str = ""


class Introspection(msgspec.Struct, frozen=True, kw_only=True):
    """active: it is good now. The rest as in mesh.access.Principal. role, expires_at: of a person's sign-in."""

    active: bool
    kind: str = ""
    id: str = ""
    name: str = ""
    scopes: list[Scope] = []
    role: Role | None = None
    expires_at: float | None = None


class TicketRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Signed addresses for these sessions' views and these cameras' pictures."""

    sessions: Annotated[list[Identifier], msgspec.Meta(max_length=256)] = []
    cameras: Annotated[list[Identifier], msgspec.Meta(max_length=256)] = []


class SessionAddresses(msgspec.Struct, frozen=True, kw_only=True):
    token: int
    node: str
    stream_url: str
    snapshot_url: str
    detections_url: str
    stats_url: str


class CameraAddresses(msgspec.Struct, frozen=True, kw_only=True):
    image_url: str
    stream_url: str


class Tickets(msgspec.Struct, frozen=True, kw_only=True):
    """By id, those that there are now. seconds: for which they can be opened; stream_seconds: after which what they
    opened ends. None where nothing is signed, because the mesh is open to its own machine alone."""

    sessions: dict[str, SessionAddresses]
    cameras: dict[str, CameraAddresses]
    seconds: float | None
    stream_seconds: float | None


def redacted(document: dict[str, Any]) -> dict[str, Any]:
    """`document` without the members that hold secrets, for logs."""
    hidden = {"password", "old", "new", "token", "secret", "credential", "proof", "certificate", "key"}
    return {name: "***" if name in hidden else value for name, value in document.items()}
