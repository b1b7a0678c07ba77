"""The house stays in order: who may import whom, and that the papers say what the code does."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT

SERVICES = ("registry", "camera_node", "compute_node", "ui")
PACKAGES = ("mesh", *SERVICES, "cli")
LINES = 400  # of one file; it has one subject


def files(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """The top-level package of everything that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def test_the_mesh_imports_no_service_no_flask_and_no_opencv() -> None:
    """What every service shares depends on none of them."""
    forbidden = {*SERVICES, "cli", "flask", "flask_apscheduler", "cv2"}
    found = {path.name: bad for path in files("mesh") if (bad := forbidden & set(imports(path)))}
    assert files("mesh")
    assert not found


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_the_mesh_and_never_another_service(service: str) -> None:
    """Services know each other by HTTP only."""
    forbidden = {*SERVICES, "cli"} - {service}
    found = {str(path): bad for path in files(service) if (bad := forbidden & set(imports(path)))}
    assert files(service)
    assert not found


def test_files_have_one_subject() -> None:
    """A file that has outgrown its subject is split, and none is called after nothing."""
    everything = [path for package in (*PACKAGES, "tests", "bench") for path in files(package)]
    assert not {str(path): count for path in everything if (count := len(path.read_text().splitlines())) > LINES}
    assert not [path for path in everything if path.stem in ("utils", "helpers", "common", "manager", "misc")]


def test_importing_a_service_starts_nothing() -> None:
    """No thread, no model and no heavy engine comes with an import of the command line."""
    import subprocess  # noqa: PLC0415

    program = (
        "import sys, threading, cli.main\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "heavy = {'cv2', 'openvino', 'onnxruntime', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def requirement_lines(name: str) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {line for line in lines if line}


def test_requirements_and_pyproject_agree() -> None:
    """requirements.txt is exactly what the roles in pyproject.toml need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    roles = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert requirement_lines("requirements.txt") == set(roles)
    assert all(re.search(r"[<>=]", line) for line in roles)


def test_every_setting_is_documented() -> None:
    """docs/configuration.md is what the settings say."""
    from cli.configuration import markdown  # noqa: PLC0415

    published = (ROOT / "docs" / "configuration.md").read_text()
    assert published == markdown(), "run: python -m cli.configuration > docs/configuration.md"


def test_links_in_the_documentation_lead_somewhere() -> None:
    """Every relative link names a file that is there."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} → {target}"


def test_nothing_names_a_package_registrys_host() -> None:
    """Packages are named by name: where they come from is the machine's business."""
    hosts = re.compile(r"registry\.npmjs|pypi\.org|pythonhosted|deb\.debian|registry\.yarnpkg")
    text_files = {".py", ".md", ".toml", ".txt", ".json", ".js", ".yml", ".yaml", ".html", ".sh", ""}
    for path in ROOT.rglob("*"):
        if {".venv", ".git", "node_modules", "data", "__pycache__", ".bench"} & set(path.relative_to(ROOT).parts):
            continue
        if path.is_file() and path.suffix in text_files and path != Path(__file__):
            assert not hosts.search(path.read_text(errors="ignore")), path
