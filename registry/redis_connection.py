"""Reaching Redis: addresses, timeouts, and what happens while it does not answer."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from mesh.errors import RegistryAway, SetupProblem
from mesh.logs import redact
from registry.settings import RegistrySettings

SENTINEL = "redis+sentinel"
SENTINEL_PORT = 26379
RETRY_AFTER = 1  # seconds: an embedded Valkey is back within one
RETRY_PAUSE = 0.03  # seconds before a call is tried again: a connection that was cut is made anew
HANG_PAUSE = 1.0  # seconds in which nobody asks a Redis that hung: each try holds a thread for all its timeouts
_AWAY = (
    redis.exceptions.ConnectionError,  # MasterNotFoundError is one
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
)
_WRITES_REFUSED = (
    "MISCONF", "OOM", "READONLY", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "BUSY", "UNBLOCKED",
)  # fmt: skip
T = TypeVar("T")


def connection(settings: RegistrySettings, *, wait: float = 0.0) -> redis.Redis:
    """A client of the Redis that the settings name; it connects with its first call.

    wait: seconds that a call may block at the server by its own wish. Raises SetupProblem for an address that is none.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": settings.redis_timeout + wait,
        "socket_connect_timeout": settings.redis_timeout,
        # Ours: redis-py would retry the handshake within each retry, so that a hang lasts 9 timeouts, not 3.
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        if settings.redis.startswith(f"{SENTINEL}://"):
            return _by_sentinel(settings, options)
        return redis.Redis.from_url(settings.redis, **options)
    except ValueError as error:
        raise SetupProblem(
            f"--redis (FOGLINE_REDIS) is {redact(settings.redis)!r}: {redact(str(error))};"
            " write redis://HOST:6379/0 or redis+sentinel://HOST:26379,HOST:26379/MASTER/0"
        ) from None


def _by_sentinel(settings: RegistrySettings, options: dict[str, Any]) -> redis.Redis:
    """`redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]…/MASTER[/DB][?sentinel_password=…]`.

    The password is that of the Redis itself.
    """
    parts = urlsplit(settings.redis)
    login, _, hosts = parts.netloc.rpartition("@")
    master, _, database = parts.path.strip("/").partition("/")
    if not hosts or not master:
        raise ValueError("the sentinels' hosts or the master's name are missing")
    user, _, password = login.partition(":")
    sentinels = []
    for host in hosts.split(","):
        name, _, port = host.rpartition(":") if ":" in host.rpartition("]")[2] else (host, "", "")
        sentinels.append((name.strip("[]"), int(port or SENTINEL_PORT)))
    asked = {
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_timeout,
        "retry": options["retry"],
        "password": parse_qs(parts.query).get("sentinel_password", [None])[0],
    }
    hub: Any = Sentinel(sentinels, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    client: redis.Redis = hub.master_for(
        unquote(master),
        db=int(database or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
        **options,
    )
    return client


class Guard:
    """Makes calls to one Redis with retries, and turns its absence into RegistryAway. Any thread may call.

    on_error: called with each failure's reason, from the caller's thread.
    """

    def __init__(self, retries: int, on_error: Callable[[str], None]) -> None:
        self._retries = retries
        self._on_error = on_error
        self._down = False
        self._try_at = 0.0
        self._probing = threading.Lock()

    def __call__(self, call: Callable[[], T]) -> T:
        """After a failure one thread at a time finds out whether Redis is back; the others are refused at once, for
        a Redis that hangs would else hold every thread of the service."""
        if not self._down:
            return self._attempt(call)
        if time.monotonic() < self._try_at or not self._probing.acquire(blocking=False):
            raise _away("it did not answer a moment ago")
        try:
            return self._attempt(call)
        finally:
            self._probing.release()

    def _attempt(self, call: Callable[[], T]) -> T:
        try:
            answer = self._persist(call)
        except _AWAY as error:
            reason = type(error).__name__
            self._down = True
            if isinstance(error, redis.exceptions.TimeoutError):
                self._try_at = time.monotonic() + HANG_PAUSE
            self._on_error(reason)
            raise _away("no master known" if isinstance(error, MasterNotFoundError) else reason) from error
        except redis.exceptions.ResponseError as error:
            # It answers, but takes no writes: the disk is full, memory is short, or it is another's replica now.
            if not str(error).startswith(_WRITES_REFUSED):
                raise
            self._on_error("writes refused")
            raise _away(str(error)[:200]) from error
        self._down = False
        return answer

    def _persist(self, call: Callable[[], T]) -> T:
        """Every script may run twice: what it has done it finds done."""
        for _ in range(self._retries):
            try:
                return call()
            except _AWAY:
                time.sleep(RETRY_PAUSE)
        return call()


def word() -> str:
    """Marks one call, so that its retry after a cut connection is told the same as its first try."""
    return secrets.token_hex(8)


def _away(reason: str) -> RegistryAway:
    return RegistryAway(
        f"the registry's Redis does not answer ({reason}); streams that run go on, try again", retry_after=RETRY_AFTER
    )
