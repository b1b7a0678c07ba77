"""The embedded Valkey: private, kept, and never orphaned."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from mesh.errors import SetupProblem
from registry import valkey as embedded
from registry.valkey import EmbeddedValkey
from tests.processes import ROOT, wait_for
from tests.registry.servers import ended


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path)
    server.start()
    yield server
    server.stop()


def test_only_this_user_can_reach_it(valkey: EmbeddedValkey) -> None:
    """A 0700 folder, a Unix socket, no TCP port, and every write on disk within a second."""
    assert stat.S_IMODE(valkey.folder.stat().st_mode) == 0o700
    with redis.Redis.from_url(valkey.url) as client:
        settings = client.config_get("port", "appendonly", "appendfsync")
        assert settings == {"port": "0", "appendonly": "yes", "appendfsync": "everysec"}
        pid = client.info("server")["process_id"]
    assert [c for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


def test_its_data_outlives_it_and_it_ends_quickly(tmp_path: Path) -> None:
    """A stop takes less than two seconds and leaves neither process nor socket."""
    for turn in range(2):
        server = EmbeddedValkey(tmp_path)
        server.start()
        with redis.Redis.from_url(server.url) as client:
            pid = client.info("server")["process_id"]
            assert client.incr("turns") == turn + 1
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2
        assert not psutil.pid_exists(pid)
        assert not server.socket.exists()


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """In a private folder of its own, which goes with it."""
    deep = tmp_path / ("d" * 80) / ("e" * 80)
    server = EmbeddedValkey(deep)
    server.start()
    try:
        assert len(os.fsencode(server.socket)) < 104
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        assert (deep / "valkey" / "appendonlydir").is_dir()
    finally:
        server.stop()
    assert not server.socket.parent.exists()


def test_it_dies_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of its owner: the kernel ends it."""
    program = (
        "import sys, time, pathlib; from registry.valkey import EmbeddedValkey;"
        "EmbeddedValkey(pathlib.Path(sys.argv[1])).start(); print('up', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    (server,) = psutil.Process(owner.pid).children()
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    wait_for(lambda: ended(server), 3, "its end")


def test_a_second_registry_on_the_same_data_is_refused(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers would destroy each other's files."""
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.2)
    with pytest.raises(SetupProblem, match=r"another registry uses the data .* --data"):
        EmbeddedValkey(valkey.folder.parent).start()


def test_where_there_is_no_program_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unusual machine needs --redis."""
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SetupProblem, match="--redis"):
        EmbeddedValkey(tmp_path).start()


def test_a_program_that_ends_at_once_is_a_set_up_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last thing that it said."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of luck\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(embedded, "binary", lambda: broken)
    with pytest.raises(SetupProblem, match=r"out of luck.*--redis"):
        EmbeddedValkey(tmp_path / "data").start()
