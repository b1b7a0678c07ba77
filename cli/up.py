"""`./fogline up`: the whole mesh on this machine."""

from __future__ import annotations

import ipaddress
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rich.console import Console

from camera_node.sources import NONE, resolve
from cli.links import first_run_token, setup_link
from cli.prepare import prepare_front_end, prepare_models
from cli.processes import Child, Service, stop_all
from cli.settings import UpSettings
from mesh import tls
from mesh.access import is_loopback
from mesh.client import RegistryClient
from mesh.credentials import of_this_machine
from mesh.errors import FoglineError, SetupProblem
from mesh.identity import address_towards
from mesh.logs import redact
from mesh.manifest import CAMERA_PORT, COMPUTE_PORT
from mesh.server import free_port, require_port

NODES_STOP = 3.0  # seconds for nodes and dashboard to end
REGISTRY_STOP = 1.5  # seconds for the registry, which stops last so that the others can say goodbye
SLOW_START = 60.0  # seconds after which a start that is not complete is reported as such
DEMO = "demo:"


def run(settings: UpSettings) -> None:
    """Start everything, say where it is, and stop everything on Ctrl-C or SIGTERM."""
    console = Console(stderr=True, highlight=False)
    require_port(settings.host, settings.port, "--port")
    require_port(settings.host, settings.registry_port, "--registry-port")
    sources = settings.camera or (DEMO,)
    check_sources(sources, settings.host_cameras)
    logs = settings.data / "logs"
    _make_folder(logs)
    prepare_front_end(console)
    prepare_models(settings.data, console, demo=DEMO in sources)

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):

        def stop(_signum: int, _frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(number, stop)

    def tell(name: str, level: str, text: str) -> None:
        style = "red" if level in ("error", "critical") else "yellow"
        console.print(f"[{style}]{name}[/]: ", end="")
        console.print(redact(text), markup=False)

    raw = settings.log == "json"
    services = plan(settings, sources)
    registry = [Child(services[0], logs, tell, raw=raw)]
    others = [Child(service, logs, tell, raw=raw) for service in services[1:]]
    try:
        _report(settings, console, stopping, cameras=len(sources))
        stopping.wait()
    finally:
        console.print("\nStopping …")
        stop_all(others, NODES_STOP)
        stop_all(registry, REGISTRY_STOP)


def check_sources(sources: tuple[str, ...], host_cameras: int) -> None:
    """Refuse at the start what a camera node would refuse. Raises SetupProblem or NotFound."""
    for number, source in enumerate(sources):
        if resolve(source).kind == NONE and (number > 0 or not host_cameras):
            raise SetupProblem(
                "--camera none (FOGLINE_CAMERA) only runs added cameras: name it first, with --host-cameras above 0"
            )


def _make_folder(folder: Path) -> None:
    """Refuse at the start a data folder that cannot be written, for every service would fail in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SetupProblem(
            f"{folder} cannot be written ({error.strerror}); choose another folder with --data (FOGLINE_DATA)"
        ) from None


def plan(settings: UpSettings, sources: tuple[str, ...]) -> list[Service]:
    """The services to start, the registry first."""
    host, reach = settings.host, _reach(settings.host)
    scheme = _scheme(settings)
    registry = f"{scheme}://{_bracket(_local(host))}:{settings.registry_port}"
    more = (*(("--tls",) if settings.tls else ()), *(("--site", settings.site) if settings.site else ()))
    common = ("--host", host, "--access", settings.access, "--data", str(settings.data), "--log", "json", *more)
    legacy = ("--legacy-open",) if settings.legacy_open else ()
    authority = ("--ca", settings.ca, "--ca-key", settings.ca_key) if settings.ca else ()
    proxies = ("--trusted-proxies", str(settings.trusted_proxies))
    services = [
        Service(
            "registry",
            "registry",
            (*common, "--port", str(settings.registry_port), *legacy, *authority),
            {"FOGLINE_REDIS": settings.redis} if settings.redis else {},
        ),
        Service(
            "ui",
            "dashboard",
            (*common, "--port", str(settings.port), "--registry", registry, *proxies),
        ),
    ]
    # Ports are chosen here, one after another: two nodes that start at once would both find the same one free.
    taken = CAMERA_PORT
    for number, source in enumerate(sources, 1):
        port = free_port(host, taken)
        taken = port + 1
        offer = ("--host-cameras", str(settings.host_cameras)) if number == 1 else ()
        services.append(
            Service(
                "camera",
                "camera" if len(sources) == 1 else f"camera-{number}",
                (*common, "--port", str(port), "--registry", registry, *_advertise(scheme, reach, port), *offer),
                {"FOGLINE_SOURCE": source},
            )
        )
    taken = max(COMPUTE_PORT, taken)
    for number in range(1, settings.compute + 1):
        port = free_port(host, taken)
        while port in (settings.port, settings.registry_port):
            port = free_port(host, port + 1)
        taken = port + 1
        services.append(
            Service(
                "compute",
                "compute" if settings.compute == 1 else f"compute-{number}",
                (*common, "--port", str(port), "--registry", registry, *_advertise(scheme, reach, port)),
            )
        )
    return services


def _report(settings: UpSettings, console: Console, stopping: threading.Event, *, cameras: int) -> None:
    """Wait until everybody has joined, telling how far it is; then say where to look."""
    local = _bracket(_local(settings.host))
    client = RegistryClient(f"{_scheme(settings)}://{local}:{settings.registry_port}", timeout=(0.5, 2.0))
    began = time.monotonic()
    slow_told = False
    with console.status("Starting …") as status:
        while not stopping.is_set():
            try:
                # The registry makes the key, and its authority, while it starts.
                tls.trust_of(settings.data)
                listed = client.showing(of_this_machine(settings.data)).nodes()["nodes"]
                nodes = [node for node in listed if node["state"] in ("ready", "full")]
                # Cameras that were added before a restart come when they come.
                kinds = [node["kind"] for node in nodes if not node.get("hosted_by")]
                have = kinds.count("camera"), kinds.count("compute")
            except FoglineError:
                have = 0, 0
            if (
                have[0] >= cameras
                and have[1] >= settings.compute
                and _answers(f"{_scheme(settings)}://{local}:{settings.port}")
            ):
                break
            words = f"{have[0]} of {cameras} cameras and {have[1]} of {settings.compute} compute nodes are ready"
            status.update(f"Starting … {words}")
            if time.monotonic() - began > SLOW_START and not slow_told:
                slow_told = True
                console.print(
                    f"[yellow]Not complete yet[/]: {words}. See {settings.data / 'logs'}, or ./fogline doctor."
                )
            stopping.wait(0.1)
    if stopping.is_set():
        return
    console.print(f"[bold green]Fogline is up[/] after {time.monotonic() - began:.1f} s.")
    reach = _reach(settings.host)
    dashboard = f"{_scheme(settings)}://{_bracket(reach) if reach else local}:{settings.port}"
    console.print(f"  Dashboard   [bold]{dashboard}[/]")
    for line in _sign_in(settings, dashboard, terminal=console.is_terminal):
        console.print(line, soft_wrap=True)
    if reach is not None:
        console.print("  Join it     ./fogline token create prints the command for another machine")
    more = "" if _is_open(settings) else " (with a sign-in, or a key of ./fogline key create)"
    console.print(f"  REST        {_scheme(settings)}://{local}:{settings.registry_port}/docs{more}", soft_wrap=True)
    if settings.tls:
        console.print(f"  Certificate browsers trust it when they know {settings.data / tls.OWN_FILE}", soft_wrap=True)
    console.print(f"  Logs        {settings.data / 'logs'}")
    console.print("  Ctrl-C stops everything.")


def _is_open(settings: UpSettings) -> bool:
    """As the services decide it: see mesh.access.is_open."""
    return settings.access == "auto" and is_loopback(settings.host)


def _sign_in(settings: UpSettings, dashboard: str, *, terminal: bool) -> Iterator[str]:
    """How people get in. The first run's link goes to a terminal alone: anything else may be a log."""
    if _is_open(settings):
        yield "  Sign-in     none: only this computer can open it; --host 0.0.0.0 lets the network in, with sign-in"
        return
    token = first_run_token(settings.data)
    if token is None:
        yield "  Sign-in     at the dashboard; ./fogline user add NAME lets somebody else in"
    elif terminal:
        yield "  First run   open this link to make the first admin; it works once:"
        yield f"              [bold]{setup_link(dashboard, token)}[/]"
    else:
        yield f"  First run   ./fogline user link --data {settings.data} prints the link that makes the first admin"
    if settings.legacy_open:
        yield "  [yellow]Original    devices of the original are let in without a key (--legacy-open)[/]"


def _answers(url: str) -> bool:
    import requests  # noqa: PLC0415  # after the console has something to show

    try:
        return requests.get(f"{url}/healthz", timeout=1, verify=tls.verify()).ok
    except requests.RequestException:
        return False


def _local(host: str) -> str:
    """Where services of this machine reach one that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _reach(host: str) -> str | None:
    """The address at which other machines reach one that listens on `host`; None when they cannot."""
    if host in ("0.0.0.0", "::"):
        # The address that packets to elsewhere leave from; 192.0.2.1 is nobody's (RFC 5737), and nothing is sent.
        found = address_towards("192.0.2.1" if host == "0.0.0.0" else "2001:db8::1", 9)
        return None if found.startswith("127.") else found
    try:
        return None if ipaddress.ip_address(host).is_loopback else host
    except ValueError:
        return None if host == "localhost" else host


def _scheme(settings: UpSettings) -> str:
    return "https" if settings.tls else "http"


def _advertise(scheme: str, reach: str | None, port: int) -> tuple[str, ...]:
    return ("--advertise", f"{scheme}://{_bracket(reach)}:{port}") if reach else ()


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
