"""What went wrong with a call to the registry, as the error that says so."""

from __future__ import annotations

import requests

from mesh import codec
from mesh.errors import (
    Conflict,
    FoglineError,
    Forbidden,
    InvalidInput,
    MalformedBody,
    NoCapacity,
    NotFound,
    RegisterAgain,
    RegistryAway,
    SourceLost,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
)

REFUSED = "connection refused"
LOST = "connection lost"
_BY_TITLE: dict[str, type[FoglineError]] = {
    kind.title: kind
    for kind in (
        InvalidInput,
        MalformedBody,
        NotFound,
        RegisterAgain,
        Unauthorized,
        Forbidden,
        TooMany,
        Conflict,
        TooLarge,
        NoCapacity,
        RegistryAway,
        SourceLost,
    )
}
_BY_STATUS: dict[int, type[FoglineError]] = {
    400: MalformedBody,
    401: Unauthorized,
    403: Forbidden,
    429: TooMany,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: InvalidInput,
    503: Unavailable,
}


def nobody(failures: list[RegistryAway]) -> RegistryAway:
    """What all addresses together have to say: the only one's failure, or a summary."""
    if len(failures) == 1:
        return failures[0]
    refused = all(f.members.get("refused") for f in failures)
    nobody = all(f.members.get("refused") or f.members.get("live") for f in failures)
    return RegistryAway(
        "no registry answers: " + "; ".join(f.detail for f in failures),
        refused=refused or None,
        live=(nobody and not refused) or None,
        retry_after=next((f.retry_after for f in failures if f.retry_after), None),
    )


def clock_of(answer: requests.Response) -> float | None:
    """The registry's clock, where nothing but this one was wrong with the request."""
    if answer.status_code != 401:
        return None
    try:
        document = codec.parse_object(answer.content)
    except FoglineError:
        return None
    now = document.get("now")
    return float(now) if document.get("reason") == "clock" and isinstance(now, int | float) else None


def problem(answer: requests.Response, url: str) -> FoglineError:
    try:
        document = codec.parse_object(answer.content)
    except FoglineError:
        document = {}
    kind = _BY_TITLE.get(str(document.get("title"))) or _BY_STATUS.get(answer.status_code)
    detail = str(document.get("detail") or f"{url} answered {answer.status_code}")
    if kind is None:
        kind = RegistryAway if answer.status_code >= 500 else FoglineError
    known, spread = document.get("known"), document.get("spread_seconds")
    return kind(
        detail,
        field=document.get("field"),
        reason=document.get("reason"),
        known=known if isinstance(known, list) else None,
        spread_seconds=spread if isinstance(spread, int | float) else None,
        live=True if document.get("title") == RegistryAway.title and answer.status_code == 503 else None,
        retry_after=answer.headers.get("Retry-After") if str(answer.headers.get("Retry-After")).isdigit() else None,
    )


def reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return "no answer to the connection: is the address right, is a firewall between?"
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(error, requests.ConnectionError):
        text = str(error).lower()
        for sign, words in (
            ("refused", f"{REFUSED}: is it running?"),
            ("name or service", "unknown host name"),
            ("name resolution", "unknown host name"),
            ("unreachable", "network unreachable"),
        ):
            if sign in text:
                return words
        return LOST
    return type(error).__name__
