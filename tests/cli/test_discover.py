"""`./fogline discover` and what `doctor` says of the registry: what answers, and the next step."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from cli.doctor import CHECKS
from cli.finding import Finding
from cli.main import fogline
from cli.settings import DoctorSettings
from mesh.errors import RegistryAway
from tests.calm import browsing
from tests.processes import Running, free_port
from tests.registry.onvif_device import answer, device, match, network


def test_a_camera_on_the_network_is_shown_with_the_command_that_adds_it() -> None:
    """The command stands on one line, to be copied; JSON has the same; adding by hand is offered in any case."""
    urn, name = f"urn:uuid:{uuid.uuid4()}", uuid.uuid4().hex

    def answers(message: str) -> list[bytes]:
        return [answer(message, match(urn, scopes=f"onvif://www.onvif.org/name/{name}"))]

    with browsing():  # what addresses this machine has changes while others make networks
        address = network()
        with device(answers, address):
            # Wide enough for the name on one line, whatever else answers on the network: another test's camera, too.
            runner = CliRunner(env={"COLUMNS": "1000"})
            shown = runner.invoke(fogline, ["discover", "--seconds", "2"], catch_exceptions=False).output
            listed = runner.invoke(fogline, ["discover", "--seconds", "2", "--json"], catch_exceptions=False).output
    assert name in shown
    source = f"'rtsp://USER:PASSWORD@{address}/…'"
    assert re.search(
        rf"→ ./fogline camera --host 0.0.0.0 --source {re.escape(source)} --registry http://\S+:\d+", shown
    )
    assert "Adding by hand always works" in shown
    assert urn in [camera["urn"] for camera in json.loads(listed[listed.index("{") :])["cameras"]]


def test_an_address_that_is_no_registrys_is_said() -> None:
    """Whoever names a registry gets its answer or its silence, never this machine's search."""
    with pytest.raises(RegistryAway, match="is the address right"):
        CliRunner().invoke(
            fogline, ["discover", "--registry", f"http://127.0.0.1:{free_port()}"], catch_exceptions=False
        )


def findings(registry: str) -> list[Finding]:
    settings = DoctorSettings(registry=registry)
    return [finding for check in CHECKS[-2:] for finding in check(settings) if finding.subject == "registry"]


def test_the_doctor_says_which_registry_is_used_and_why(start: Callable[..., Running]) -> None:
    """A named one that answers, and a named one that does not, with the remedy."""
    url = start("registry").ready().url
    which, state = findings(url)
    assert (which.verdict, which.text) == ("ok", f"{url}: named by --registry (FOGLINE_REGISTRY)")
    assert (state.verdict, state.text) == ("ok", "it answers and knows 0 nodes")
    which, state = findings(f"http://127.0.0.1:{free_port()}")
    assert state.verdict == "bad"
    assert "refused" in state.text
    assert state.remedy
