"""A mesh to measure: cheap replayed cameras or real ones, a registry, and a compute node, all by command and HTTP."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from bench.machine import ROOT
from bench.processes import Failed, Missing, Process, free_port
from bench.session import SIZES, Bench

BEAT_SECONDS = 1.0
FP32, FASTEST = "openvino:cpu", "auto"  # in which precision a node computes: as named, or what it measured fastest
DEVICE = "/dev/video0"
DEFAULTS = ("yolov3-tiny", "ssdlite-mobilenet-v2")  # a node pulls those that are missing before it starts


@dataclass(frozen=True)
class Cameras:
    """process: all cameras together (the last one started, for real ones). urls: one a camera."""

    process: Process
    urls: list[str]


@contextmanager
def replay(bench: Bench, count: int, fps: float, *, size: str = "720p") -> Iterator[Cameras]:
    """`count` cameras in one cheap process."""
    ports = [free_port() for _ in range(count)]
    command = [str(bench.native("replay")), str(bench.pictures(size)), f"{fps:g}", *map(str, ports)]
    with bench.start("replay", command) as process:
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        process.answers(f"{urls[-1]}/healthz")
        yield Cameras(process, urls)


def fake_device(bench: Bench, size: str, fps: float = 30) -> dict[str, str]:
    """The environment in which a program sees the fake camera."""
    width, height = SIZES[size]
    return {
        "LD_PRELOAD": str(bench.native("fake_v4l2")),
        "FAKE_V4L2_DEVICE": DEVICE,
        "FAKE_V4L2_FRAMES": str(bench.pictures(size)),
        "FAKE_V4L2_SIZE": f"{width}x{height}",
        "FAKE_V4L2_FPS": f"{fps:g}",
    }


def models(bench: Bench) -> Path:
    """A data folder of the benchmarks' own, in which the default models are installed; `models import` adds to it."""
    data = bench.cache / "data"
    missing = []
    for name in DEFAULTS:
        have, wanted = ROOT / "data" / "models" / name, data / "models" / name
        if not wanted.is_dir() and have.is_dir():
            shutil.copytree(have, wanted)
        elif not wanted.is_dir():
            missing.append(name)
    if missing:
        bench.say(f"fetching {' and '.join(missing)}")
        with bench.fogline("models pull", "models", "pull", *missing, "--data", str(data)) as pull:
            pull.wait(600)
    return data


@dataclass
class Mesh:
    """A running mesh. compute: the compute node's process; url: its address; sessions: as the registry told them."""

    registry_url: str
    cameras: list[str]
    camera_process: Process
    compute: Process
    url: str
    entry: dict[str, Any] = field(default_factory=dict)

    def session(self, camera: int, algorithm: str, **more: Any) -> dict[str, Any]:
        """Open a session; `stream_url`, `detections_url` and `session_id` are in the answer."""
        deadline = time.monotonic() + 30
        while True:
            body = {"camera": self.cameras[camera], "algorithm": algorithm, **more}
            answer = requests.post(f"{self.registry_url}/v1/sessions", json=body, timeout=5)
            made: dict[str, Any] = answer.json()
            if answer.status_code == 201 and made.get("stream_url"):
                return made
            if time.monotonic() > deadline:
                raise Failed(f"no session of {algorithm} on {self.cameras[camera]}: {answer.text[:400]}")
            time.sleep(0.1)


