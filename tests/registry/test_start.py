"""What can be wrong before the registry serves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mesh.errors import SetupProblem
from registry.main import run
from registry.settings import RegistrySettings
from tests.processes import free_port


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://:secret@host:port/0"])
def test_an_address_that_is_none_is_named(url: str, tmp_path: Path) -> None:
    """With the option, and without the password."""
    with pytest.raises(SetupProblem, match=r"--redis \(FOGLINE_REDIS\)") as refused:
        run(RegistrySettings(redis=url, port=free_port(), data=tmp_path, log="text"))
    assert "secret" not in refused.value.detail


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """Nothing was started for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupProblem, match=rf"port {port} .* taken .*--port"):
            run(RegistrySettings(port=port, data=tmp_path, log="text"))
    assert not (tmp_path / "valkey").exists()
