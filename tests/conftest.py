"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from cli.checks import BROWSERS
from mesh.settings import DATA
from tests.processes import ROOT, Running, free_port

QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
SHARED = ROOT.parent / "shared" / "data"
HARDWARE = "Skipped: hardware: "  # how the reason begins for which a test may be skipped in CI


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nobody reads why a test was not run: only the hardware is an excuse."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:  # a worker of several tells the one that has begun it
        return
    inexcusable = [one for one in reporter.stats.get("skipped", ()) if HARDWARE not in one.longreprtext]
    if inexcusable and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"CI: {len(inexcusable)} tests were skipped for want of something that it should have")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures, videos and weights; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder of test data (../shared/data) is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def models() -> Path:
    """A data folder in which the default models are installed, as `./fogline test` leaves it. What was found to be
    their fastest engine is remembered there, too: a test that links `engines` starts without measuring again."""
    data = Path(os.environ.get("FOGLINE_DATA") or ROOT / DATA.name).resolve()
    if not (data / "models" / "yolov3-tiny").is_dir():
        pytest.skip("the default model is not installed: run the tests by ./fogline test")
    (data / "engines").mkdir(exist_ok=True)
    return data


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Chromium or a relative of it."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("no browser in CI: ./fogline test installs one")
    pytest.skip("no Chromium or Chrome on this machine: ./fogline test installs one where it may")


@pytest.fixture(scope="session")
def browser(browser_path: str) -> Iterator[Browser]:
    """A browser without windows, one for all tests of a process: its library allows no second one at a time."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser_path, args=QUIET)
        yield running
        running.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a role on a free port: `start("registry", "--redis", url)`; everything ends with the test."""
    running: list[Running] = []

    def begin(
        role: str,
        *arguments: str,
        data: Path | None = None,
        environment: dict[str, str] | None = None,
        port: int | None = None,
    ) -> Running:
        port = port or free_port()
        where = ("--data", str(data or tmp_path / "data"))
        one = Running(role, *where, *arguments, port=port, log=tmp_path / f"{role}-{port}.log", environment=environment)
        running.append(one)
        return one

    yield begin
    failures = []
    for one in running:
        if one.role != "registry":  # to which the others say goodbye
            one.end()
    for one in reversed(running):
        try:
            one.stop()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, failures
