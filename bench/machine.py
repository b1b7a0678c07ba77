"""On what it was measured: a figure means nothing without its machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from mesh.machine import this_machine
from mesh.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "opencv-python-headless", "simplejpeg", "openvino", "onnxruntime", "gunicorn", "flask")


def machine() -> dict[str, Any]:
    """CPU, cores, memory, system and versions."""
    return {
        "cpu": this_machine().cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "fogline": VERSION,
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def machine_line(found: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {found['packages'][name]}" for name in ("openvino", "onnxruntime"))
    return (
        f"{found['cores']} cores of {found['cpu']}, {found['memory_gb']:g} GB, {found['system']}, "
        f"Python {found['python']}, {versions}, Fogline {found['fogline']} at {found['commit']}"
    )


def load() -> float:
    """How busy the machine is by itself, in cores, over half a second."""
    return psutil.cpu_percent(0.5) / 100 * (os.cpu_count() or 1)


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown" if "rev-parse" in arguments else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
