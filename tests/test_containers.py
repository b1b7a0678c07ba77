"""The container files hold together as far as tools can tell without an engine."""

from __future__ import annotations

import re

import pytest

from deploy.lock import ROLES, file_of
from tests.processes import ROOT


@pytest.mark.parametrize("role", ["registry", "ui", "camera", "compute"])
def test_every_service_has_a_target_that_runs_as_nobody_special(role: str) -> None:
    """Each image names its user, its health check and its command."""
    text = (ROOT / "Dockerfile").read_text()
    stage = re.search(rf"^FROM base AS {role}$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    assert stage
    for line in ("USER 10001:10001", "HEALTHCHECK", f'"cli", "{role}"'):
        assert line in stage.group(1)


def test_an_image_carries_only_what_its_role_needs() -> None:
    """The registry's and the dashboard's images get neither OpenCV nor an engine."""
    lists = {role: file_of(role).read_text() for role in ROLES}
    for role in ("registry", "ui"):
        assert not re.search(r"^(opencv|openvino|onnx|numpy)", lists[role], re.MULTILINE)
    assert "\nredis==" in lists["registry"]
    assert "\nopenvino==" in lists["compute"]
    assert "\nopencv-python-headless==" in lists["camera"]
