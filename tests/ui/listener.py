"""A browser's ear without the browser: what the dashboard tells over `/api/events`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import requests

from tests.processes import wait_for


class Listener:
    """Hears everything from its beginning to the end of its context. events: kinds with their documents."""

    def __init__(self, url: str) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._answer = requests.get(f"{url}/api/events", stream=True, timeout=20)
        assert self._answer.status_code == 200, self._answer.text
        assert self._answer.headers["Content-Type"].startswith("text/event-stream")
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._answer.raw.shutdown()
        self._thread.join(5)
        self._answer.close()

    @property
    def listens(self) -> bool:
        """Whether the stream goes on."""
        return self._thread.is_alive()

    def wait(
        self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True, seconds: float = 5
    ) -> dict[str, Any]:
        """The first document of this kind that fits."""

        def look() -> dict[str, Any] | None:
            return next((document for one, document in tuple(self.events) if one == kind and fits(document)), None)

        return wait_for(look, seconds, f"{kind} among {[one for one, _ in self.events][-20:]}")

    def _hear(self) -> None:
        kind = ""
        try:
            for line in self._answer.iter_lines(chunk_size=65536):
                if line.startswith(b"event: "):
                    kind = line[7:].decode()
                elif line.startswith(b"data: "):
                    self.events.append((kind, json.loads(line[6:])))
        except (requests.RequestException, OSError, ValueError, AttributeError):
            return  # the connection was closed, by them or by us
