"""Accidents to a healthy cluster, and what viewers see of them. Each ends with the cluster healthy again.

The tests hold the figures against their bounds; the benchmark makes a table of them. Figures are seconds, unless their
names say otherwise.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests

from tests.cluster import Cluster, Service
from tests.gaps import Viewer
from tests.hosts import Host
from tests.processes import wait_for
from tests.registry.servers import Server

Figures = dict[str, float]
AFTER = 0.5  # seconds that a viewer is watched on once all is well again
MOVE = 12.0  # seconds after which a picture from another node is no longer waited for


class Scene:
    """A cluster on hosts of its own that runs one session, `session_id`, on the camera `line-3`."""

    def __init__(self, cluster: Cluster, at_viewers: Host | None, session_id: str) -> None:
        self.cluster = cluster
        self.at_viewers = at_viewers
        self.session_id = session_id

    def viewer(self, *, ask: bool = True, kept: str = "") -> Viewer:
        cluster = self.cluster
        key = cluster.key(cluster.registries.split(",", maxsplit=1)[0])
        return Viewer(cluster.registries, self.session_id, host=self.at_viewers, ask=ask, kept=kept, key=key)

    def serving(self) -> Service:
        """The compute node that serves the session."""
        return self.cluster.services[self.cluster.serving(self.session_id)]

    def serving_host(self) -> Host:
        host = self.serving().host
        assert host is not None
        return host

    @contextmanager
    def watched(self, *, ask: bool = True) -> Iterator[tuple[Viewer, Viewer, Service]]:
        """A viewer who follows, one who keeps the connection it has, and the node that serves both."""
        with self.viewer(ask=ask) as viewer:
            viewer.runs()
            self.cluster.settled(self.session_id)
            victim = self.serving()
            viewer.comes_from(victim.url)
            with self.viewer(kept=self.cluster.session(self.session_id)["stream_url"]) as kept:
                kept.runs()
                yield viewer, kept, victim

    def sound(self) -> None:
        """Wait until all is as it was: every node listed once and ready, the session on one node and running."""
        self.cluster.healthy()
        wait_for(lambda: self.cluster.session(self.session_id)["following"] is None, 20, "end of the move")


def _moved(viewer: Viewer, victim: Service, since: float) -> float:
    """Wait for pictures of another node, and for a while longer; when the first one came."""

    def first() -> float | None:
        return next((one.at for one in viewer.after(since) if one.signal and one.node != victim.url), None)

    came = wait_for(first, MOVE, f"picture from another node than {victim.url}")
    time.sleep(AFTER)
    return came


def _late(viewers: tuple[Viewer, ...], victim: Service, since: float) -> float:
    """How many pictures of the victim reached anybody after that moment."""
    return float(sum(one.node == victim.url for viewer in viewers for one in viewer.after(since)))


def kill_compute(scene: Scene, *, ask: bool) -> Figures:
    """kill -9 of the compute node that serves; it is started again afterwards."""
    with scene.watched(ask=ask) as (viewer, kept, victim):
        began = time.monotonic()
        victim.kill()
        moved = _moved(viewer, victim, began)
        figures = {"gap": viewer.gap(began), "pictures_of_the_old_node": _late((viewer, kept), victim, moved)}
        victim.again()
        scene.sound()
    return figures


def stall_compute(scene: Scene, seconds: float) -> Figures:
    """SIGSTOP of the compute node that serves, SIGCONT after `seconds`."""
    with scene.watched() as (viewer, kept, victim):
        began = time.monotonic()
        victim.stall()
        moved = _moved(viewer, victim, began)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        woke = time.monotonic()
        victim.wake()
        scene.sound()
        back = time.monotonic() - woke
        time.sleep(AFTER)
        return {
            "gap": viewer.gap(began),
            "pictures_of_the_old_node": _late((viewer, kept), victim, moved),
            "ready_again": back,
        }


def cut_compute(scene: Scene, seconds: float) -> Figures:
    """The cable of the serving compute node's host is pulled, and plugged in again after `seconds`."""
    with scene.watched() as (viewer, kept, victim):
        assert victim.host is not None
        began = time.monotonic()
        victim.host.cut(seconds)
        moved = _moved(viewer, victim, began)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        healed = time.monotonic()
        scene.sound()
        back = time.monotonic() - healed
        time.sleep(AFTER)
        return {
            "gap": viewer.gap(began),
            "pictures_of_the_old_node": _late((viewer, kept), victim, moved),
            "ready_again": back,
        }


def deafen(scene: Scene, deaf: Sequence[Host], unheard: Sequence[Host]) -> Figures:
    """Some hosts drop what comes from others; the one of the serving compute node is on one of the sides."""
    with scene.watched() as (viewer, kept, victim):
        began = time.monotonic()
        for one, other in itertools.product(deaf, unheard):
            one.ignore(other)
        try:
            moved = _moved(viewer, victim, began)
        finally:
            for one, other in itertools.product(deaf, unheard):
                one.hear(other)
        scene.sound()
        return {"gap": viewer.gap(began), "pictures_of_the_old_node": _late((viewer, kept), victim, moved)}


