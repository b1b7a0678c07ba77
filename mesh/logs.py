"""Logs: one JSON object a line for machines, or one readable line for people.

`FOGLINE_LOG` chooses: `json`, `text`, or `auto` (text on a terminal, JSON elsewhere). What a library logs through
the standard `logging` comes out the same way.
"""

from __future__ import annotations

import logging
import re
import socket
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog

LOG_FORMATS = ("auto", "json", "text")
_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@:]*(?::[^/\s@]*)?@", re.IGNORECASE)


def redact(text: str) -> str:
    """`text` with the user name and password of every URL in it replaced by `***`."""
    return _CREDENTIALS.sub(r"\g<scheme>***@", text)


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and "@" in value:
            event[key] = redact(value)
    return event


def configure(
    style: str = "auto", *, service: str, node: str | None = None, site: str = "", level: int = logging.INFO
) -> None:
    """Send every log record of this process to standard error, in `style`, marked with `service`, `node` and `site`:
    by these lines from many machines are told apart. node: what people call the node; the host's name when it is None.
    """
    structlog.contextvars.clear_contextvars()
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    marks = {"service": service, "node": node or socket.gethostname(), "site": site}
    if as_text:  # for somebody who looks at one machine
        marks = {name: mark for name, mark in (("service", service), ("node", node), ("site", site)) if mark}

    def mark(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in marks.items():
            event.setdefault(key, value)
        return event

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        mark,
        structlog.processors.TimeStamper(fmt="iso", utc=not as_text),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        _redact_event,
    ]
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if as_text:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # to text before it is redacted
                _redact_event,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    for chatty in ("urllib3", "apscheduler", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """A thread has ended by an exception: Python would write a trace of many lines, which are no records."""
    if failure.exc_type is not SystemExit and failure.exc_value is not None:
        name = failure.thread.name if failure.thread else ""
        logger(__name__).error("a thread has failed", thread=name, exc_info=failure.exc_value)


def logger(name: str) -> Any:
    """A structured logger: `logger(__name__).info("joined the mesh", registry=url)`."""
    return structlog.stdlib.get_logger(name)
