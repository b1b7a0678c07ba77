"""Redis and the registries fail under running streams: they hang, die, forget, and their clocks jump.

Two registries share one Redis; nodes and viewers know both.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import accidents
from tests.accidents import Scene
from tests.cluster import Cluster
from tests.faults import Relay
from tests.processes import wait_for
from tests.registry.servers import Server
from tests.viewers import follow, watch

SMOOTH = 1.0  # seconds: no viewer calls less a gap on a machine that is busy with tests
HANG = 3.5  # seconds: longer than a lease
HOUR = 3_600_000  # milliseconds
# What is ordered by the time of Redis's clock.
TIMES = ("alive", "suspect", "stranded", "lost", "draining", "unreached", "waiting", "warming", "idle", "ejected")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture(scope="module")
def relay(server: Server) -> Iterator[Relay]:
    """Between the registries and Redis."""
    with Relay(("127.0.0.1", server.port)) as one:
        yield one


@pytest.fixture(scope="module")
def scene(relay: Relay, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One set of services for all tests here: each test leaves it healthy."""
    with Cluster(tmp_path_factory.mktemp("services"), models) as cluster:
        for name in ("first", "second"):
            cluster.registry(name, "--redis", f"redis://127.0.0.1:{relay.port}/0")
        folder = tmp_path_factory.mktemp("clocks")
        cluster.camera("line-3", PYTHONPATH=_clock(folder, 3600))
        cluster.compute("hall-1", "--slots", "8", PYTHONPATH=_clock(folder, -3600))
        cluster.compute("hall-2", "--slots", "8")
        cluster.healthy()
        yield Scene(cluster, None, cluster.open("line-3", pinned=True)["session_id"])


def test_nodes_whose_clocks_are_wrong_serve_like_others(scene: Scene) -> None:
    """The camera's clock is an hour ahead and that of hall-1 an hour behind, here and in every other test of this
    file: the stamps say what the camera believes, and nothing else depends on them."""
    made = scene.cluster.open("line-3", node="hall-1", width=160)
    assert made["node_name"] == "hall-1"
    parts = watch(made["stream_url"], 20)
    ahead = [float(part.headers["x-timestamp"]) - time.time() for part in parts]
    assert all(3590 < seconds < 3610 for seconds in ahead), ahead
    listed = {one["name"]: one for one in scene.cluster.get("/v1/nodes")["nodes"]}
    assert all(abs(one["last_seen"] - time.time()) < 10 for one in listed.values()), listed
    assert requests.get(made["snapshot_url"], timeout=5).ok
    told = follow(made["detections_url"], 2)
    assert told[0]["age_ms"] is None or abs(told[0]["age_ms"]) < 2 * HOUR + 60_000
    requests.delete(f"{scene.cluster.registries.split(',')[0]}/v1/sessions/{made['session_id']}", timeout=5)


def test_lists_are_stale_and_streams_go_on_while_redis_hangs(scene: Scene, server: Server) -> None:
    """Longer than a lease: reads never fail, placements are refused with when to try again, no stream has a gap, and
    nobody is given up for it afterwards."""
    before = scene.cluster.session(scene.session_id)
    with scene.watched() as (viewer, kept, _):
        began = time.monotonic()
        server.process.send_signal(19)  # SIGSTOP
        try:
            wait_for(lambda: scene.cluster.get("/v1/nodes")["stale"], 3, "stale list")
            refused = _ask(scene, width=64)
            assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "1"), refused.text
            while time.monotonic() < began + HANG:
                assert _codes(scene) == {200}
                time.sleep(0.2)
        finally:
            server.process.send_signal(18)  # SIGCONT
        wait_for(lambda: not scene.cluster.get("/v1/nodes")["stale"], 5, "fresh list")
        states = scene.cluster.watch_states(1.5)
        assert max(viewer.gap(began), kept.gap(began)) < SMOOTH
    assert all(set(seen) == {"line-3", "hall-1", "hall-2"} for seen in states), states
    scene.sound()
    after = scene.cluster.session(scene.session_id)
    assert (after["node"], after["token"]) == (before["node"], before["token"])


