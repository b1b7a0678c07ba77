"""Every error that Fogline raises on purpose.

    FoglineError                    something that a person can act on; carries an HTTP status
    ├── InvalidInput           422  a field has the wrong type or value; `field` says which
    │   └── MalformedBody      400  the body cannot be read at all
    ├── Unauthorized           401  nobody, or nobody who can be believed, asks; `reason` says which in a word
    ├── Forbidden              403  who asks is known, and may not do this
    ├── NotFound               404  no such camera, algorithm, node, session, model; `known` lists those there are
    │   └── RegisterAgain      404  the registry does not know this node: send the manifest again
    ├── Conflict               409  the request is older than what is in force (a stale token, a voided boot)
    ├── TooLarge               413  over a named limit
    ├── UnsupportedMedia       415  not an image that Fogline reads
    ├── TooMany                429  more in a short time, or at once, than one client may; `limit` names the bound
    ├── Unavailable            503  cannot be done now; worth trying again
    │   ├── NoCapacity         503  every node that could do it is full
    │   ├── RegistryAway       503  the registry or its Redis does not answer
    │   └── SourceLost         503  a camera's source gives no frames
    ├── ModelRefused           422  a model file that Fogline cannot run, with what was seen
    └── SetupProblem           500  this machine lacks something; the text names the remedy

`retryable` says whether the same call may succeed later without a change by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mesh.source import shown

KNOWN_LISTED = 20  # names listed in an error: enough to find a typo, short enough to read


class FoglineError(Exception):
    """An error with words for the person who has to act on it.

    `detail` says what happened and what to do. Further keyword arguments become members of the problem document.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members: Mapping[str, Any] = {k: v for k, v in members.items() if v is not None}

    @property
    def retry_after(self) -> int | None:
        """Seconds after which to try again, where that is known."""
        value = self.members.get("retry_after")
        return int(value) if value is not None else None


class InvalidInput(FoglineError):
    status = 422
    title = "Invalid input"

    def __init__(self, detail: str, *, field: str | None = None, **members: Any) -> None:
        super().__init__(detail, field=field, **members)


class MalformedBody(InvalidInput):
    status = 400
    title = "Malformed body"


class Unauthorized(FoglineError):
    status = 401
    title = "Sign-in needed"


class Forbidden(FoglineError):
    status = 403
    title = "Not allowed"


class NotFound(FoglineError):
    status = 404
    title = "Not found"

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str]) -> NotFound:
        """An error for the unknown `what` called `name`, which lists the `known` ones. A password in an address that
        somebody gave as a name is not repeated."""
        name = shown(name).text if "://" in name else name
        names = sorted(set(known))
        listed = ", ".join(names[:KNOWN_LISTED]) or "none"
        more = f" and {len(names) - KNOWN_LISTED} more" if len(names) > KNOWN_LISTED else ""
        return cls(f"unknown {what} {name!r}; known: {listed}{more}", known=names[:KNOWN_LISTED])


class RegisterAgain(NotFound):
    title = "Register again"


class Conflict(FoglineError):
    status = 409
    title = "Conflict"


class TooLarge(FoglineError):
    status = 413
    title = "Too large"


class UnsupportedMedia(FoglineError):
    status = 415
    title = "Unsupported media type"


class TooMany(FoglineError):
    status = 429
    title = "Too many requests"
    retryable = True


class Unavailable(FoglineError):
    status = 503
    title = "Unavailable"
    retryable = True


class NoCapacity(Unavailable):
    title = "No free slot"


class RegistryAway(Unavailable):
    title = "Registry unreachable"


class SourceLost(Unavailable):
    title = "No signal"


class ModelRefused(FoglineError):
    status = 422
    title = "Model refused"


class SetupProblem(FoglineError):
    title = "Set-up problem"