def lose_packets(scene: Scene, share: float, seconds: float) -> Figures:
    """The serving compute node's host loses that share of what it is sent."""
    with scene.watched() as (viewer, _kept, victim):
        assert victim.host is not None
        name = scene.cluster.serving(scene.session_id)
        began = time.monotonic()
        with victim.host.losing(share):
            listed = scene.cluster.watch_states(seconds)
        scene.sound()
        return {
            "gap": viewer.gap(began),
            "moves": float(len(viewer.nodes(began)) - 1),
            "looks_at_which_it_was_given_up": float(sum(states.get(name) in (None, "suspect") for states in listed)),
            "pictures_a_second": len(viewer.after(began)) / (time.monotonic() - began),
        }


def drain(scene: Scene) -> Figures:
    """The serving compute node is drained, and takes sessions again afterwards."""
    with scene.watched() as (viewer, _kept, victim):
        node_id = scene.cluster.session(scene.session_id)["node"]
        began = time.monotonic()
        scene.cluster.post(f"/v1/nodes/{node_id}/drain")
        moved = _moved(viewer, victim, began)
        frames = [one.frame for one in viewer.after(began - 1)]
        missed = max(second - first - 1 for first, second in itertools.pairwise(frames))
        gap = viewer.gap(began)
        scene.cluster.post(f"/v1/nodes/{node_id}/undrain")
        scene.sound()
        return {
            "gap": gap,
            "pictures_missed_in_a_row": float(missed),
            "pictures_of_the_old_node": _late((viewer,), victim, moved),
        }


def kill_camera(scene: Scene, away: float) -> Figures:
    """kill -9 of the camera; it is started again after `away` seconds."""
    camera = scene.cluster.services["line-3"]
    with scene.watched() as (viewer, _kept, _victim):
        began = time.monotonic()
        camera.kill()

        def told() -> float | None:
            return next((one.at for one in viewer.after(began) if not one.signal), None)

        said = wait_for(told, 10, "picture that says that the camera is gone")
        time.sleep(away)
        reason = scene.cluster.session(scene.session_id)["state_reason"]
        camera.again()
        started = time.monotonic()

        def back() -> float | None:
            return next((one.at for one in viewer.after(started) if one.signal), None)

        returned = wait_for(back, 20, "picture of the camera that is back")
        time.sleep(AFTER)
        scene.sound()
        assert reason, "the session does not say why there is no picture"
        return {
            "said_so_after": said - began,
            "gap": viewer.gap(began),
            "back_after_its_start": returned - started,
            "moves": float(len(viewer.nodes(began)) - 1),
        }


def kill_registry(scene: Scene) -> Figures:
    """kill -9 of the one of several registries that leads, then of the compute node that serves; both are started
    again."""
    registry = scene.cluster.services[scene.cluster.leader()]
    with scene.watched() as (viewer, kept, victim):
        began = time.monotonic()
        registry.kill()
        time.sleep(3.5)  # a lease and more: who does not find the other registry is given up by now
        gap = viewer.gap(began)
        states = scene.cluster.states()
        then = time.monotonic()
        victim.kill()
        moved = _moved(viewer, victim, then)
        figures = {
            "gap": gap,
            "nodes_not_ready": float(sum(state != "ready" for state in states.values()) + 3 - len(states)),
            "gap_of_failover": viewer.gap(then),
            "pictures_of_the_old_node": _late((viewer, kept), victim, moved),
        }
        registry.again()
        victim.again()
        registry.running.ready()
        scene.sound()
    return figures


def hang_redis(scene: Scene, server: Server, seconds: float) -> Figures:
    """SIGSTOP of Redis, SIGCONT after `seconds`."""
    with scene.watched() as (viewer, kept, _):
        began = time.monotonic()
        server.process.send_signal(signal.SIGSTOP)
        try:
            failed = _failed_reads(scene, seconds)
        finally:
            server.process.send_signal(signal.SIGCONT)
        return _as_before(scene, viewer, kept, began) | {"reads_failed": failed}


def kill_redis(scene: Scene, server: Server, seconds: float) -> Figures:
    """kill -9 of Redis, which keeps its data; it is started again after `seconds`."""
    with scene.watched() as (viewer, kept, _):
        began = time.monotonic()
        server.kill()
        try:
            failed = _failed_reads(scene, seconds)
        finally:
            server.start()
        return _as_before(scene, viewer, kept, began) | {"reads_failed": failed}


def wipe_redis(scene: Scene, server: Server) -> Figures:
    """Redis forgets everything."""
    with scene.watched() as (viewer, kept, _):
        began = time.monotonic()
        server.client().flushall()
        return _as_before(scene, viewer, kept, began)


def _as_before(scene: Scene, viewer: Viewer, kept: Viewer, began: float) -> Figures:
    """Wait until the lists are fresh and the session runs; what the viewers saw since `began`."""
    recovering = time.monotonic()

    def well() -> bool:
        try:
            fresh = not scene.cluster.get("/v1/nodes")["stale"]
            return fresh and scene.cluster.session(scene.session_id)["state"] == "running"
        except requests.HTTPError:  # a session that is not known again yet
            return False

    wait_for(well, 20, "the session to be known and to run")
    took = time.monotonic() - recovering
    scene.sound()
    time.sleep(AFTER)
    return {
        "gap": max(viewer.gap(began), kept.gap(began)),
        "moves": float(len(viewer.nodes(began)) - 1),
        "known_again": took,
    }


def _failed_reads(scene: Scene, seconds: float) -> float:
    """Read the lists for so long; how many reads failed."""
    failed = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for path in ("/v1/nodes", "/v1/sessions"):
            for url in scene.cluster.registries.split(","):
                failed += not requests.get(url + path, headers=scene.cluster.shown(url), timeout=5).ok
        time.sleep(0.1)
    return float(failed)
