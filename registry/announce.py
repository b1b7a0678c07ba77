"""Telling the network by mDNS where the registry is, so that nodes find it by themselves."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.discovery import ROLE, SERVICE, open_multicast, own_addresses
from mesh.errors import RegistryAway, Unavailable
from mesh.identity import address_towards
from mesh.logs import logger
from mesh.version import VERSION
from registry.settings import RegistrySettings

if TYPE_CHECKING:
    from zeroconf import Zeroconf

LOOK_SECONDS = 10.0  # between two looks whether the machine's addresses are still the same
STOP_SECONDS = 1.5  # for the farewell, which is sent three times within 0.4 s
FAR_AWAY = "192.0.2.1"  # of RFC 5737's documentation block: packets there would leave by the default route
log = logger(__name__)


class Announcer:
    """Announces one registry from a thread of its own. `start` and `stop` are called once, by the serving process.

    Several processes of one registry announce the same, which mDNS allows. Whatever fails is logged once and tried
    again: nothing else depends on it.
    """

    def __init__(self, settings: RegistrySettings, secret: Callable[[], bytes]) -> None:
        """secret: the store's, see registry.store.Store; it tells one mesh from another."""
        self._settings = settings
        self._secret = secret
        self._mesh = ""
        self._told: tuple[list[str], str] | None = None
        self._spoken: Zeroconf | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announce", daemon=True)

    def start(self) -> None:
        if self._settings.announce == "off":
            return
        if _only_here(self._settings.host):
            log.debug("not announced: it listens on this machine only", host=self._settings.host)
            return
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye on the network, where there was something to say."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        problem = ""
        while not self._stopping.is_set():
            try:
                self._look()
                problem = ""
            except Exception as error:  # noqa: BLE001  a library and the network: neither may hinder the registry
                words = error.detail if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
                if words != problem:
                    log.warning("the registry cannot be announced; nodes need --registry", reason=words)
                problem = words
            self._stopping.wait(LOOK_SECONDS)
        _withdraw(self._spoken)

    def _look(self) -> None:
        """Announce it, or anew, if that is not what was told last."""
        facts = (addresses_of(self._settings.host), self._mesh_now())
        if facts == self._told:
            return
        former, self._spoken, self._told = self._spoken, None, None
        _withdraw(former)
        if facts[0]:
            self._spoken = self._announce(*facts)
        self._told = facts

    def _mesh_now(self) -> str:
        """What only registries on the same Redis announce. Kept while Redis is away; empty while it was never there."""
        # Without Redis the registry is still one that nodes should know: they wait for it.
        with contextlib.suppress(RegistryAway):
            self._mesh = hmac.digest(self._secret(), b"announced mesh", "sha256")[:8].hex()
        return self._mesh

    def _announce(self, addresses: list[str], mesh: str) -> Zeroconf:
        from zeroconf import ServiceInfo  # noqa: PLC0415  a tenth of a second that the start need not wait for

        port = self._settings.port
        host = socket.gethostname().partition(".")[0][:30] or "registry"
        first = address_towards(FAR_AWAY, 9)
        # Many hosts share a name such as `raspberrypi`: the address keeps their announcements apart.
        mark = (first if first in addresses else addresses[0]).replace(".", "-")
        spoken = open_multicast(addresses)
        try:
            spoken.register_service(
                ServiceInfo(
                    SERVICE,
                    f"{host} {mark} {port}.{SERVICE}",
                    port=port,
                    properties={"role": ROLE, "version": VERSION, "path": "/", "mesh": mesh},
                    # Not the host's own name: that one may be announced already, with other addresses.
                    server=f"fogline-{mark}-{port}.local.",
                    parsed_addresses=addresses,
                ),
                cooperating_responders=True,
            )
        except BaseException:
            spoken.close()
            raise
        log.info("announced on the network", service=SERVICE, addresses=", ".join(addresses), port=port)
        return spoken


def addresses_of(host: str) -> list[str]:
    """The IPv4 addresses at which a service that listens on `host` can be reached from a network."""
    present = own_addresses()
    try:
        listens = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return []
    if listens & {"0.0.0.0", "::"}:
        return present
    return [address for address in present if address in listens]


def _only_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _withdraw(spoken: Zeroconf | None) -> None:
    if spoken is None:
        return
    try:
        spoken.unregister_all_services()
    finally:
        spoken.close()
