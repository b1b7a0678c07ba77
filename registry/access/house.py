"""Who may come in and what they may do: everything behind the registry's doors, wired."""

from __future__ import annotations

from collections.abc import Callable

from mesh import doors
from mesh.access import Guard, Principal, is_open
from registry.access import ca, first_run
from registry.access.api_keys import ApiKeys
from registry.access.audit import Audit
from registry.access.authenticate import RegistryAuthenticator
from registry.access.backup import Backup
from registry.access.bearers import Bearers
from registry.access.book import Book
from registry.access.enrolments import Enrolments
from registry.access.join_tokens import JoinTokens
from registry.access.memory_book import MemoryBook
from registry.access.people import People
from registry.access.redis_book import RedisBook
from registry.access.tickets import Addresses, Lasting
from registry.access.trust import Trust
from registry.cameras import Cameras
from registry.redis_connection import connection
from registry.settings import IN_MEMORY, RegistrySettings
from registry.store import Store
from registry.targets import Places


class House:
    """People, keys, nodes that have joined, and what is signed for them. `start` and `stop` are called once, by the
    serving process."""

    def __init__(
        self,
        settings: RegistrySettings,
        store: Store,
        cameras: Cameras,
        body: Callable[[], bytes],
        on_error: Callable[[str], None],
    ) -> None:
        """body: reads the present request's body. on_error: called with the reason of each failure of Redis."""
        self._data = settings.data
        self._cameras = cameras
        self._book = book = _book(settings, on_error)
        self.audit = Audit(book)
        self.places = Places(book, settings)
        self.trust = Trust(
            book, settings.data, legacy_open=settings.legacy_open, stream_seconds=settings.stream_seconds
        )
        self.keys = ApiKeys(book, self.audit, self.trust.revoke)
        self.people = People(book, self.audit, self.trust.revoke)
        self.bearers = Bearers(self.people, self.keys)
        self.tokens = JoinTokens(book, lambda: self.trust.fingerprint, self.trust.clock)
        self.enrolments = Enrolments(book, self.trust, self.tokens, store, cameras, authority=ca.authority_of(settings))
        self.addresses = Addresses(
            self.trust, self.enrolments, Lasting(settings.ticket_seconds, settings.stream_seconds)
        )
        self.guard = Guard(
            doors.REGISTRY,
            RegistryAuthenticator(self.trust, self.enrolments, self.bearers, book, body),
            open=is_open(settings),
            legacy=settings.legacy_open,
            speaks_for=self._speaks_for,
        )
        self._backup = Backup(book, settings.data, self._prepare)

    def start(self) -> None:
        """Make what the first start needs; when Redis is away, as soon as it answers. Raises SetupProblem."""
        self._backup.start()

    def stop(self) -> None:
        self._backup.stop()

    def joined(self, node_id: str) -> bool:
        """Whether a node with this id has joined with a key of its own."""
        return self.enrolments.find(node_id) is not None

    def _prepare(self) -> None:
        first_run.prepare(self._book, self._data, self.people, self.keys, locked=not self.guard.open)
        self.tokens.keep_local(self._data, (self._data / first_run.FAMILY).read_text())

    def _speaks_for(self, principal: Principal, node_id: str) -> bool:
        """A host for the added cameras that it runs; never for a node with a key of its own."""
        if principal.node_kind != "camera" or self.joined(node_id):
            return False
        return self._cameras.may_be_run_by(node_id, principal.id)


def _book(settings: RegistrySettings, on_error: Callable[[str], None]) -> Book:
    if settings.redis == IN_MEMORY:
        return MemoryBook()
    return RedisBook(connection(settings), retries=settings.redis_retries, on_error=on_error)
