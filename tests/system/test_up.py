"""`./fogline up`: one command, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from tests.processes import ROOT, free_port, wait_for
from tests.system.ups import beginning
from tests.viewers import follow, watch


class Up:
    """A running `./fogline up`, by way of `python -m cli`, on free ports."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.port, self.registry_port = free_port(), free_port()
        self.ui, self.registry = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.registry_port}"
        self.out = data / "up.txt"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FOGLINE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--port", str(self.port), "--registry-port", str(self.registry_port),
             "--data", str(data), *arguments],
            cwd=ROOT, env=kept, stdin=subprocess.DEVNULL, stdout=self.out.open("wb"), stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def said(self) -> str:
        return self.out.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        return [self.ps, *self.ps.children(recursive=True)]

    @property
    def ps(self) -> psutil.Process:
        return psutil.Process(self.process.pid)


@pytest.fixture
def data(models: Path, tmp_path: Path) -> Path:
    return data_folder(tmp_path, models, "engines")


def data_folder(place: Path, models: Path, *more: str) -> Path:
    """A new one, in which what is installed is used in place. more: folders that a first start has not."""
    for name in ("models", "media", *more):
        (place / name).symlink_to(models / name)
    return place


@contextmanager
def running(data: Path, *arguments: str) -> Iterator[Up]:
    """As soon as it is up. It is killed at the end, unless it has ended."""
    with ExitStack() as ends:
        with beginning():
            one = ends.enter_context(_ending(Up(data, *arguments)))
            wait_for(lambda: "Fogline is up" in one.said(), 40, f"word in {one.out} that it is up")
        yield one


@contextmanager
def _ending(one: Up) -> Iterator[Up]:
    try:
        yield one
    finally:
        if one.process.poll() is None:
            for process in one.family():
                process.kill()
        one.process.wait(5)


@pytest.fixture(scope="module")
def up(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One for the tests that take no harm from each other."""
    with running(data_folder(tmp_path_factory.mktemp("up"), models)) as one:
        yield one


def test_one_command_gives_a_dashboard_and_boxes(up: Up) -> None:
    """Dashboard and stream answer within seconds."""
    wait_for(lambda: up.ui in up.said(), 5, "the dashboard's address")  # a line may be seen half written
    assert requests.get(up.ui, timeout=5).status_code == 200
    made = requests.post(f"{up.registry}/v1/sessions", json={"camera": "demo", "algorithm": "yolo"}, timeout=10).json()
    assert len(watch(f"{up.registry}/v1/sessions/{made['session_id']}/stream", 20)) == 20
    events = follow(f"{up.registry}/v1/sessions/{made['session_id']}/detections", 20)
    assert all(event["objects"] for event in events)


def test_a_service_that_dies_is_started_again(up: Up) -> None:
    """The compute node is killed; `up` says so and the mesh has it back."""
    compute = next(p for p in up.ps.children() if "compute" in p.cmdline())
    for process in [*compute.children(recursive=True), compute]:
        process.kill()
    wait_for(lambda: "starting it again" in up.said(), 10, "word of the death")

    def back() -> bool:
        listed = requests.get(f"{up.registry}/v1/nodes?kind=compute", timeout=5).json()["nodes"]
        return any(node["state"] == "ready" for node in listed) and any(
            "compute" in p.cmdline() and p.pid != compute.pid for p in up.ps.children()
        )

    wait_for(back, 30, "compute node back in the mesh")


def test_killing_up_itself_leaves_no_orphans(up: Up) -> None:
    """Even kill -9 of the one command ends its services. The last on that mesh."""
    family = up.family()
    assert len(family) > 8  # up, four services of two processes each, Valkey
    up.process.kill()
    _, alive = psutil.wait_procs(family, timeout=8)
    assert not alive, alive


def test_a_password_in_a_source_is_nowhere_to_be_read_and_ctrl_c_ends_it_all(data: Path) -> None:
    """Not in what is said, not in a log, not in a command line of a child, not in the mesh. SIGINT ends every process
    within five seconds."""
    with running(data, "--camera", "rtsp://operator:hunter2@127.0.0.1:9/live") as one:
        listed = requests.get(f"{one.registry}/v1/nodes", timeout=5).text
        family = one.family()
        assert len(family) > 8
        commands = [" ".join(process.cmdline()) for process in family[1:]]
        metrics = "".join(
            requests.get(f"{node['url']}/metrics", timeout=5).text for node in json.loads(listed)["nodes"]
        )
        began = time.monotonic()
        one.process.send_signal(signal.SIGINT)
        one.process.wait(10)
        assert time.monotonic() - began < 5
        _, alive = psutil.wait_procs(family, timeout=2)
        assert not alive, alive
    logs = "".join(file.read_text() for file in (data / "logs").iterdir())
    assert "refuses connections" in logs
    for where in (one.said(), listed, metrics, logs, *commands):
        assert "hunter2" not in where


def test_a_port_that_is_taken_is_said_with_its_remedy(data: Path) -> None:
    """The error names the port and the option, and nothing was started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "cli", "up", "--port", str(port), "--data", str(data)],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--port", "high"], "whole number"),
        (["up", "--host", "999.1.1.1"], "--host"),
        (["up", "--camera", "gopher://x"], "gopher"),
        (["up", "--data", "/dev/null/data"], "--data"),
        (["camera", "--source", "gopher://x"], "gopher"),
        (["camera", "--registry", "localhost"], "http://HOST:5050"),
        (["compute", "--name", "<b>"], "--name"),
        (["compute", "--advertise", "10.0.0.5"], "FOGLINE_ADVERTISE"),
        (["status", "--registry", "http://127.0.0.1:9"], "is it running"),
        (["models", "pull", "no-such-model"], "yolov3-tiny"),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments: list[str], words: str, data: Path) -> None:
    """No trace, no silence: what is wrong and what would be right."""
    more = [] if arguments[0] in ("models", "status") or "--data" in arguments else ["--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments, *more],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
