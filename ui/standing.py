"""What everybody may know of the mesh: whether it asks for a sign-in, and whether somebody can sign in yet."""

from __future__ import annotations

import threading
import time

import msgspec

from mesh import codec
from mesh.access_wire import SetupState
from mesh.credentials import Nobody
from mesh.errors import FoglineError
from ui.access import Access

REMEMBERED = 10.0  # seconds for which the registry's word on it is good
TIMEOUT = (0.5, 1.5)  # seconds to connect and to answer: somebody waits for the page
WAIT = 0.4  # seconds that a page waits at most for what was never known


class Standing:
    """Any thread may call any method. access: asks in the dashboard's own name."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.away = ""  # why the registry did not say it last time
        self._lock = threading.Lock()
        self._known: SetupState | None = None
        self._at = float("-inf")
        self._asking: threading.Thread | None = None

    def ask(self) -> SetupState | None:
        """As it is now; the last known, or None, when the registry does not answer: `away` then says why."""
        self._at = time.monotonic()
        quick = self._access.own.showing(Nobody(), TIMEOUT)
        try:
            self._known = codec.decode(quick._send("GET", "/v1/setup", retries=0), SetupState)
            self.away = ""
        except (FoglineError, msgspec.MsgspecError) as error:
            self.away = str(error)
        return self._known

    def outdate(self) -> None:
        """It was changed here."""
        self._at = float("-inf")

    @property
    def legacy_open(self) -> bool:
        """Whether the original's devices are let in without a key. No page waits long for that."""
        if self._access.open:
            return False  # then everybody at this machine is
        with self._lock:
            if self._asking is None and time.monotonic() - self._at > REMEMBERED:
                self._asking = threading.Thread(target=self._ask, name="standing", daemon=True)
                self._asking.start()
            asking = self._asking
        if asking is not None and self._known is None:
            asking.join(WAIT)
        known = self._known
        return known is not None and known.legacy_open

    def _ask(self) -> None:
        self.ask()
        self._asking = None
