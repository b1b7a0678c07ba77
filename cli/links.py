"""One-time links: where the first run's stands, and how a token becomes an address of the dashboard."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from cli.asking import as_others_reach_it
from mesh.credentials import SETUP_LINK

DASHBOARD_PORT = 8080


def first_run_token(data: Path) -> str | None:
    """The token of the first run's link, as long as nobody can sign in and this user may read it."""
    try:
        return (data / SETUP_LINK).read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def setup_link(dashboard: str, token: str) -> str:
    """The address that a browser opens. The token is a fragment: no server, log or referrer sees it."""
    return f"{dashboard.rstrip('/')}/setup#{token}"


def dashboard_of(given: str, registry: str) -> str:
    """Where people open the dashboard: as `given`, else beside the registry at its usual port."""
    if given:
        return given.rstrip("/")
    host = urlsplit(registry).hostname or "127.0.0.1"
    beside = f"http://{f'[{host}]' if ':' in host else host}:{DASHBOARD_PORT}"
    return as_others_reach_it(beside) or beside
