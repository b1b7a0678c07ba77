"""A compute node's streams, events and pictures, through the fan-out and with a thread each."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import psutil
import pytest
import requests

from mesh.frame import Frame
from mesh.multipart import part
from tests.processes import Running, free_port, wait_for
from tests.rogue import RogueCamera
from tests.viewers import Swarm, ask, follow, node, picture, session, watch

JPEG = cv2.imencode(".jpg", np.full((360, 640, 3), 90, np.uint8))[1].tobytes()
RATE = 20  # frames a second of the camera


def parts() -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        yield part(Frame(JPEG, number, time.time(), 640, 360))
        time.sleep(1 / RATE)


def silence() -> Iterator[bytes]:
    """A camera that accepts and then says nothing."""
    time.sleep(60)
    yield b""


class Mesh:
    """A registry, a compute node and a camera called `cam`."""

    def __init__(self, registry: Running, compute: Running) -> None:
        self.registry = registry
        self.compute = compute

    def open(self, **more: object) -> dict[str, str]:
        made: dict[str, str] = session(self.registry, "cam", "echo", **more)
        return made

    def end(self, made: dict[str, str]) -> None:
        requests.delete(f"{self.registry.url}/v1/sessions/{made['session_id']}", timeout=5)


@pytest.fixture(scope="module", params=["auto", "threads"])
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The compute node's streams go the way of the parameter."""
    folder = tmp_path_factory.mktemp("serving")
    with (
        Running("registry", "--data", str(folder), port=free_port(), log=folder / "r.log") as registry,
        RogueCamera(parts) as camera,
    ):
        registry.ready()
        arguments = ("--data", str(folder), "--registry", registry.url, "--algorithms", "echo", "--threads", "80")
        with Running(
            "compute", *arguments, "--fanout", request.param, port=free_port(), log=folder / "c.log"
        ) as compute:
            compute.ready()
            camera.join(registry, "cam")
            node(registry, "compute")
            node(registry, "camera", name="cam")
            yield Mesh(registry, compute)


def viewers(mesh: Mesh) -> float:
    for line in requests.get(f"{mesh.compute.url}/metrics", timeout=5).text.splitlines():
        if line.startswith("fogline_compute_viewers "):
            return float(line.rpartition(" ")[2])
    raise AssertionError("no such metric")


def test_annotated_pictures_come_in_order_with_stamps(mesh: Mesh) -> None:
    """Whole pictures, rising numbers, what the search took; a cap for this viewer alone."""
    made = mesh.open()
    got = watch(made["stream_url"], 20)
    numbers = [int(one.headers["x-frame"]) for one in got]
    assert numbers == sorted(set(numbers))
    assert all(float(one.headers["x-inference-ms"]) >= 0 for one in got)
    assert all(0 <= float(one.headers["x-age-ms"]) < 2000 for one in got)
    assert {(one.headers["x-objects"], one.headers["x-token"]) for one in got} == {("echo=1", str(made["token"]))}
    assert picture(got[-1].body).shape == (360, 640, 3)
    began = time.monotonic()
    watch(f"{made['stream_url']}&fps=4", 6)
    assert 5 / (time.monotonic() - began) < 4.6
    wait_for(lambda: viewers(mesh) == 0, 5, "viewers gone")
    mesh.end(made)


def test_events_carry_their_session(mesh: Mesh) -> None:
    """Two sessions of one search each get events of their own; a comment comes first."""
    one, two = mesh.open(), mesh.open(width=100)
    for made in (one, two):
        events = follow(made["detections_url"], 8)
        assert {event["session"] for event in events} == {made["session_id"]}
        numbers = [event["frame"]["sequence"] for event in events]
        assert numbers == sorted(set(numbers))
    path = urlsplit(one["detections_url"]).path
    raw = ask(mesh.compute.port, path)
    data = b""
    while b"data: " not in data:
        data += raw.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0]
    assert b"text/event-stream" in head
    assert body.index(b": connected\n\n") < body.index(b"data: ")
    raw.close()
    mesh.end(one)
    mesh.end(two)


