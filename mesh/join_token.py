"""Where a service finds the join token with which it joins a locked mesh."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

from mesh.credentials import JOIN_TOKEN

VARIABLE: Final = "FOGLINE_JOIN_TOKEN"


class JoinSettings(Protocol):
    """The part of a service's settings that joining needs."""

    @property
    def data(self) -> Path: ...
    @property
    def registry(self) -> str: ...
    @property
    def join_token(self) -> str: ...
    @property
    def tls(self) -> bool: ...


def token_of(settings: JoinSettings) -> str:
    """The one that was given, else that of a registry with the same data folder; empty when there is none."""
    if settings.join_token:
        return settings.join_token.strip()
    try:
        return (settings.data / JOIN_TOKEN).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def withhold() -> None:
    """Take the join token out of the environment, so that no child process and no crash report has it."""
    os.environ.pop(VARIABLE, None)
