"""`./fogline token` and `./fogline node`: how another machine joins a locked mesh, and how it is thrown out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from cli.node import chosen
from mesh.access_wire import Enrolment
from mesh.errors import Conflict, NotFound
from tests.cli.locked import Locked
from tests.processes import Running, wait_for


def test_a_token_is_shown_once_with_the_command_for_the_other_machine(mesh: Locked) -> None:
    """The token stands alone on standard output, and in the command as a variable, never as an option."""
    done = mesh.call("token", "create", "--uses", "5", "--expires", "7d", "--name", "hall 1")
    secret = done.stdout.strip()
    assert re.fullmatch(r"fgj_[0-9a-z]+_\S{20,}", secret)
    assert "5 machines" in done.stderr
    assert f"FOGLINE_JOIN_TOKEN={secret} ./fogline compute --host 0.0.0.0 --registry http://" in done.stderr
    assert "listens on this machine alone" in done.stderr  # it is at 127.0.0.1
    (listed,) = (one for one in mesh.json("token", "list") if one["name"] == "hall 1")
    assert (listed["uses"], listed["uses_left"]) == (5, 5)
    assert listed["expires_at"] == pytest.approx(time.time() + 7 * 86_400, abs=60)
    assert "5 of 5" in mesh.call("token", "list").stdout
    assert secret not in mesh.running.log() + mesh.call("token", "list").output


def test_the_address_that_others_reach_is_shown_when_it_is_given(mesh: Locked) -> None:
    """FOGLINE_REGISTRY_ADDRESS names it: a container does not know how its host is reached."""
    done = mesh.run("token", "create", FOGLINE_REGISTRY_ADDRESS="http://10.20.0.14:5050")
    assert "--registry http://10.20.0.14:5050" in done.stderr
    assert "FOGLINE_REGISTRY=http://10.20.0.14:5050 FOGLINE_JOIN_TOKEN=fgj_" in done.stderr
    assert "this machine alone" not in done.stderr


def test_a_node_joins_with_a_token_and_is_revoked_by_name(
    mesh: Locked, start: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It gets the token by a variable alone; `node list` shows it, and `node revoke NAME` ends its trust."""
    secret = mesh.call("token", "create").stdout.strip()
    folder = tmp_path_factory.mktemp("elsewhere")
    options = ("--source", "none", "--host-cameras", "1", "--name", "gate", "--access", "locked")
    camera = start("camera", "--registry", mesh.url, *options, data=folder, environment={"FOGLINE_JOIN_TOKEN": secret})
    joined = wait_for(lambda: named(mesh, "gate"), 20, "the node")
    assert joined["revoked_at"] is None
    assert "gate" in mesh.call("node", "list").stdout
    assert secret not in camera.log()
    mesh.call("node", "revoke", "gate")
    revoked = named(mesh, "gate")
    assert revoked is not None
    assert revoked["revoked_at"] is not None


def named(mesh: Locked, name: str) -> dict[str, Any] | None:
    return next((one for one in mesh.json("node", "list") if one["name"] == name), None)


def test_a_revoked_token_is_good_for_nothing(mesh: Locked) -> None:
    """It is not in the list any more, and an unknown id is said."""
    made = mesh.json("token", "create", "--name", "mistake")["token"]["token_id"]
    mesh.call("token", "revoke", made)
    assert made not in [one["token_id"] for one in mesh.json("token", "list")]
    done = mesh.run("token", "revoke", made)
    assert isinstance(done.exception, NotFound)


@pytest.mark.parametrize("wrong", ["5", "h", "1x", "-3h", "0m", "1h 30"])
def test_a_duration_that_is_none_is_refused_with_an_example(mesh: Locked, wrong: str) -> None:
    """`24` alone could be hours or seconds: nobody guesses."""
    done = mesh.run("token", "create", "--expires", wrong)
    assert done.exit_code != 0
    assert "30m, 24h or 7d" in done.output


def test_the_signing_key_is_rotated_and_the_old_one_stays_known(mesh: Locked) -> None:
    """Afterwards one key more is trusted."""
    before = trusted(mesh)
    mesh.call("signing-key", "rotate")
    assert before < trusted(mesh)


def trusted(mesh: Locked) -> set[str]:
    secret = (mesh.data / "admin" / "key").read_text().strip()
    answer = requests.get(f"{mesh.url}/v1/trust", headers={"Authorization": f"Bearer {secret}"}, timeout=5)
    return set(answer.json()["keys"])


def enrolment(node_id: str, name: str, revoked_at: float | None = None) -> Enrolment:
    return Enrolment(
        node_id=node_id, kind="camera", name=name, kid="k", enrolled_at=1, token_name="t", renewed_at=1,
        revoked_at=revoked_at,
    )  # fmt: skip


def test_a_node_is_named_by_id_or_by_a_name_that_only_it_has() -> None:
    """Of two with one name nobody is chosen; a revoked one does not stand in the way of its successor."""
    here = [
        enrolment("a", "gate", revoked_at=5),
        enrolment("b", "gate"),
        enrolment("c", "hall"),
        enrolment("d", "hall"),
    ]
    assert chosen(here, "gate").node_id == "b"
    assert chosen(here, "a").node_id == "a"
    with pytest.raises(Conflict, match="c, d"):
        chosen(here, "hall")
    with pytest.raises(NotFound, match="gate, hall"):
        chosen(here, "yard")