def test_events_for_a_client_of_http_1_0(mesh: Mesh) -> None:
    """It knows no chunks, and gets none."""
    made = mesh.open()
    url = urlsplit(made["detections_url"])
    with socket.create_connection(("127.0.0.1", mesh.compute.port), 5) as old:
        old.sendall(f"GET {url.path} HTTP/1.0\r\n\r\n".encode())
        data = b""
        while data.count(b"\n\n") < 4:
            data += old.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert all(line.startswith((b"data: {", b": ")) for line in body.split(b"\n\n")[:-1] if line)
    mesh.end(made)


def test_no_picture_is_an_error_and_holds_no_thread(mesh: Mesh) -> None:
    """A camera that says nothing: viewers wait for a first picture without one, and the placard or a 503 tells why;
    an unknown session is refused at once."""
    with RogueCamera(silence) as camera:
        camera.join(mesh.registry, "mute")
        node(mesh.registry, "camera", name="mute")
        made = session(mesh.registry, "mute", "echo")
        waiting = [ask(mesh.compute.port, urlsplit(made["stream_url"]).path) for _ in range(30)]
        wait_for(lambda: viewers(mesh) == 30, 5, "thirty who wait")
        began = time.monotonic()
        assert requests.get(f"{mesh.compute.url}/healthz", timeout=5).ok
        assert time.monotonic() - began < 1
        # The search tells its viewers in a picture why nothing comes; when the session goes first, a problem does.
        mesh.end(made)
        for one in waiting:
            one.settimeout(25)
            head = one.recv(65536).split(b"\r\n")[0]
            assert b" 200 " in head or b" 503 " in head or b" 404 " in head, head
            one.close()
    refused = requests.get(f"{mesh.compute.url}/v1/sessions/nobody/stream", timeout=10)
    assert refused.status_code == 404
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_a_session_that_is_taken_away_ends_its_streams(mesh: Mesh) -> None:
    """Pictures and events end within seconds, and nothing is left running for them."""
    made = mesh.open()
    ended = threading.Event()

    def follow_events() -> None:
        with requests.get(made["detections_url"], stream=True, timeout=10) as answer:
            for _ in answer.iter_lines():
                pass
        ended.set()

    threading.Thread(target=follow_events, daemon=True).start()
    with Swarm(mesh.compute.port, urlsplit(made["stream_url"]).path, 20) as swarm:
        wait_for(lambda: min(swarm.parts()) > 3, 10, "pictures")
        wait_for(lambda: viewers(mesh) == 21, 5, "all viewers")
        mesh.end(made)
        wait_for(lambda: viewers(mesh) == 0, 8, "the end")
        assert ended.wait(5)


def test_snapshots_over_one_connection_keep_the_session(mesh: Mesh) -> None:
    """Asked again and again, pictures are fresh; the session counts as watched, and its end ends them."""
    made = mesh.open()
    url = urlsplit(made["snapshot_url"])
    connection = http.client.HTTPConnection("127.0.0.1", mesh.compute.port, timeout=15)
    numbers: list[int] = []
    began = time.monotonic()
    while time.monotonic() - began < 4:
        connection.request("GET", url.path)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("X-Inference-Ms")
        assert answer.getheader("X-Objects") == "echo=1"
        assert answer.getheader("X-Token") == str(made["token"])
        numbers.append(int(answer.getheader("X-Frame") or 0))
        assert time.time() - float(answer.getheader("X-Timestamp") or 0) < 1.5
        answer.read()
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 10
    listed = requests.get(f"{mesh.registry.url}/v1/sessions/{made['session_id']}", timeout=5).json()
    assert listed["state"] == "running"
    mesh.end(made)

    def refused() -> bool:
        connection.request("GET", url.path)
        answer = connection.getresponse()
        answer.read()
        return answer.status == 404

    wait_for(refused, 6, "the end of the session")
    connection.close()