@contextmanager
def mesh(
    bench: Bench,
    *,
    cameras: int,
    fps: float,
    model: str = "yolov3-tiny",
    algorithm: str = "yolo",
    size: str = "720p",
    slots: int = 0,
    data: Path | None = None,
    engine: str = FP32,
) -> Iterator[Mesh]:
    """Registry, `cameras` cameras and one compute node that has loaded `algorithm`; all ended with the context."""
    folder = bench.folder / f"mesh-{time.monotonic_ns()}"
    with ExitStack() as stack:
        port = free_port()
        registry = f"http://127.0.0.1:{port}"
        common = ("--log", "json")
        store = ("--data", str(folder))
        process = stack.enter_context(bench.fogline("registry", "registry", "--port", str(port), *store, *common))
        process.answers(f"{registry}/readyz")
        if bench.real_cameras:
            names, camera = _real_cameras(bench, stack, registry, cameras, (fps, size))
        else:
            replayed = stack.enter_context(replay(bench, cameras, fps, size=size))
            names, camera = [f"camera-{n + 1}" for n in range(cameras)], replayed.process
            stack.enter_context(_membership(registry, names, replayed.urls, fps))
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        words = ["--port", str(port), "--registry", registry, "--name", "compute", "--model", model]
        words += ("--engine", engine, "--algorithms", algorithm, "--slots", str(slots or max(2 * cameras, 4)))
        compute = stack.enter_context(
            bench.fogline("compute", "compute", *words, "--data", str(data or models(bench)), *common)
        )
        built = Mesh(registry, names, camera, compute, url)
        compute.wait_until(
            lambda: _ready(built, algorithm, cameras), f"{algorithm} and {cameras} cameras in the mesh", 120
        )
        yield built


def _ready(built: Mesh, algorithm: str, cameras: int) -> bool:
    nodes = requests.get(f"{built.registry_url}/v1/nodes", timeout=5).json()["nodes"]
    ready = [node for node in nodes if node["state"] == "ready"]
    for node in ready:
        for entry in node.get("algorithm", ()):
            if entry["id"] == algorithm:
                built.entry = entry
    return bool(built.entry) and sum(node["kind"] == "camera" for node in ready) >= cameras


@contextmanager
def _membership(registry: str, names: list[str], urls: list[str], fps: float) -> Iterator[None]:
    """Register the replayed cameras and beat for them until the context ends."""
    stop = threading.Event()

    def join() -> None:
        for name, url in zip(names, urls, strict=True):
            manifest = {
                "schema": "fogline/1", "kind": "camera", "node_id": f"bench-{name}", "boot_id": "bench",
                "host_name": name, "name": name, "type": "Camera", "source": "http", "fps": max(fps, 1.0),
                "advertise_url": url,
            }  # fmt: skip
            requests.post(f"{registry}/v1/nodes", json=manifest, timeout=5).raise_for_status()

    def beat() -> None:
        with requests.Session() as client:
            while not stop.wait(BEAT_SECONDS):
                for name in names:
                    with suppress(requests.RequestException):  # the registry may be ending already
                        client.post(f"{registry}/v1/nodes/bench-{name}/heartbeat", json={"boot_id": "bench"}, timeout=2)

    join()
    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(3)


def _real_cameras(
    bench: Bench, stack: ExitStack, registry: str, count: int, feed: tuple[float, str]
) -> tuple[list[str], Process]:
    """Camera nodes on fake devices. feed: frames a second, and their size."""
    fps, size = feed
    names = [f"camera-{n + 1}" for n in range(count)]
    for name in names:
        port = free_port()
        words = ("--source", DEVICE, "--port", str(port), "--registry", registry, "--name", name)
        camera = stack.enter_context(
            bench.fogline(
                "camera", "camera", *words, "--data", str(bench.folder / name), "--log", "json",
                environment=fake_device(bench, size, fps),
            )
        )  # fmt: skip
        camera.answers(f"http://127.0.0.1:{port}/readyz")
    return names, camera


def import_model(bench: Bench, file: Path, name: str, *options: str) -> Path:
    """`models import` into the benchmarks' data folder, once. Returns the data folder."""
    data = models(bench)
    if not (data / "models" / name).is_dir():
        bench.say(f"importing {name}")
        words = ("models", "import", str(file), "--name", name, "--data", str(data), *options)
        with bench.fogline("models import", *words) as importing:
            importing.wait(300)
    if not (data / "models" / name).is_dir():
        raise Missing(f"{name} could not be imported")
    return data