def test_an_answer_of_redis_that_is_lost_makes_no_second_session(scene: Scene, relay: Relay) -> None:
    """What was asked for is done or not, but never twice, and the viewers of others see nothing of it."""
    with scene.watched() as (viewer, _, _):
        began = time.monotonic()
        relay.swallow("back")
        refused = _ask(scene, width=96)
        relay.mend()
        assert refused.status_code == 503, refused.text
        relay.cut()  # as the network would, sooner or later: the registries wait on those connections for nothing
        made = scene.cluster.open("line-3", width=96)

        def listed() -> list[str] | None:
            """None for what a registry knew before its connections were cut: that is marked stale."""
            told = scene.cluster.get("/v1/sessions")
            return None if told["stale"] else [one["session_id"] for one in told["sessions"] if one["width"] == 96]

        assert wait_for(listed, 5, "fresh list") == [made["session_id"]]
        assert viewer.gap(began) < SMOOTH
    requests.delete(f"{scene.cluster.registries.split(',')[0]}/v1/sessions/{made['session_id']}", timeout=5)
    scene.sound()


def test_streams_do_not_break_when_redis_forgets_everything(scene: Scene, server: Server) -> None:
    """Nodes register again and bring their sessions along: the same ids, tokens that are not lower, pinned as they
    were; a session that nobody pinned is known again, too, while it is watched."""
    watched = scene.cluster.open("line-3", width=128)
    before = {one: scene.cluster.session(one) for one in (scene.session_id, watched["session_id"])}
    with (
        scene.watched() as (viewer, kept, _),
        Scene(scene.cluster, None, watched["session_id"]).watched() as (second, second_kept, _),
    ):
        began = time.monotonic()
        server.client().flushall()
        wait_for(lambda: _same(scene, before), 10, "both sessions on their nodes again")
        took = time.monotonic() - began
        time.sleep(1)
        assert max(one.gap(began) for one in (viewer, kept, second, second_kept)) < SMOOTH
    assert took < 8
    scene.sound()
    assert scene.cluster.session(scene.session_id)["pinned"]
    requests.delete(f"{scene.cluster.registries.split(',')[0]}/v1/sessions/{watched['session_id']}", timeout=5)


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_clock_of_redis_that_jumps_an_hour(scene: Scene, server: Server, jump: int) -> None:
    """Nobody is given up for it and no stream moves; who falls silent just then is missed within seconds."""
    before = scene.cluster.session(scene.session_id)
    url = scene.cluster.registries.split(",", maxsplit=1)[0]
    with scene.watched() as (viewer, _, _):
        silent = manifest("silent")
        assert requests.post(f"{url}/v1/nodes", json=silent, timeout=5).status_code == 201
        began = time.monotonic()
        _shift(server, -jump)
        wait_for(lambda: scene.cluster.states().get("silent", "gone") in ("suspect", "gone"), 8, "end of its lease")
        assert viewer.gap(began) < SMOOTH
    assert scene.cluster.states() | {"silent": ""} == {
        "line-3": "ready",
        "hall-1": "ready",
        "hall-2": "ready",
        "silent": "",
    }
    requests.delete(f"{url}/v1/nodes/{silent['node_id']}", timeout=5)
    after = scene.cluster.session(scene.session_id)
    assert (after["node"], after["token"]) == (before["node"], before["token"])
    scene.sound()


def test_the_other_registry_goes_on_when_the_leader_is_killed(scene: Scene) -> None:
    """Nodes and viewers find it by themselves within a lease, and it moves the session of a node that dies then."""
    seen = accidents.kill_registry(scene)
    assert seen["gap"] < SMOOTH, seen
    assert seen["nodes_not_ready"] == 0, seen
    assert seen["gap_of_failover"] <= 2.0, seen
    assert seen["pictures_of_the_old_node"] == 0


