"""The images as their files say: what each stage is made of, what is left out, and what runs in them first."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from threading import Thread

import pytest

from cli.prepare import UI
from deploy.lock import ROLES
from deploy.trim import ONLY, unneeded
from mesh.version import VERSION
from tests.deploy.stages import Stage, stages
from tests.processes import ROOT

DOCKERFILE = ROOT / "Dockerfile"
PYTHON = Path(sys.executable)


@pytest.fixture(scope="module")
def built() -> dict[str, Stage]:
    return stages(DOCKERFILE.read_text())


def test_hadolint_finds_nothing() -> None:
    """The linter of Dockerfiles is content, hints of style included; .hadolint.yaml says why one is ignored."""
    program = shutil.which("hadolint", path=f"{PYTHON.parent}:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("no hadolint here: requirements-dev.txt brings it")
    done = subprocess.run(
        [program, "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_a_change_of_code_leaves_the_packages_and_the_last_copy_alone_is_new(
    built: dict[str, Stage], role: str
) -> None:
    """What takes minutes depends on the lists of packages alone; an image ends with the copy of the code."""
    code = {
        "registry/app.py",
        "camera_node/app.py",
        "compute_node/app.py",
        "ui/app.py",
        "cli/status.py",
        "mesh/client.py",
    }
    assert code <= {file for file in code if built["source"].needs(file)}
    packages = f"build-{role}"
    assert not {file for file in code if built[packages].needs(file)}
    assert built[packages].needs(f"deploy/requirements-{role}.txt")
    others = {f"deploy/requirements-{other}.txt" for other in ROLES if other != role}
    assert not {file for file in others if built[packages].needs(file)}
    copies = [step for step in built[role].steps if step.startswith("COPY ")]
    assert copies[0] == f"COPY --from={packages} /opt/venv /opt/venv"
    assert copies[-1] == "COPY --from=source /opt/fogline ."


def test_a_change_of_code_fetches_nothing_again(built: dict[str, Stage]) -> None:
    """npm, the dashboard's libraries and the models stay as long as what describes them."""
    code = ("registry/app.py", "camera_node/app.py", "compute_node/app.py", "ui/app.py", "cli/status.py")
    for fetched, description in (
        ("node", "deploy/requirements-npm.txt"),
        ("front-end", "ui/package-lock.json"),
        ("models", "compute_node/models/catalogue.toml"),
    ):
        assert built[fetched].needs(description)
        assert not [file for file in code if built[fetched].needs(file)], fetched
    assert not [stage for stage in ("front-end", "models") if built[stage].needs("mesh/client.py")]


