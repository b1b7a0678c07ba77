"""The store on Redis (6.2 or later) or Valkey: every change is one Lua script from `lua/`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any, cast

import msgspec

from mesh import codec
from mesh.manifest import Kind, Manifest
from mesh.wire import Beat
from registry import redis_rows
from registry.redis_cameras import SWEEP_GAP, RedisCameras
from registry.redis_connection import Guard, connection, word
from registry.settings import RegistrySettings
from registry.store import (
    BeatResult,
    Changes,
    Dialled,
    Failover,
    Full,
    NodeRecord,
    Opening,
    Pulse,
    Registered,
    Registering,
    Remembered,
    SessionRecord,
    Snapshot,
    Step,
    Swept,
    Vitals,
)

PREFIX = "{fogline}"  # the hash tag: one slot of a Redis cluster holds every key
DEAD_SHOWN = 900.0  # seconds for which a node that died can be asked after
ENDED_SHOWN = 600.0  # seconds for which a session that ended can be asked after
LONGEST_WAIT = 1.0  # seconds that `changes` may wait
CHUNK = 1000  # hashes read in one round trip
_SHARED = ("base", "placing", "moving", "cameras")  # put before every script, in this order


class RedisStore(RedisCameras):
    """Implements registry.store.Store. on_error: called with each failure's reason, from the caller's thread."""

    def __init__(self, settings: RegistrySettings, on_error: Callable[[str], None] = lambda _reason: None) -> None:
        self._settings = settings
        self._guard = Guard(settings.redis_retries, on_error)
        # Waiting for changes is another thing than asking: its failures must not hold up the others, nor the reverse.
        self._follow = Guard(0, on_error)
        self._redis = connection(settings)
        self._following = connection(settings, wait=LONGEST_WAIT)
        self._scripts = {name: self._redis.register_script(text) for name, text in sources().items()}

    # --- reading

    def ping(self) -> None:
        self._guard(self._redis.ping)

    def revision(self) -> int:
        return int(self._guard(lambda: self._redis.get(_key("revision"))) or 0)

    def snapshot(self) -> Snapshot:
        return self._guard(self._snapshot)

    def changes(self, place: str, most: int, wait: float) -> Changes:
        milliseconds = _milliseconds(min(wait, LONGEST_WAIT))

        def read() -> Any:
            return self._following.xread({_key("events"): place}, count=most, block=milliseconds or None)

        found: Any = self._follow(read)
        if not found:
            return Changes(place=place, revisions=None)
        entries = (found[0][1] if isinstance(found, list) else next(iter(found.values()))[0]) or []
        fields = [fields for _, fields in entries]
        return Changes(
            place=entries[-1][0],
            revisions=(int(fields[0]["r"]), int(fields[-1]["r"])),
            nodes=tuple(dict.fromkeys(one["i"] for one in fields if one["k"] == "node")),
            sessions=tuple(dict.fromkeys(one["i"] for one in fields if one["k"] == "session")),
            mesh=any(one["k"] == "mesh" for one in fields),
        )

    def preserving(self) -> float | None:
        since = self._guard(lambda: self._redis.get(_key("preserving")))
        return int(cast(str, since)) / 1000 if since else None

    def rows(
        self, nodes: Sequence[str], sessions: Sequence[str]
    ) -> tuple[dict[str, NodeRecord], dict[str, SessionRecord]]:
        def read() -> tuple[dict[str, NodeRecord], dict[str, SessionRecord]]:
            return (
                {record.node_id: record for record in self._nodes(list(nodes))},
                {record.session_id: record for record in self._sessions(list(sessions))},
            )

        return self._guard(read)

    def vitals(self) -> Vitals:
        def read() -> Vitals:
            with self._redis.pipeline(transaction=False) as pipe:
                for name in ("vitals", "rates", "counts"):
                    pipe.hgetall(_key(name))
                vitals, rates, counts = pipe.execute()
            return Vitals(
                nodes={node_id: redis_rows.vital(text) for node_id, text in vitals.items()},
                fps={session_id: float(fps) for session_id, fps in rates.items()},
                counts={name: int(value) for name, value in counts.items()},
            )

        return self._guard(read)

    def node(self, node_id: str) -> NodeRecord | None:
        return next(iter(self._guard(lambda: list(self._nodes([node_id])))), None)

    def find(self, kind: Kind, text: str) -> list[tuple[str, str]]:
        def read() -> list[tuple[str, str]]:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(_key("node", text), ["state", "kind", "name"])
                pipe.smembers(_key("name", f"{kind}:{text}"))
                (state, its_kind, its_name), ids = pipe.execute()
                if state in ("live", "suspect") and its_kind == kind:
                    return [(text, its_name)]
                for node_id in ids:
                    pipe.hget(_key("node", node_id), "name")
                return sorted(zip(ids, (name or "" for name in pipe.execute()), strict=True))

        return self._guard(read)

    def has_algorithm(self, algorithm: str) -> bool:
        return bool(self._guard(lambda: self._redis.exists(_key("has", algorithm))))

    def session(self, session_id: str) -> SessionRecord | None:
        return _session(self._run("session", session_id))

    def history(self, session_id: str) -> list[Step]:
        steps = self._guard(lambda: self._redis.lrange(_key("history", session_id), 0, -1))
        return [codec.decode(step, Step) for step in cast("list[str]", steps)]

    def secret(self) -> bytes:
        def read() -> str:
            self._redis.set(_key("secret"), secrets.token_hex(32), nx=True)
            return cast(str, self._redis.get(_key("secret")))

        return bytes.fromhex(self._guard(read))

    # --- nodes

    def register(
        self, manifest: Manifest, url: str, names: list[str], lease: float, remembered: Remembered | None = None
    ) -> Registered:
        one = Registering(manifest=manifest, url=url, names=names, remembered=remembered)
        new, dial = self._run("register", *redis_rows.registering(one), _milliseconds(lease), word())
        return Registered(new=bool(new), dial=bool(dial))

    def register_many(self, nodes: Sequence[Registering], lease: float) -> None:
        arguments = [(*redis_rows.registering(one), _milliseconds(lease), word()) for one in nodes]

        def write() -> None:
            with self._redis.pipeline(transaction=False) as pipe:
                for one in arguments:
                    self._scripts["register"](keys=[PREFIX], args=one, client=pipe)
                pipe.execute()

        self._guard(write)

    def beat(self, node_id: str, beat: Beat, lease: float) -> BeatResult | None:
        known, *rest = self._run(
            "beat",
            node_id,
            beat.boot_id,
            _milliseconds(lease),
            msgspec.json.encode(beat.load),
            msgspec.json.encode(beat.sessions),
        )
        if not known:
            return None
        draining, orders, dial_at, unknown, *assignments = rest
        return BeatResult(
            draining=bool(draining),
            assignments=[redis_rows.assignment(fields) for fields in assignments],
            orders=int(orders),
            unknown=unknown,
            url=dial_at,
            dial=bool(dial_at),
        )

    def pulse(self, pulses: Sequence[Pulse], lease: float) -> list[str]:
        return cast("list[str]", self._run("pulse", _milliseconds(lease), redis_rows.pulses(pulses)))

    def leave(self, node_id: str, reason: str) -> bool:
        return bool(self._run("leave", node_id, reason, _milliseconds(DEAD_SHOWN)))

    def drain(self, node_id: str, on: bool) -> bool:
        return bool(self._run("drain", node_id, int(on)))

    def reached(self, results: Sequence[Dialled], again_after: float) -> None:
        arguments: list[Any] = []
        for one in results:
            arguments += one.node_id, one.url, int(one.problem is None), one.problem or "", int(one.gone)
        self._run("reached", _milliseconds(again_after), _milliseconds(DEAD_SHOWN), *arguments)

    def due(self, most: int, claim_seconds: float) -> list[tuple[str, str]]:
        flat = self._run("due", most, _milliseconds(claim_seconds))
        return list(zip(flat[::2], flat[1::2], strict=True))

    # --- sessions

    def open(self, wish: Opening) -> SessionRecord | Full | None:
        asked = {
            "camera": wish.camera,
            "algorithm": wish.algorithm,
            "only": wish.only,
            "width": wish.width,
            "height": wish.height,
            "fps": wish.max_fps,
            "gate": wish.gate,
            "require": _text_of(wish.require),
            "prefer": _text_of(wish.prefer),
            "speed": wish.speed,
        }
        join = "|".join("" if value is None else str(value) for value in asked.values())
        more = {"pinned": wish.pinned, "ttl": wish.ttl, "wait": wish.wait}
        given = {name: value for name, value in (asked | more).items() if value is not None}
        outcome, *rest = self._run("open", wish.session_id, join, msgspec.json.encode(given))
        if outcome == "full":
            return Full(why=rest[0])
        return _session(rest[0]) if outcome == "ok" else None

    def touch(self, session_id: str) -> SessionRecord | None:
        return _session(self._run("touch", session_id))

    def end(self, session_id: str, reason: str) -> bool:
        return bool(self._run("end", session_id, reason, _milliseconds(ENDED_SHOWN)))

    def failover(self, session_id: str, token: int, reporter: str) -> Failover | None:
        answer = self._run("failover", session_id, token, reporter)
        session = _session(answer[1]) if answer else None
        return Failover(outcome=answer[0], session=session) if session else None

    # --- periodic work

    def lead(self, who: str, seconds: float) -> bool:
        return bool(self._run("lead", who, _milliseconds(seconds)))

    def sweep(self) -> Swept:
        died, ended, preserving, more, *suspects = self._run(
            "sweep",
            _milliseconds(self._settings.lease_seconds),
            _milliseconds(self._settings.idle_seconds),
            _milliseconds(DEAD_SHOWN),
            _milliseconds(ENDED_SHOWN),
            _milliseconds(SWEEP_GAP),
        )
        return Swept(
            died=died,
            ended=ended,
            suspects=tuple(zip(suspects[::2], suspects[1::2], strict=True)),
            preserving=bool(preserving),
            more=bool(more),
        )

    def close(self) -> None:
        self._redis.close()
        self._following.close()

    # --- transport

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._guard(lambda: self._scripts[script](keys=[PREFIX], args=list(arguments)))

    def _snapshot(self) -> Snapshot:
        """The end of the log is read first: a change that comes while the rest is read is told again by `changes`."""
        revision, place, preserving = self._scripts["tail"](keys=[PREFIX], args=[])
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hkeys(_key("vitals"))
            pipe.zrange(_key("sessions"), 0, -1)
            pipe.zrange(_key("ended"), 0, -1)
            pipe.hgetall(_key("counts"))
            (seconds, micros), ids, going, ended, counts = pipe.execute()
        nodes = tuple(self._nodes(ids))
        return Snapshot(
            revision=int(revision),
            place=place,
            taken_at=seconds + micros / 1e6,
            nodes=nodes,
            sessions=tuple(self._sessions([*going, *ended], {node.node_id: node for node in nodes})),
            counts={name: int(value) for name, value in counts.items()},
            preserving=int(preserving) / 1000 if preserving else None,
        )

    def _nodes(self, ids: list[str]) -> Iterable[NodeRecord]:
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.hmget(_key("vitals"), chunk)
                for index in ("alive", "originals"):
                    pipe.zmscore(_key(index), chunk)
                for node_id in chunk:
                    pipe.hgetall(_key("node", node_id))
                (seconds, micros), vitals, alive, originals, *rows = pipe.execute()
            read_at = seconds + micros / 1e6
            for node_id, row, vital, lease, kept in zip(chunk, rows, vitals, alive, originals, strict=True):
                if "kind" in row:
                    lease_ends = float(lease or kept or 0) / 1000
                    yield redis_rows.node(node_id, row, vital, lease_ends=lease_ends, read_at=read_at)

    def _sessions(self, ids: list[str], nodes: dict[str, NodeRecord] | None = None) -> Iterable[SessionRecord]:
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(_key("rates"), chunk)
                for session_id in chunk:
                    pipe.hgetall(_key("session", session_id))
                rates, *rows = pipe.execute()
            for row, rate in zip(rows, rates, strict=True):
                if row:
                    yield redis_rows.session(row | {"fps_now": rate or "0"} | redis_rows.beside(row, nodes or {}))


def sources() -> dict[str, str]:
    """The scripts by name, each with what it shares with others put before it."""
    folder = resources.files("registry") / "lua"
    texts = {file.name.removesuffix(".lua"): file.read_text(encoding="utf-8") for file in folder.iterdir()}
    shared = "".join(texts[name] for name in _SHARED)
    return {name: shared + text for name, text in texts.items() if name not in _SHARED}


def _key(name: str, rest: str | None = None) -> str:
    return f"{PREFIX}:{name}" if rest is None else f"{PREFIX}:{name}:{rest}"


def _session(flat: Any) -> SessionRecord | None:
    return redis_rows.session(redis_rows.pairs(cast("list[str]", flat))) if flat else None


def _text_of(labels: dict[str, str]) -> str | None:
    return msgspec.json.encode(labels, order="sorted").decode() if labels else None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
