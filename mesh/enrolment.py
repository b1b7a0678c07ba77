"""One node's membership of a locked mesh: its own key, the registry's certificate of it, and whom it trusts.

A node that is locked itself, or that a registry asks for it, joins with a join token, once; from then on it signs with
its key. The certificate is renewed from half its life on, and the key changes every month: the old one stays good while
the new one becomes known. All of that is done in one thread, again and again as long as it fails.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from mesh import tls
from mesh.access import NodeKind
from mesh.access_wire import CertificateRequest, Joined, JoinRequest
from mesh.backoff import Backoff
from mesh.client import CONNECT_TIMEOUT, READ_TIMEOUT, RegistryClient
from mesh.credentials import NodeCredentials
from mesh.errors import FoglineError, Forbidden, NotFound, RegistryAway, SetupProblem, Unauthorized
from mesh.identity import Identity
from mesh.join_token import VARIABLE, JoinSettings, token_of, withhold
from mesh.joining import NO_TOKEN, join_proof
from mesh.key_files import KeyFiles
from mesh.keys import Key
from mesh.logs import logger
from mesh.tls_files import TlsFiles, learn_authority, require_certificate
from mesh.trusted import Trusted

KEY_SECONDS: Final = 30 * 86_400.0  # for which a node's key is used
RENEW_SPREAD: Final = 0.1  # of a certificate's life: a fleet that joined at once does not renew at once
FIRST_RETRY: Final = 0.2  # seconds: a registry on the same machine writes its join token a moment later
RETRY_CEILING: Final = 10.0  # seconds between two tries: revocations must be heard of soon after an outage
TOKEN_LOOK: Final = 1.0  # seconds between two looks for a join token in the data folder
LOOK_SECONDS: Final = 60.0  # between two looks whether something is due: a computer may have slept
GRACE: Final = 3.0  # seconds after the start in which a missing join token is no news
PATIENCE: Final = 5.0  # seconds for which a call waits until the node has joined
JOIN_AGAIN: Final = 60.0  # seconds between two joins: each uses up a token
TRUST_AGAIN: Final = 1.0  # seconds between two questions because of a signature by an unknown key
TRUST_TIMEOUT: Final = (0.5, 1.5)  # seconds to connect and to answer, while a viewer waits
PASSING: Final = ("clock", "replayed", "other request")  # refusals of one request that say nothing of the node
log = logger(__name__)


def enrol(settings: JoinSettings, kind: NodeKind, identity: Identity, *, open: bool) -> Enrolment:
    """The membership of a service with these settings. open: it is in open mode (mesh.access.is_open)."""
    withhold()
    return Enrolment(settings, kind, identity, open=open)


class Enrolment:
    """Any thread may call any method. `start` begins the thread, `stop` ends it.

    In open mode nothing happens until a registry wants to know who asks; from then on the node is locked, too.
    `credentials` sign its requests, `trusted` is what it knows of others.
    """

    def __init__(self, settings: JoinSettings, kind: NodeKind, identity: Identity, *, open: bool) -> None:
        self.kind = kind
        self.node_id = identity.node_id
        self.credentials = NodeCredentials(identity.node_id)
        self._settings = settings
        self._name = identity.name
        self._files = KeyFiles(Path(identity.lock.name))
        self.trusted = Trusted(self._files.trust)
        files = TlsFiles(Path(identity.lock.name), identity.node_id, getattr(settings, "advertise", ""))
        self._tls = files if settings.tls else None
        tls.trust_of(settings.data)
        self._open = open
        self._client = RegistryClient(settings.registry, credentials=self.credentials)
        self._quick = self._client.showing(self.credentials, TRUST_TIMEOUT)
        self._changed = threading.Condition()
        # Whether this node has to join: a registry that speaks TLS is known by what a join token says of it.
        self._asked = not open or settings.registry.startswith("https://")
        self._unknown = False  # the registry does not take its certificate
        self._revoked = False
        self._renew_at = self._ends = float("inf")  # of the certificate: Unix seconds of the registry's clock
        self._joined_at = float("-inf")  # monotonic seconds
        self._began_at = time.monotonic()
        self._again_at = float("-inf")  # monotonic seconds of the next try after one that failed
        self._error: FoglineError | None = None
        self._said: str | None = None  # what the log was told is wrong
        self._trust_wanted: int | None = None
        self._trust_asked = threading.Lock()
        self._trust_asked_at = float("-inf")
        self._backoff = Backoff(FIRST_RETRY, RETRY_CEILING)
        self._stopping = False
        self._thread: threading.Thread | None = None
        if self._asked:
            with suppress(SetupProblem):  # said by the thread, which tries again
                self._load()

    def registry(self, timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)) -> RegistryClient:
        """A client that signs as this node, and joins when the registry wants that."""
        return RegistryClient(
            self._settings.registry, timeout=timeout, credentials=self.credentials, refused=self.refused
        )

    @property
    def joined(self) -> bool:
        return self.credentials.joined

    @property
    def locked(self) -> bool:
        """Whether this node asks everybody who they are."""
        return not self._open or self.credentials.joined

    @property
    def problem(self) -> str | None:
        """Why nobody takes it for a node of the mesh, in words; None when all do, or need not."""
        good = self.joined and not self._revoked and self.credentials.now() < self._ends
        if not self._asked or good:
            return None
        return "joining the mesh" if self._error is None else self._error.detail

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="enrolment", daemon=True)
        self._thread.start()

    def certificate(self) -> tls.Certificate | None:
        """What to serve with; None without --tls. Waits for the registry as long as it takes to get one, so it is
        called before the service begins, by a process that is started anew. Raises SetupProblem when the registry
        gives none."""
        if self._tls is None or self._tls.good:
            return self._tls.certificate if self._tls is not None else None
        while True:
            try:
                self._load()
                if self.joined:
                    self._renew()
                else:
                    self._join()
                return require_certificate(self._tls)
            except SetupProblem:
                raise
            except FoglineError as error:
                self._fail(error)
                time.sleep(self._backoff.delay())

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    # --- for who speaks to the registry

    def require(self) -> None:
        """Wait a moment for the node to join, if it has to. Raises why it has not."""
        with self._changed:
            if self._asked and not self.joined:
                self._await_try()

    def refused(self, error: Unauthorized) -> bool:
        """The registry did not believe a request of this node; whether to send it again, which now is signed anew.
        Waits a few seconds for that. Raises Unauthorized with words for people."""
        reason = error.members.get("reason")
        if reason in PASSING:
            return False
        with self._changed:
            self._revoked = reason == "revoked"
            if self._revoked:
                self._fail(self._farewell())
                self._changed.notify_all()
                raise self._farewell()
            if reason == "missing" and self.joined and not self._unknown:
                return True  # it has joined since
            if reason != "missing" and time.monotonic() - self._joined_at < JOIN_AGAIN:
                return False
            self._asked = True
            self._unknown = self._unknown or self.joined
            self._await_try()
            return True

    def heard(self, trust: int, now: float | None) -> None:
        """The registry's answer had this version of its trust document, 0 while it does not know, and this time."""
        self._revoked = False
        if now is not None:
            self.credentials.heard(now)
        if self.joined and trust not in (0, self.trusted.version, self._trust_wanted):
            with self._changed:
                self._trust_wanted = trust
                self._changed.notify_all()

    def ask_trust(self) -> None:
        """Something is signed with a key that is not known: perhaps a new one. Waits a moment for the registry, which
        is not asked more than once a second."""
        known = self.trusted.keys
        if not self.joined or not self._trust_asked.acquire(timeout=sum(TRUST_TIMEOUT)):
            return
        try:
            if self.trusted.keys is not known or time.monotonic() - self._trust_asked_at < TRUST_AGAIN:
                return
            self._trust_asked_at = time.monotonic()
            self._ask_trust(self._quick)
        except FoglineError as error:
            log.warning("whom to trust could not be asked", reason=error.detail)
        finally:
            self._trust_asked.release()

    def _await_try(self) -> None:
        """Wait until the node has joined, unless it is known why it cannot, which is raised. Under the lock."""
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._good or self._said is not None or self._stopping, PATIENCE)
        if not self._good:
            raise _copy(self._error or Unauthorized("joining the mesh", reason="missing"))

    # --- the thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._work()
                failed: FoglineError | None = None
            except FoglineError as error:
                failed = error
            except Exception as error:  # without this thread the node would leave the mesh within a day
                log.exception("the enrolment failed; it goes on")
                failed = Unauthorized(f"this is a defect of Fogline ({type(error).__name__}); the log has the trace")
            with self._changed:
                if failed is None:
                    self._error = self._said = None
                    self._backoff.reset()
                else:
                    self._fail(failed)
                    delay = max(self._backoff.delay(), failed.retry_after or 0.0)
                    if failed.members.get("reason") == "missing":
                        delay = min(delay, TOKEN_LOOK)
                    self._again_at = time.monotonic() + delay
                self._changed.notify_all()
                self._rest()

    def _rest(self) -> None:
        """Wait until there is something to do. Under the lock."""
        if self._error is not None:
            self._changed.wait_for(lambda: self._stopping, max(0.0, self._again_at - time.monotonic()))
        else:
            self._changed.wait_for(lambda: self._stopping or self._due, LOOK_SECONDS)

    @property
    def _good(self) -> bool:
        return self.joined and not self._unknown

    @property
    def _due(self) -> bool:
        joining = self._revoked or (self._asked and not self._good)
        return joining or self.credentials.now() >= self._renew_at or self._trust_wanted is not None

    def _work(self) -> None:
        """Do what is due. Raises what keeps it from that."""
        if self._asked and not self.joined:
            self._load()
        if self._revoked:
            raise self._farewell()
        if self._asked and not self._good:
            self._join()
        elif self.credentials.now() >= self._renew_at:
            self._renew()
        if self._trust_wanted is not None and self.joined:
            self._ask_trust(self._client)

    def _load(self) -> None:
        """Take up what an earlier run has kept. Raises SetupProblem."""
        found = self._files.load()
        if found is not None:
            self._hold(*found)

    def _join(self) -> None:
        token = token_of(self._settings)
        if not token:
            raise Unauthorized(
                f"no join token: make one with ./fogline token create and start this with --join-token ({VARIABLE})",
                reason="missing",
            )
        learn_authority(self._settings.data, self._client.address(), token)
        key = self._files.key() or self._files.new_key()
        try:
            joined = self._ask_to_join(key, token)
        except (Unauthorized, Forbidden) as error:
            if error.members.get("reason") == "revoked":
                raise self._farewell() from None
            if error.members.get("reason") != "clock":
                raise
            joined = self._ask_to_join(key, token)  # now that the registry's clock is known
        self._take(key, joined)
        self._joined_at = time.monotonic()
        log.info("joined the mesh's trust", registry=self._client.url, kid=key.kid[:12])

    def _ask_to_join(self, key: Key, token: str) -> Joined:
        return self._client.join(
            JoinRequest(
                token=token,
                node_id=self.node_id,
                kind=self.kind,
                name=self._name[:100],
                public_key=key.public,
                proof=join_proof(key, self.node_id, token, self.credentials.now()),
                csr=self._request(),
            )
        )

    def _request(self) -> str | None:
        """A request for a certificate for TLS, where this service needs one."""
        return self._tls.request() if self._tls is not None else None

    def _renew(self) -> None:
        """A new certificate; for a new key when this one is old. The old one is used until the new one is known."""
        key, following = self.credentials.key, self._files.next_key(KEY_SECONDS)
        assert key is not None
        try:
            self._certify(key, following)
        except (Unauthorized, Forbidden, NotFound) as error:
            reason = error.members.get("reason")
            if reason in PASSING:
                raise
            if reason == "revoked":
                raise self._farewell() from None
            if following is not None and self._follows(key, following):
                return
            log.warning("the registry does not know this node any more; joining again", reason=error.detail)
            self._join()

    def _certify(self, key: Key, following: Key | None) -> None:
        if following is None:
            wish = CertificateRequest(name=self._name[:100], csr=self._request())
            self._take(key, self._client.certificate(self.node_id, wish))
            return
        proof = join_proof(following, self.node_id, NO_TOKEN, self.credentials.now())
        request = CertificateRequest(
            public_key=following.public, proof=proof, name=self._name[:100], csr=self._request()
        )
        self._take(following, self._client.certificate(self.node_id, request))
        log.info("this node signs with a new key from now on", kid=following.kid[:12])

    def _follows(self, key: Key, following: Key) -> bool:
        """Whether the registry knows the new key already: the answer that said so was lost, long ago."""
        certificate = self._files.certificate()
        self.credentials.hold(following, certificate)
        try:
            self._certify(following, None)
        except (Unauthorized, Forbidden, NotFound):
            self.credentials.hold(key, certificate)
            return False
        return True

    def _take(self, key: Key, joined: Joined) -> None:
        self._hold(key, joined.certificate)
        self.credentials.heard(joined.trust.now)
        self.trusted.take(joined.trust)
        try:
            if self._tls is not None:
                self._tls.take(joined.tls)
            self._files.keep(key, joined.certificate)
        except SetupProblem as error:  # it is good for this run
            log.warning("this node's certificate is not kept for the next start", reason=error.detail)

    def _hold(self, key: Key, certificate: str) -> None:
        begins, self._ends = self._files.life(certificate)
        self._renew_at = begins + (self._ends - begins) * (0.5 + random.uniform(0, RENEW_SPREAD))
        self.credentials.hold(key, certificate)
        self._unknown = False

    def _ask_trust(self, client: RegistryClient) -> None:
        document = client.trust()
        self._trust_wanted = None
        self.credentials.heard(document.now)
        self.trusted.take(document)

    def _farewell(self) -> Unauthorized:
        return Unauthorized(
            f"this node was revoked: to let it in again, stop it, remove {self._files.pattern}, and start it with a new"
            " join token",
            reason="revoked",
        )

    def _fail(self, error: FoglineError) -> None:
        """Remember what is wrong; the log hears of it once."""
        self._error = error
        if error.members.get("reason") == "missing" and time.monotonic() - self._began_at < GRACE:
            return  # the registry of this machine may be starting, too
        if error.detail != self._said:
            self._said = error.detail
            words = "cannot renew what this node is known by" if self.joined else "cannot join the mesh"
            log.warning(f"{words}; trying again", reason=error.detail)


def _copy(error: FoglineError) -> FoglineError:
    """To be raised in another thread."""
    if isinstance(error, RegistryAway):
        return RegistryAway(error.detail, **error.members)
    return Unauthorized(error.detail, reason=error.members.get("reason"))