def test_papers_tests_and_figures_rebuild_nothing(built: dict[str, Stage]) -> None:
    """.dockerignore lets in what the stages copy, and nothing else."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {source for stage in built.values() for source in stage.own}
    used = {name for name in let_in for source in copied if fnmatch(source, name) or source.startswith(f"{name}/")}
    assert used == let_in
    assert all(any(fnmatch(source, name) or source.startswith(f"{name}/") for name in let_in) for source in copied)


def test_the_stage_of_the_models_has_the_code_that_it_runs(built: dict[str, Stage], tmp_path: Path) -> None:
    """Every module that fetches and converts models is among the files that the stage copies."""
    built["models"].fill(tmp_path)
    program = (
        "import cli.models, cli.npm, compute_node.models.building, compute_node.models.darknet,"
        " compute_node.models.indexes, compute_node.models.store, compute_node.models.tfjs,"
        " compute_node.engines.onnxruntime, compute_node.engines.openvino"
    )
    _run([str(PYTHON), "-c", program], tmp_path)


def test_the_dashboards_image_has_what_its_pages_load_and_little_else(built: dict[str, Stage], tmp_path: Path) -> None:
    """Of the libraries only what is served stays, and a dashboard that starts finds nothing to fetch."""
    if not (UI / "node_modules" / ".package-lock.json").is_file():
        pytest.skip("the dashboard's libraries are not installed here: ./fogline ui does it")
    built["front-end"].fill(tmp_path)
    modules = tmp_path / "ui" / "node_modules"
    shutil.copytree(UI / "node_modules", modules)
    _run([str(PYTHON), "-m", "deploy.front_end"], tmp_path)
    stays = [path for path in modules.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stays) < 2_000_000
    assert [path for path in stays if path.name.upper().startswith("LICEN")]
    # Other tests' services may be compiling these: a compiled file has another name for a moment.
    source = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "cli", tmp_path / "cli", ignore=source)
    shutil.copytree(ROOT / "mesh", tmp_path / "mesh", ignore=source, dirs_exist_ok=True)
    shutil.copytree(ROOT / "compute_node", tmp_path / "compute_node", ignore=source)
    shutil.copy(UI / "package-lock.json", tmp_path / "ui")
    program = (
        "import cli.prepare as p, rich.console as c\n"
        "p.ensure_npm = lambda console: 1 / 0\n"
        "p.prepare_front_end(c.Console())"
    )
    _run([str(PYTHON), "-c", program], tmp_path)


def test_nothing_that_a_service_loads_is_left_out() -> None:
    """No module and no library that the services, the engines and quantizing load is on the list of what goes."""
    program = (
        "import sys, cli.main, registry.main, ui.main, camera_node.main, compute_node.main, compute_node.models.int8\n"
        "import onnxruntime.quantization, compute_node.algorithms.haar as haar, numpy\n"
        "from compute_node.engines import found, compile_model, probe\n"
        "assert {device.name for device in found()} >= {'openvino:cpu', 'onnxruntime:cpu'}\n"
        "haar._cascade()\n"
        "names = {getattr(m, '__file__', None) for m in list(sys.modules.values())}\n"
        "names |= {line.split()[-1] for line in open('/proc/self/maps')}\n"
        "print('\\n'.join(sorted(n for n in names if n and '/site-packages/' in n)))"
    )
    loaded = [Path(line) for line in _run([str(PYTHON), "-c", program], ROOT).splitlines()]
    packages = next(parent for parent in loaded[0].parents if parent.name == "site-packages")
    gone = set(unneeded(packages))
    assert gone
    assert not [path for path in loaded if path in gone or gone.intersection(path.parents)]


def test_the_languages_of_the_pages_stay() -> None:
    """Babel's data of each language that the dashboard speaks is kept."""
    spoken = {path.stem for path in (ROOT / "ui" / "locales").glob("*.po")}
    assert spoken
    assert {f"{language}.dat" for language in {*spoken, "en", "root"}} <= set(ONLY["babel/locale-data"])


def test_no_step_is_bound_to_one_processor(built: dict[str, Stage]) -> None:
    """The same files build for x86-64 and for arm64."""
    words = re.compile(r"x86_64|amd64|aarch64|arm64|--platform")
    for name in ("Dockerfile", "deploy/install.sh", "deploy/start.sh", "deploy/trim.py", "deploy/front_end.py"):
        assert not words.search((ROOT / name).read_text()), name
    assert {stage.parent for stage in built.values() if stage.parent not in built} == {"${PYTHON_IMAGE}"}


@pytest.mark.parametrize("role", ROLES)
def test_an_image_says_what_it_is_and_how_it_is_run(built: dict[str, Stage], role: str) -> None:
    """Labels, a user that Kubernetes can check, a signal, a port, a health check and a command."""
    text = "\n".join(built[role].steps)
    for label in ("title", "description", "licenses", "version", "revision", "source"):
        assert f"org.opencontainers.image.{label}=" in text
    for line in (
        "USER 10001:10001",
        "STOPSIGNAL SIGTERM",
        "EXPOSE ",
        "HEALTHCHECK ",
        "VOLUME /data",
        f'"cli", "{role}"',
    ):
        assert line in text
    assert f"ARG VERSION={VERSION}\n" in DOCKERFILE.read_text()


class _Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_believes_the_answer(status: int, code: int) -> None:
    """200 is healthy, another answer is not."""
    handler = type("Handler", (_Answer,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            assert _health(server.server_address[1]) == code
        finally:
            server.shutdown()


def test_a_service_that_hangs_is_not_healthy() -> None:
    """A port that takes connections and never answers counts as dead, within the time that containers give."""
    with create_server(("127.0.0.1", 0)) as silent:
        assert _health(silent.getsockname()[1]) != 0


def _health(port: int) -> int:
    command = [str(PYTHON), "-IS", str(ROOT / "deploy" / "healthcheck.py"), str(port)]
    return subprocess.run(command, env={}, stderr=subprocess.DEVNULL, timeout=10, check=False).returncode


def _run(command: list[str], folder: Path) -> str:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "PYTHONPATH": str(folder),
        "ORT_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
