"""`./fogline user`, `key` and `audit`: people and programs of a locked mesh, from its own machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import asking
from cli.audit import line
from cli.main import fogline
from cli.settings import AskSettings
from mesh.access_wire import AuditEntry
from mesh.credentials import Bearer
from mesh.errors import SetupProblem
from tests.cli.locked import Locked
from tests.processes import ROOT, wait_for


def test_the_first_runs_link_makes_the_admin_and_is_then_said_to_be_useless(new_mesh: Locked, tmp_path: Path) -> None:
    """Without a name `user link` prints the dashboard's address with the token behind `#`; elsewhere, and later, it
    says why not."""
    done = new_mesh.run("user", "link", FOGLINE_DASHBOARD="http://10.20.0.14:8080/")
    link = done.stdout.strip()
    assert re.fullmatch(r"http://10\.20\.0\.14:8080/setup#fgl_\S{43}", link)
    elsewhere = new_mesh.run("user", "link", data=tmp_path).exception
    assert isinstance(elsewhere, SetupProblem)
    assert "on the registry's machine" in elsewhere.detail
    assert new_mesh.sign_in(link, name="anna").startswith("fgs_")
    done = new_mesh.call("user", "link")
    assert done.stdout == ""
    assert "not needed any more" in done.stderr
    assert link.partition("#")[2] not in new_mesh.running.log()


def test_a_person_is_added_and_does_what_the_role_allows(mesh: Locked) -> None:
    """The link works once; the role changes at once; out is out."""
    link = mesh.call("user", "add", "ben", "--role", "viewer").stdout.strip()
    bearer = mesh.sign_in(link)
    assert mesh.ask("/v1/nodes", bearer).status_code == 200
    assert mesh.ask("/v1/users", bearer).status_code == 403
    mesh.call("user", "role", "ben", "operator")
    (listed,) = (one for one in mesh.json("user", "list") if one["name"] == "ben")
    assert listed["role"] == "operator"
    assert "ben" in mesh.call("user", "list").stdout
    mesh.call("user", "sign-out", "ben")
    wait_for(lambda: mesh.ask("/v1/nodes", bearer).status_code == 401, 6, "refusal after the sign-out")
    mesh.call("user", "disable", "ben")
    assert next(one for one in mesh.json("user", "list") if one["name"] == "ben")["disabled"]
    mesh.call("user", "enable", "ben")
    again = mesh.json("user", "link", "ben")
    assert again["address"].endswith(f"/setup#{again['token']}")
    mesh.call("user", "remove", "ben")
    assert "ben" not in [one["name"] for one in mesh.json("user", "list")]


def test_a_key_is_shown_once_and_opens_what_its_scope_says(mesh: Locked) -> None:
    """As a variable of the command line, too; revoked it opens nothing."""
    done = mesh.call("key", "create", "vlc", "--scope", "view", "--expires", "30d")
    secret = done.stdout.strip()
    assert secret.startswith("fgk_")
    assert mesh.ask("/v1/nodes", secret).status_code == 200
    assert mesh.ask("/v1/users", secret).status_code == 403
    (listed,) = (one for one in mesh.json("key", "list") if one["name"] == "vlc")
    assert listed["scopes"] == ["view"]
    shown = mesh.call("key", "list").output
    assert listed["key_id"] in shown
    assert secret not in shown + mesh.running.log()
    elsewhere = mesh.run("status", "--json", data=Path("/nonexistent"), FOGLINE_API_KEY=secret)
    assert json.loads(elsewhere.stdout)["nodes"] is not None
    mesh.call("key", "revoke", listed["key_id"])
    wait_for(lambda: mesh.ask("/v1/nodes", secret).status_code == 401, 6, "refusal of the revoked key")


def test_the_audit_tells_who_did_it_and_goes_on(mesh: Locked) -> None:
    """Oldest first; `--json` gives a line an entry; `--follow` adds what happens meanwhile, each once."""
    mesh.call("key", "create", "first of two", "--scope", "view")
    entries = [json.loads(text) for text in mesh.call("audit", "--json", "--all").stdout.splitlines()]
    assert [one["at"] for one in entries] == sorted(one["at"] for one in entries)
    assert (entries[-1]["action"], entries[-1]["subject"]) == ("key made", "first of two")
    assert len(mesh.call("audit", "--limit", "1").stdout.splitlines()) == 1
    command = [sys.executable, "-u", "-m", "cli", "audit", "--follow", "--limit", "1"]
    with subprocess.Popen(
        [*command, "--registry", mesh.url, "--data", str(mesh.data)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as following:
        try:
            assert following.stdout is not None
            assert "first of two" in following.stdout.readline()
            mesh.call("key", "create", "second of two", "--scope", "view")
            assert "second of two" in following.stdout.readline()
        finally:
            following.terminate()


def test_an_entry_cannot_steer_the_terminal() -> None:
    """A name with control characters is shown without them."""
    entry = AuditEntry(entry_id="1-0", at=0, who="\x1b]0;x\x07anna", address="", action="sign-in", outcome="refused\n")
    assert "\x1b" not in line(entry)
    assert "\n" not in line(entry)


def test_who_shows_nothing_is_told_how(mesh: Locked, tmp_path: Path) -> None:
    """Without a key every question is refused, in words that fit the command line."""
    command = [sys.executable, "-m", "cli", "user", "list", "--registry", mesh.url, "--data", str(tmp_path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert said.returncode == 1
    assert "FOGLINE_API_KEY" in said.stderr


def test_the_folders_key_is_shown_to_this_machine_alone(mesh: Locked) -> None:
    """Neither to a registry elsewhere nor to one that merely announces itself: whoever listens there would have it."""
    settings = AskSettings(data=mesh.data)
    assert isinstance(asking.credentials(settings, mesh.url), Bearer)
    for elsewhere in ("http://192.0.2.7:5050", "http://registry.example:5050", f"{mesh.url},http://192.0.2.7:5050", ""):
        assert asking.credentials(settings, elsewhere) is None
    found = AskSettings(data=mesh.data, api_key="fgk_a_b")
    assert asking.credentials(found, "http://192.0.2.7:5050") is None
    named = AskSettings(data=mesh.data, api_key="fgk_a_b", registry="http://192.0.2.7:5050")
    assert asking.credentials(named, "http://192.0.2.7:5050") == Bearer("fgk_a_b")


@pytest.mark.parametrize(
    "command", [["user", "role", "anna", "king"], ["key", "create", "x"], ["key", "create", "x", "--scope", "all"]]
)
def test_unknown_roles_and_scopes_are_refused_before_anybody_is_asked(command: list[str]) -> None:
    """The error lists what there is."""
    done = CliRunner().invoke(fogline, command)
    assert done.exit_code == 2
    assert "view" in done.output
