"""The store on Redis (6.2 or later) or Valkey: every change is one Lua script from `lua/`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any, TypeVar, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mesh.errors import RegistryAway, SetupProblem
from mesh.logs import redact
from mesh.manifest import Kind, Manifest
from mesh.wire import Beat
from registry import redis_rows
from registry.settings import RegistrySettings
from registry.store import (
    BeatResult,
    Failover,
    Full,
    NodeRecord,
    Opening,
    Registered,
    SessionRecord,
    Snapshot,
    Swept,
)

PREFIX = "{fogline}"  # the hash tag: one slot of a Redis cluster holds every key
DEAD_SHOWN = 900.0  # seconds for which a node that died can be asked after
ENDED_SHOWN = 600.0  # seconds for which a session that ended can be asked after
SWEEP_GAP = 2.0  # seconds without a sweep after which nobody can have beaten: sweeps come twice a second
RETRY_AFTER = 1  # seconds: an embedded Valkey is back within one
RETRY_PAUSE = 0.03  # seconds before a call is tried again: a connection that was cut is made anew
HANG_PAUSE = 1.0  # seconds in which nobody asks a Redis that hung: each try holds a thread for all its timeouts
CHUNK = 1000  # hashes read in one round trip
_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, redis.exceptions.ReadOnlyError)
_WRITES_REFUSED = ("MISCONF", "OOM", "READONLY", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "BUSY")
_SHARED = {"base", "placing"}
T = TypeVar("T")


class RedisStore:
    """Implements registry.store.Store. on_error: called with each failure's reason, from the caller's thread."""

    def __init__(self, settings: RegistrySettings, on_error: Callable[[str], None] = lambda _reason: None) -> None:
        self._settings = settings
        self._on_error = on_error
        self._down = False
        self._try_at = 0.0
        self._probing = threading.Lock()
        self._redis = connection(settings)
        self._scripts = {name: self._redis.register_script(text) for name, text in sources().items()}

    # --- reading

    def ping(self) -> None:
        self._guard(self._redis.ping)

    def revision(self) -> int:
        return int(self._guard(lambda: self._redis.get(f"{PREFIX}:revision")) or 0)

    def snapshot(self) -> Snapshot:
        return self._guard(self._snapshot)

    def node(self, node_id: str) -> NodeRecord | None:
        def read() -> NodeRecord | None:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(_key("node", node_id))
                pipe.scard(_key("on", node_id))
                pipe.zscore(_key("alive"), node_id)
                pipe.time()
                row, used, lease, (seconds, micros) = pipe.execute()
            if not row:
                return None
            return redis_rows.node(
                node_id, row, used=used, lease_ends=(lease or 0) / 1000, read_at=seconds + micros / 1e6
            )

        return self._guard(read)

    def find(self, kind: Kind, text: str) -> list[tuple[str, str]]:
        def read() -> list[tuple[str, str]]:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(_key("node", text), ["state", "kind", "name"])
                pipe.smembers(_key("name", f"{kind}:{text}"))
                (state, its_kind, its_name), ids = pipe.execute()
                if state == "live" and its_kind == kind:
                    return [(text, its_name)]
                for node_id in ids:
                    pipe.hget(_key("node", node_id), "name")
                return sorted(zip(ids, (name or "" for name in pipe.execute()), strict=True))

        return self._guard(read)

    def has_algorithm(self, algorithm: str) -> bool:
        return bool(self._guard(lambda: self._redis.exists(_key("has", algorithm))))

    def session(self, session_id: str) -> SessionRecord | None:
        return _session(self._run("session", session_id))

    # --- nodes

    def register(self, manifest: Manifest, url: str, names: list[str], lease: float) -> Registered:
        facts = {
            "kind": manifest.kind,
            "name": manifest.name,
            "names": names,
            "boot": manifest.boot_id,
            "url": url,
            "slots": manifest.slots,
            "original": manifest.original,
            "algorithms": [
                {"id": entry.id} if entry.fps is None else {"id": entry.id, "fps": entry.fps}
                for entry in manifest.algorithms.values()
            ],
        }
        new, dial = self._run(
            "register",
            manifest.node_id,
            msgspec.json.encode(manifest.document),
            msgspec.json.encode(facts),
            _milliseconds(lease),
        )
        return Registered(new=bool(new), dial=bool(dial))

    def beat(self, node_id: str, beat: Beat) -> BeatResult | None:
        known, *rest = self._run(
            "beat",
            node_id,
            beat.boot_id,
            _milliseconds(self._settings.lease_seconds),
            msgspec.json.encode(beat.load),
            msgspec.json.encode(beat.sessions),
        )
        if not known:
            return None
        return BeatResult(draining=bool(rest[0]), assignments=[redis_rows.assignment(fields) for fields in rest[1:]])

    def leave(self, node_id: str, reason: str) -> bool:
        return bool(self._run("leave", node_id, reason, _milliseconds(DEAD_SHOWN)))

    def drain(self, node_id: str, on: bool) -> bool:
        return bool(self._run("drain", node_id, int(on)))

    def reached(self, node_id: str, url: str, problem: str | None, again_after: float) -> None:
        self._run("reached", node_id, url, int(problem is None), problem or "", _milliseconds(again_after))

    def due(self, most: int, claim_seconds: float) -> list[tuple[str, str]]:
        flat = self._run("due", most, _milliseconds(claim_seconds))
        return list(zip(flat[::2], flat[1::2], strict=True))

    # --- sessions

    def open(self, wish: Opening) -> SessionRecord | Full | None:
        asked = (wish.camera, wish.algorithm, wish.only, wish.width, wish.height, wish.max_fps, wish.gate)
        join = "|".join(_text(value) for value in asked)
        outcome, *rest = self._run(
            "open",
            wish.session_id,
            join,
            wish.camera,
            wish.algorithm,
            _text(wish.only),
            _text(wish.width),
            _text(wish.height),
            _text(wish.max_fps),
            int(wish.pinned),
            _text(wish.gate),
        )
        if outcome == "full":
            return Full(why=rest[0])
        return _session(rest[0]) if outcome == "ok" else None

    def touch(self, session_id: str) -> SessionRecord | None:
        return _session(self._run("touch", session_id))

    def end(self, session_id: str, reason: str) -> bool:
        return bool(self._run("end", session_id, reason, _milliseconds(ENDED_SHOWN)))

    def failover(self, session_id: str, token: int) -> Failover | None:
        answer = self._run("failover", session_id, token)
        session = _session(answer[1]) if answer else None
        return Failover(outcome=answer[0], session=session) if session else None

    def sweep(self) -> Swept:
        died, ended = self._run(
            "sweep",
            _milliseconds(self._settings.lease_seconds),
            _milliseconds(self._settings.idle_seconds),
            _milliseconds(DEAD_SHOWN),
            _milliseconds(ENDED_SHOWN),
            _milliseconds(SWEEP_GAP),
        )
        return Swept(died=died, ended=ended)

    def close(self) -> None:
        self._redis.close()

    # --- transport

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._guard(lambda: self._scripts[script](keys=[PREFIX], args=list(arguments)))

    def _guard(self, call: Callable[[], T]) -> T:
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
            raise _away(reason) from error
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
        for _ in range(self._settings.redis_retries):
            try:
                return call()
            except _AWAY:
                time.sleep(RETRY_PAUSE)
        return call()

    def _snapshot(self) -> Snapshot:
        """The revision is read first: a change that comes while the rest is read makes the next reader read again."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(_key("revision"))
            pipe.time()
            pipe.zrange(_key("alive"), 0, -1, withscores=True)
            pipe.zrange(_key("dead"), 0, -1)
            pipe.zrange(_key("sessions"), 0, -1)
            pipe.zrange(_key("ended"), 0, -1)
            pipe.hgetall(_key("counts"))
            revision, (seconds, micros), alive, dead, going, ended, counts = pipe.execute()
        leases: dict[str, float] = {str(node_id): float(ends) for node_id, ends in alive}
        taken_at = seconds + micros / 1e6
        nodes = tuple(self._nodes([*leases, *dead], leases, taken_at))
        return Snapshot(
            revision=int(revision or 0),
            taken_at=taken_at,
            nodes=nodes,
            sessions=tuple(self._sessions([*going, *ended], {n.node_id: n for n in nodes})),
            counts={name: int(value) for name, value in counts.items()},
        )

    def _nodes(self, ids: list[str], leases: dict[str, float], taken_at: float) -> Iterable[NodeRecord]:
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            with self._redis.pipeline(transaction=False) as pipe:
                for node_id in chunk:
                    pipe.hgetall(_key("node", node_id))
                    pipe.scard(_key("on", node_id))
                answers = pipe.execute()
            for node_id, row, used in zip(chunk, answers[::2], answers[1::2], strict=True):
                if row:
                    lease_ends = leases.get(node_id, 0) / 1000
                    yield redis_rows.node(node_id, row, used=used, lease_ends=lease_ends, read_at=taken_at)

    def _sessions(self, ids: list[str], nodes: dict[str, NodeRecord]) -> Iterable[SessionRecord]:
        for start in range(0, len(ids), CHUNK):
            with self._redis.pipeline(transaction=False) as pipe:
                for session_id in ids[start : start + CHUNK]:
                    pipe.hgetall(_key("session", session_id))
                answers = pipe.execute()
            for row in filter(None, answers):
                node, camera = nodes.get(row.get("node", "")), nodes.get(row["camera"])
                more = {"camera_state": "live" if camera and camera.alive else "dead"}
                if node:
                    more |= {"node_name": node.name, "node_url": node.url}
                if camera and not camera.alive:
                    more["camera_reason"] = camera.dead_reason
                yield redis_rows.session(row | more)


