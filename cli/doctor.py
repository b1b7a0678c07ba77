"""`./fogline doctor`: what could keep this machine or its mesh from working, each with its remedy."""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import click
import requests
from rich.console import Console
from rich.text import Text

from cli import asking, doors
from cli.finding import Finding
from cli.models import DEFAULTS, missing_defaults
from cli.settings import DoctorSettings
from cli.status_view import clock_off
from mesh.client import RegistryClient
from mesh.discovery import SETTLE_SECONDS, browse, ranked
from mesh.errors import FoglineError, Unauthorized, Unavailable
from mesh.manifest import CAMERA_PORT, COMPUTE_PORT
from mesh.proof import PROOF_SECONDS
from mesh.server import port_is_free

REGISTRY_PORT = 5050
SEARCH_SECONDS = 3.0  # of the network for a registry, where none answers
DISK_NEEDED = 1.0  # gigabytes: models, logs, and the registry's log of changes
CLOCK_TOLERANCE = 2.0  # seconds: the Date header has whole seconds, and latencies are shown in milliseconds
SIGNS = {"ok": ("✔", "green"), "note": ("•", "cyan"), "bad": ("✘", "red")}


def run(settings: DoctorSettings) -> None:
    """Print every finding; exit with 1 when one is bad."""
    findings = [finding for check in CHECKS for finding in check(settings)]
    if settings.json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        console = Console(highlight=False)
        for finding in findings:
            sign, colour = SIGNS[finding.verdict]
            line = Text(f"{sign} {finding.subject:<10} ", style=colour).append(finding.text, style="default")
            console.print(line)
            if finding.remedy:
                console.print(Text(f"             → {finding.remedy}", style="bold"))
    if any(finding.verdict == "bad" for finding in findings):
        sys.exit(1)


def _machine(_settings: DoctorSettings) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        flags = ""
    if platform.machine() in ("x86_64", "AMD64") and flags:
        if " avx2" not in flags:
            yield Finding(
                "cpu",
                "note",
                "no AVX2: inference is several times slower here",
                "use this machine for cameras or the registry, and another one for compute",
            )
        else:
            yield Finding("cpu", "ok", "AVX2" + (", VNNI (fast INT8)" if "vnni" in flags else ""))


def _data(settings: DoctorSettings) -> Iterator[Finding]:
    folder = settings.data if settings.data.exists() else settings.data.parent
    if not os.access(folder, os.W_OK):
        yield Finding(
            "data", "bad", f"{settings.data} cannot be written", "choose another folder with --data (FOGLINE_DATA)"
        )
        return
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_NEEDED:
        yield Finding("data", "bad", f"{free:.1f} GB free in {folder}", f"free at least {DISK_NEEDED:.0f} GB")
    else:
        yield Finding("data", "ok", f"{settings.data}: {free:.0f} GB free")


def _models(settings: DoctorSettings) -> Iterator[Finding]:
    for name in missing_defaults(settings.data):
        yield Finding("models", "bad", f"{name} is not installed", f"./fogline models pull {name}")
    for name in set(DEFAULTS).difference(missing_defaults(settings.data)):
        yield Finding("models", "ok", f"{name} is installed")


def _engines(_settings: DoctorSettings) -> Iterator[Finding]:
    try:
        from compute_node.engines import found, missing  # noqa: PLC0415  it loads the engines, which takes a second
    except ImportError:
        yield Finding(
            "engines", "note", "not installed: this machine is no compute node", "pip install fogline[compute]"
        )
        return
    devices = [device for device in found() if device.problem is None]
    for device in devices:
        yield Finding("engines", "ok", f"{device.name}: {device.title}")
    if not devices:
        yield Finding("engines", "bad", "no inference engine works here", "pip install openvino")
    for name, reason in missing().items():
        yield Finding("engines", "note", f"{name}: {reason}")


def _devices(_settings: DoctorSettings) -> Iterator[Finding]:
    devices = sorted(Path("/dev").glob("video*"))
    if not devices:
        yield Finding("cameras", "note", "no camera is plugged into this machine (network cameras need none)")
    for device in devices:
        if os.access(device, os.R_OK | os.W_OK):
            yield Finding("cameras", "ok", f"{device} can be opened")
        else:
            yield Finding(
                "cameras",
                "bad",
                f"{device} may not be opened by this user",
                "sudo usermod -aG video $USER, then sign in again",
            )


def _ports(_settings: DoctorSettings) -> Iterator[Finding]:
    uses = {8080: "dashboard", REGISTRY_PORT: "registry", CAMERA_PORT: "camera", COMPUTE_PORT: "compute"}
    for port, use in uses.items():
        if port_is_free("127.0.0.1", port):
            yield Finding("ports", "ok", f"{port} ({use}) is free")
        elif _is_fogline(port):
            yield Finding("ports", "ok", f"{port} ({use}) is Fogline's")
        else:
            remedy = {8080: "use --port", REGISTRY_PORT: "use --registry-port"}.get(
                port, "nothing: the next free port is taken"
            )
            yield Finding("ports", "note", f"{port} ({use}) is taken by another program", remedy)


