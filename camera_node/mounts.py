"""Several cameras behind one port: the node's own at the root, added ones under `/cameras/{camera_id}`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from mesh.errors import NotFound
from mesh.service import problem_reply

PREFIX: Final = "/cameras/"
App = Callable[..., Iterable[bytes]]


class Mounts:
    """A WSGI application that passes each request on, with the path that leads to a camera taken off.

    The answer's body is passed on as it is, so that streams can still be handed to the fan-out. Any thread may call
    any method.
    """

    def __init__(self, own: App) -> None:
        self._own = own
        self._others: dict[str, App] = {}

    def put(self, camera_id: str, application: App) -> None:
        """Have that camera answered by `application` from now on."""
        self._others[camera_id] = application

    def remove(self, camera_id: str) -> None:
        """Have nothing answer for that camera any more."""
        self._others.pop(camera_id, None)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        camera_id, slash, rest = path.removeprefix(PREFIX).partition("/")
        if not path.startswith(PREFIX) or not camera_id:
            return self._own(environ, start_response)
        application = self._others.get(camera_id)
        if application is None:
            return self._unknown(camera_id, start_response)
        if not slash:  # the page's links are relative to the camera's own root
            start_response("308 Permanent Redirect", [("Location", f"{camera_id}/"), ("Content-Length", "0")])
            return []
        environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}{PREFIX}{camera_id}"
        environ["PATH_INFO"] = f"/{rest}"
        return application(environ, start_response)

    def _unknown(self, camera_id: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
        error = NotFound.among("camera", camera_id[:100], list(self._others))
        body, status, headers = problem_reply(error)
        data = body.encode() if isinstance(body, str) else body
        pairs = [*headers.items(), ("X-Content-Type-Options", "nosniff"), ("Content-Length", str(len(data)))]
        start_response(f"{status} {error.title}", pairs)
        return [data]