def test_no_registration_that_was_acknowledged_is_lost_with_redis(scene: Scene, server: Server) -> None:
    """kill -9 of Redis under a load of registrations; reads never fail meanwhile, and the stream goes on."""
    acknowledged: list[str] = []
    refused: list[int] = []
    codes: set[int] = set()
    stop = threading.Event()

    def register(url: str) -> None:
        with requests.Session() as client:
            while not stop.is_set():
                document = manifest("load")
                answer = client.post(f"{url}/v1/nodes", json=document, timeout=10)
                if answer.status_code == 201:
                    acknowledged.append(document["node_id"])
                else:
                    refused.append(answer.status_code)
                    time.sleep(0.02)

    def read() -> None:
        while not stop.is_set():
            codes.update(_codes(scene))
            time.sleep(0.05)

    urls = scene.cluster.registries.split(",")
    threads = [threading.Thread(target=register, args=(url,)) for url in urls for _ in range(3)]
    threads.append(threading.Thread(target=read))
    with scene.watched() as (viewer, _, _):
        began = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: len(acknowledged) > 50, 15, "registrations")
            with server.client() as client:
                # From now on each is in the file before it is acknowledged. Usually what comes while the disk is busy
                # is written a moment later, and kill -9 just then would lose it.
                client.config_set("appendfsync", "no")
            server.kill()
            time.sleep(0.5)
            server.start()
            wait_for(lambda: bool(refused), 2, "refused registration")
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before + 50, 5, "further registrations")
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
        assert viewer.gap(began) < SMOOTH
    assert codes == {200}
    assert set(refused) == {503}
    client = server.client()
    missing = [ident for ident in acknowledged if not client.exists(f"{{fogline}}:node:{ident}")]
    assert not missing, f"{len(missing)} of {len(acknowledged)}"
    for ident in acknowledged:  # they never beat, and are in the way of the next test
        requests.delete(f"{urls[0]}/v1/nodes/{ident}", timeout=5)


def manifest(name: str) -> dict[str, Any]:
    """Of a camera that says nothing more, at a port where nobody listens."""
    ident = str(uuid.uuid4())
    where = {"host_name": name, "name": name, "port": 9}
    return {"schema": "fogline/1", "kind": "camera", "node_id": ident, "boot_id": "only", **where}


def _ask(scene: Scene, **wishes: Any) -> requests.Response:
    url = scene.cluster.registries.split(",", maxsplit=1)[0]
    return requests.post(f"{url}/v1/sessions", json={"camera": "line-3", "algorithm": "echo", **wishes}, timeout=5)


def _codes(scene: Scene) -> set[int]:
    urls = scene.cluster.registries.split(",")
    return {requests.get(url + path, timeout=5).status_code for url in urls for path in ("/v1/nodes", "/v1/sessions")}


def _same(scene: Scene, before: dict[str, Any]) -> bool:
    for session_id, was in before.items():
        now = scene.cluster.session(session_id)
        if now["state"] != "running" or now["node"] != was["node"] or now["token"] < was["token"]:
            return False
    return True


def _clock(folder: Path, ahead: float) -> str:
    """A PYTHONPATH with which a program's wall clock is so many seconds ahead."""
    place = folder / f"{ahead:+g}"
    place.mkdir()
    (place / "sitecustomize.py").write_text(
        f"import time\n_true = time.time\ntime.time = lambda: _true() + {ahead}\n"
        f"time.time_ns = lambda: int((_true() + {ahead}) * 1e9)\n"
    )
    return str(place)


def _shift(server: Server, by: int) -> None:
    """Make every time that Redis has written down earlier or later, which is what a jump of its clock looks like."""
    client: Any = server.client()
    with client.pipeline() as together:
        for name in TIMES:
            for member, score in client.zrange(f"{{fogline}}:{name}", 0, -1, withscores=True):
                together.zadd(f"{{fogline}}:{name}", {member: score + by})
        together.set("{fogline}:swept", int(float(client.get("{fogline}:swept"))) + by)
        together.execute()