def _registry(settings: DoctorSettings) -> Iterator[Finding]:
    """Which registry a node on this machine would join, and how it comes to know it."""
    try:
        where, network = _where(settings.registry), "none answers on this network"
    except Unavailable as problem:
        where, network = None, problem.detail
    if where is None:
        yield Finding(
            "registry",
            "bad",
            f"none is named, none runs on this machine, and {network}",
            "start one with ./fogline up, on another machine with --host 0.0.0.0; or name it with --registry"
            " (FOGLINE_REGISTRY): it is not found through a router, a VPN or out of a container",
        )
        return
    yield Finding("registry", "ok", f"{where.url}: {where.how}")
    if where.others:
        yield Finding(
            "registry",
            "note",
            f"another mesh announces itself, too: {', '.join(where.others)}",
            "name the registry that is meant with --registry (FOGLINE_REGISTRY) on every node",
        )


def _secrets(settings: DoctorSettings) -> Iterator[Finding]:
    yield from doors.secrets(settings.data)


def _access(settings: DoctorSettings) -> Iterator[Finding]:
    try:
        where = _where(settings.registry)
    except Unavailable:
        return  # _registry says so
    if where is not None:
        yield from doors.access(RegistryClient(where.url), settings.data)


def _mesh(settings: DoctorSettings) -> Iterator[Finding]:
    try:
        where = _where(settings.registry)
    except Unavailable:
        return  # _registry has said so
    if where is None:
        return
    try:
        shown = asking.credentials(settings, where.url)
        nodes = RegistryClient(where.url, credentials=shown).nodes(state="any")["nodes"]
    except Unauthorized:
        yield Finding(
            "registry",
            "note",
            "it answers, but tells its nodes only to whom it knows",
            "run this on its machine with its --data, or give an API key by FOGLINE_API_KEY",
        )
        yield from _clock(where.url.partition(",")[0])
        return
    except FoglineError as error:
        yield Finding("registry", "bad", error.detail, "start it, or name another one with --registry")
        return
    yield Finding("registry", "ok", f"it answers and knows {len(nodes)} nodes")
    yield from _clock(where.url.partition(",")[0])
    for node in nodes:
        reason = node.get("state_reason") or ""
        if wrong := clock_off(node):
            yield Finding("clock", "bad", f"{node['name']}: {wrong}", "set up NTP there: ages and charts are wrong")
        if node["state"] == "unreachable":
            yield Finding(
                "reach",
                "bad",
                f"{node['name']}: {reason}",
                "set FOGLINE_ADVERTISE on it to an address that the registry reaches, and open its firewall",
            )
        elif node["state"] == "dead":
            yield Finding(
                "nodes", "note", f"{node['name']} is gone: {reason}", "start it again, or wait: it leaves the list"
            )
        elif reason:
            yield Finding("nodes", "note", f"{node['name']} is {node['state']}: {reason}")


def _clock(registry: str) -> Iterator[Finding]:
    before = time.time()
    try:
        answer = requests.get(f"{registry}/healthz", timeout=3)
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError):
        return
    skew = theirs + 0.5 - (before + time.time()) / 2
    if abs(skew) > CLOCK_TOLERANCE:
        refused = ", and a locked mesh may refuse this machine's nodes" if abs(skew) > PROOF_SECONDS else ""
        yield Finding("clock", "bad", f"{skew:+.0f} s from the registry's: latencies are wrong{refused}", "turn on NTP")
    else:
        yield Finding("clock", "ok", "agrees with the registry's")


@dataclass(frozen=True)
class _Where:
    """The registry that nodes of this machine would use. url: several, with commas, of one mesh's replicas. others:
    registries of other meshes."""

    url: str
    how: str
    others: tuple[str, ...] = ()


@functools.cache
def _where(given: str) -> _Where | None:
    """In the order in which nodes look: named, on this machine, on the network. Two checks ask for it: it is looked for
    once. Raises Unavailable when the network cannot be searched."""
    if given:
        return _Where(given, "named by --registry (FOGLINE_REGISTRY)")
    if _is_fogline(REGISTRY_PORT):
        return _Where(f"http://127.0.0.1:{REGISTRY_PORT}", "found on this machine, as none is named")
    found = browse(SEARCH_SECONDS, settle=SETTLE_SECONDS)
    if not found:
        return None
    best = ranked(found)
    others = tuple(one.name for one in found if not one.together(best[0]))
    urls = ",".join(url for one in best for url in one.urls)
    return _Where(urls, "found on this network by mDNS, as none is named", others)


def _is_fogline(port: int) -> bool:
    try:
        return "version" in requests.get(f"http://127.0.0.1:{port}/healthz", timeout=1).json()
    except (requests.RequestException, ValueError):
        return False


CHECKS: tuple[Callable[[DoctorSettings], Iterator[Finding]], ...] = (
    _machine,
    _data,
    _models,
    _engines,
    _devices,
    _ports,
    _secrets,
    _access,
    _registry,
    _mesh,
)