def test_a_small_snapshot(mesh: Mesh) -> None:
    """Scaled to fit and never enlarged, with the stamps of any other, which pages of other origins may read; wrong
    sizes are refused by name."""
    made = mesh.open()
    for wish, size in (("width=480", (480, 270)), ("width=9&height=90", (9, 5)), ("width=5000&quality=40", (640, 360))):
        answer = requests.get(f"{made['snapshot_url']}&{wish}", timeout=15)
        assert answer.status_code == 200, answer.text
        height, width, _ = picture(answer.content).shape
        assert (width, height) == size
        stamps = {"X-Age-Ms", "X-Objects", "X-Token", "X-Timestamp", "X-Frame", "X-Inference-Ms"}
        assert stamps <= set(answer.headers) & set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert (answer.headers["X-Objects"], answer.headers["X-Token"]) == ("echo=1", str(made["token"]))
    for wish, field in (
        ("width=0", "width"),
        ("height=99999", "height"),
        ("quality=101", "quality"),
        ("width=x", "width"),
    ):
        refused = requests.get(f"{made['snapshot_url']}&{wish}", timeout=5)
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    mesh.end(made)


def test_many_viewers_come_and_go(mesh: Mesh) -> None:
    """Sixty at once, gone at once: threads, descriptors and places are as before, and a call is answered meanwhile."""
    made = mesh.open()
    watch(made["stream_url"], 1)
    worker = psutil.Process(mesh.compute.process.pid).children()[0]
    files, threads = worker.num_fds(), worker.num_threads()
    with Swarm(mesh.compute.port, urlsplit(made["stream_url"]).path, 60) as swarm:
        wait_for(lambda: min(swarm.parts()) > 3, 15, "pictures for everybody")
        assert requests.get(f"{mesh.compute.url}/healthz", timeout=5).ok
    wait_for(lambda: viewers(mesh) == 0, 5, "all gone")
    wait_for(lambda: worker.num_fds() <= files + 6, 8, "descriptors closed")
    assert worker.num_threads() <= threads + 80, "gunicorn keeps the threads that it has begun"
    mesh.end(made)


def test_statistics_and_the_motion_gate(mesh: Mesh) -> None:
    """The session's own figures while somebody watches, and `gate=motion` on the original's address."""
    made = mesh.open()
    watch(made["stream_url"], 10)

    def told() -> dict[str, Any] | None:
        answer = requests.get(made["stream_url"].replace("/stream", "/stats"), timeout=5)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found if found["frames"]["sent"] >= 10 else None  # the last one is counted once it has been sent

    found = wait_for(told, 3, "ten pictures sent")
    assert (found["session"], found["camera"], found["algorithm"]) == (made["session_id"], "cam", "echo")
    assert found["stages"]["send"]["count"] > 0
    mesh.end(made)
    gated = watch(f"{mesh.compute.url}/echo/image.jpg?camera=cam&gate=motion", 20)
    assert any(one.headers.get("x-gated") == "motion" for one in gated)
    wrong = requests.get(f"{mesh.compute.url}/echo/image.jpg?camera=cam&gate=magic", timeout=5)
    assert (wrong.status_code, json.loads(wrong.text)["field"]) == (422, "gate")


def test_the_node_stops_quickly_with_everybody_watching(mesh: Mesh) -> None:
    """Last of this file: streams, events and stuck viewers do not hold the end."""
    made = mesh.open()
    path = urlsplit(made["stream_url"]).path
    stuck = [ask(mesh.compute.port, path, receive=4096) for _ in range(5)]
    events = [ask(mesh.compute.port, urlsplit(made["detections_url"]).path) for _ in range(5)]
    wait_for(lambda: viewers(mesh) == 10, 5, "viewers")
    assert mesh.compute.stop() < 5
    for one in (*stuck, *events):
        one.close()
