"""Python packages that only the benchmarks need, in environments of their own: the product never sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.processes import Missing
from bench.session import Bench

# name → pip's arguments, one call each. ultralytics is taken without what it asks for: that would bring OpenCV with a
# window system, and a torchvision that does not load beside a CPU's torch.
PACKAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "plots": (("matplotlib>=3.9,<4",),),
    "ultralytics": (
        ("torch==2.13.0",),
        ("--no-deps", "ultralytics==8.4.190", "ultralytics-thop"),
        ("opencv-python-headless>=4.10,<5", "pyyaml", "requests", "psutil", "pillow", "matplotlib", "scipy"),
        ("polars", "openvino>=2026,<2027", "onnx>=1.19,<2", "onnxslim>=0.1.71"),
    ),
}
LIMIT = 1800.0  # seconds for one call of pip: torch is large


def python_of(name: str, bench: Bench) -> Path:
    """The interpreter of an environment, made on first use. Raises Missing when it cannot be made."""
    folder = bench.cache / name
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists():
        return python
    if bench.quick:
        raise Missing(f"{name} is not installed; a run without --quick installs it")
    bench.say(f"installing {name} into {folder} (once; some minutes)")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        *([str(python), "-m", "pip", "install", "-q", *words] for words in PACKAGES[name]),
    ):
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise Missing(f"{name} could not be installed within {LIMIT:g} s") from None
        if ran.returncode:
            raise Missing(f"{name} could not be installed: {ran.stderr.strip()[-300:]}")
    done.touch()
    return python
