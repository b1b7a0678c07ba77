"""`./fogline up` with locked doors: how the first admin gets in, and that its link is written nowhere."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from cli.settings import UpSettings
from cli.up import _sign_in, plan
from mesh.keys import private_file
from tests.processes import ROOT, free_port, wait_for
from tests.system.ups import beginning

PASSWORD = "a long enough password"


class Terminal:
    """`./fogline up --access locked` in a terminal, without cameras and compute nodes of its own."""

    def __init__(self, data: Path) -> None:
        self.port, self.registry_port = free_port(), free_port()
        self.registry = f"http://127.0.0.1:{self.registry_port}"
        ours, theirs = pty.openpty()
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FOGLINE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--access", "locked", "--data", str(data), "--redis", "memory:",
             "--port", str(self.port), "--registry-port", str(self.registry_port),
             "--camera", "none", "--host-cameras", "1", "--compute", "0"],
            cwd=ROOT, env={**kept, "TERM": "dumb"}, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._shown = b""
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()

    def _read(self, terminal: int) -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while more := os.read(terminal, 65536):
                self._shown += more
        os.close(terminal)

    def shown(self) -> str:
        return self._shown.decode(errors="replace")

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> None:
        family = self.family() if self.process.poll() is None else []
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._reader.join(5)


@contextlib.contextmanager
def running(data: Path) -> Iterator[Terminal]:
    """As soon as it is up."""
    with contextlib.ExitStack() as ends:
        with beginning():
            terminal = Terminal(data)
            ends.callback(terminal.stop)
            wait_for(lambda: "Ctrl-C stops everything" in terminal.shown(), 40, "word that it is up")
        yield terminal


def test_the_first_runs_link_is_shown_once_and_written_nowhere(models: Path, tmp_path: Path) -> None:
    """It makes the first admin; no log and no command line has a secret."""
    (tmp_path / "models").symlink_to(models / "models")
    with running(tmp_path) as first:
        shown = first.shown()
        token = (tmp_path / "admin" / "setup-token").read_text().strip()
        assert shown.count(f"http://127.0.0.1:{first.port}/setup#{token}") == 1
        assert shown.count("fgl_") == 1
        assert requests.get(f"{first.registry}/v1/nodes", timeout=5).status_code == 401
        chosen = {"token": token, "name": "anna", "password": PASSWORD}
        assert requests.post(f"{first.registry}/v1/setup", json=chosen, timeout=10).ok
        lines = " ".join(word for process in first.family() for word in process.cmdline())
    assert "cli registry" in lines
    logs = "".join(file.read_text() for file in (tmp_path / "logs").iterdir())
    assert "a node has joined" in logs  # the dashboard and the camera host, with nobody's help
    for secret in ("fgl_", "fgj_", "fgk_", "fgs_", PASSWORD):
        assert secret not in logs
        assert secret not in lines
    assert not (tmp_path / "admin" / "setup-token").exists()


def test_what_is_no_terminal_gets_no_link(tmp_path: Path) -> None:
    """Anything else may be a log: it gets the command that prints the link. Later runs say where to sign in."""
    settings, dashboard = UpSettings(access="locked", data=tmp_path), "http://10.20.0.14:8080"
    private_file(tmp_path / "admin" / "setup-token", b"fgl_secret")
    said = "\n".join(_sign_in(settings, dashboard, terminal=False))
    assert f"./fogline user link --data {tmp_path}" in said
    assert "fgl_" not in said
    assert f"{dashboard}/setup#fgl_secret" in "\n".join(_sign_in(settings, dashboard, terminal=True))
    (tmp_path / "admin" / "setup-token").unlink()
    assert "at the dashboard" in "\n".join(_sign_in(settings, dashboard, terminal=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_mesh_for_this_machine_alone_says_how_to_open_it(host: str, tmp_path: Path) -> None:
    """Nobody signs in there, also not when a link is ready."""
    private_file(tmp_path / "admin" / "setup-token", b"fgl_secret")
    (said,) = _sign_in(UpSettings(host=host, data=tmp_path), "http://127.0.0.1:8080", terminal=True)
    assert "only this computer can open it; --host 0.0.0.0 lets the network in, with sign-in" in said


def test_every_service_is_told_who_is_let_in(tmp_path: Path) -> None:
    """--access reaches all of them, --legacy-open the registry, --trusted-proxies the dashboard alone."""
    settings = UpSettings(access="locked", legacy_open=True, trusted_proxies=1, data=tmp_path)
    services = {one.name: " ".join(one.arguments) for one in plan(settings, ("none",))}
    assert all("--access locked" in arguments for arguments in services.values())
    assert [name for name, arguments in services.items() if "--legacy-open" in arguments] == ["registry"]
    assert [name for name, arguments in services.items() if "--trusted-proxies 1" in arguments] == ["dashboard"]