def connection(settings: RegistrySettings) -> redis.Redis:
    """A client of the Redis that the settings name; it connects with its first call.

    Raises SetupProblem for an address that is none.
    """
    try:
        return redis.Redis.from_url(
            settings.redis,
            decode_responses=True,
            socket_timeout=settings.redis_timeout,
            socket_connect_timeout=settings.redis_timeout,
            # Ours: redis-py would retry the handshake within each retry, so that a hang lasts 9 timeouts, not 3.
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise SetupProblem(
            f"--redis (FOGLINE_REDIS) is {redact(settings.redis)!r}: {redact(str(error))}; write redis://HOST:6379/0"
        ) from None


def sources() -> dict[str, str]:
    """The scripts by name, each with what it shares with others put before it."""
    folder = resources.files("registry") / "lua"
    texts = {file.name.removesuffix(".lua"): file.read_text(encoding="utf-8") for file in folder.iterdir()}
    shared = texts["base"] + texts["placing"]
    return {name: shared + text for name, text in texts.items() if name not in _SHARED}


def _away(reason: str) -> RegistryAway:
    return RegistryAway(
        f"the registry's Redis does not answer ({reason}); streams that run go on, try again", retry_after=RETRY_AFTER
    )


def _key(name: str, rest: str | None = None) -> str:
    return f"{PREFIX}:{name}" if rest is None else f"{PREFIX}:{name}:{rest}"


def _session(flat: Any) -> SessionRecord | None:
    return redis_rows.session(redis_rows.pairs(cast("list[str]", flat))) if flat else None


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
