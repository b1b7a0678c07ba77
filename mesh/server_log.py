"""gunicorn's own words, among this process's log records instead of in a format of its own."""

from __future__ import annotations

from typing import Any

from gunicorn import glogging


class ServerLog(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn takes for its log."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
