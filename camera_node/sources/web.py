"""A camera at an http:// address: an MJPEG stream, or a still that is fetched again and again.

Which of the two, the answer's Content-Type tells.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth

from camera_node.sources.base import Captured, SourceOptions
from camera_node.sources.pace import Pace
from camera_node.sources.pinned import PinnedAdapter
from camera_node.sources.url import CONNECT_TIMEOUT, Address, take_apart, unreachable
from mesh.errors import SetupProblem, SourceLost
from mesh.multipart import Reader, Skipped, boundary_of
from mesh.networks import Outside
from mesh.picture import MAX_BYTES
from mesh.version import VERSION

STILL_FPS = 5.0  # stills a second: what the little servers in cameras bear
SILENCE = 5.0  # seconds without a whole picture, however slowly its bytes come
_CHUNK = 256 * 1024  # bytes read at once at most
# Services of the mesh that are open to this machine alone answer nobody who comes through somebody else: they take an
# added camera's host for such a proxy, on whatever port they are. Only what a camera of the mesh shows may be read.
_ON_BEHALF = {"Via": "1.1 fogline-camera"}
_SHOWN = ("/image.jpg", "/stream.jpg")


class WebSource:
    """See `Source`."""

    def __init__(self, text: str, options: SourceOptions) -> None:
        self._text = text
        self._options = options
        self._session = requests.Session()
        self._address: Address | None = None
        self._answer: requests.Response | None = None
        self._reader: Reader | None = None
        self._told = Skipped()
        self._waiting: deque[Captured] = deque()
        self._pace = Pace(options.fps or STILL_FPS)

    def open(self) -> None:
        self._address = take_apart(self._text)
        self._session.trust_env = False  # a camera is on the LAN: a proxy for the internet cannot reach it
        self._session.verify = self._options.verify
        self._session.headers.update({"User-Agent": f"fogline/{VERSION}", "Accept-Encoding": "identity"})
        if self._options.networks is not None:
            if not urlsplit(self._address.url).path.endswith(_SHOWN):
                self._session.headers.update(_ON_BEHALF)
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, PinnedAdapter(self._options.networks))
        answer = self._get()
        kind = answer.headers.get("Content-Type", "")
        if kind.lower().startswith("multipart/"):
            self._answer = answer
            self._reader = Reader(boundary_of(kind))
        else:
            self._waiting.append(self._still(answer))

    def read(self) -> Captured:
        if self._reader is not None and self._answer is not None:
            return self._next_part(self._reader, self._answer)
        self._pace.wait()
        return self._waiting.popleft() if self._waiting else self._still(self._get())

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
        self._session.close()

    def _get(self) -> requests.Response:
        answer = self._ask()
        if answer.status_code == 401:
            self._session.auth = self._credentials(answer)
            answer.close()
            answer = self._ask()
            if answer.status_code == 401:
                answer.close()
                raise SourceLost(f"{self._host} does not accept the user name and password")
        if answer.is_redirect:
            answer.close()
            # It could lead anywhere, and would be given the password there.
            raise SourceLost(f"{self._host} passes the request on, which is not followed: give the address it leads to")
        if answer.status_code != 200:
            answer.close()
            raise SourceLost(
                f"{self._host} answered {answer.status_code} {answer.reason}: is the address's path right?"
            )
        return answer

    def _ask(self) -> requests.Response:
        assert self._address is not None
        for last in (False, True):
            try:
                return self._session.get(
                    self._address.url, stream=True, timeout=(CONNECT_TIMEOUT, SILENCE), allow_redirects=False
                )
            except Outside as outside:
                raise SourceLost(f"the address of {self._address.host} {outside.detail}") from None
            except requests.RequestException as error:
                # A camera may close a kept connection just as it is used again: that says nothing about the camera.
                if last or not isinstance(_root(error), ConnectionResetError):
                    raise SourceLost(self._words(error)) from None
        raise AssertionError("unreachable")

    def _credentials(self, answer: requests.Response) -> AuthBase:
        """What the camera asks for. Nothing is sent before it asks: a password must not travel open if it need not."""
        assert self._address is not None
        user, password = self._address.user, self._address.password
        if user is None or password is None:
            raise SourceLost(
                f"{self._host} asks for a user name and a password: write http://USER:PASSWORD@{self._host}/…"
            )
        if "digest" in answer.headers.get("WWW-Authenticate", "").lower():
            return HTTPDigestAuth(user, password)
        return HTTPBasicAuth(user, password)

    def _next_part(self, reader: Reader, answer: requests.Response) -> Captured:
        deadline = time.monotonic() + SILENCE
        while not self._waiting:
            data = self._bytes(answer)
            if not data:
                raise SourceLost(f"{self._host} has ended the stream")
            now = time.time()
            self._waiting.extend(Captured(now, data=part.body) for part in reader.feed(data))
            self._tell(reader.skipped)
            if not self._waiting and time.monotonic() > deadline:
                raise SourceLost(f"{self._host} sends no whole picture: none for {SILENCE:g} seconds")
        return self._waiting.popleft()

    def _still(self, answer: requests.Response) -> Captured:
        with answer:
            kind = answer.headers.get("Content-Type", "nothing").partition(";")[0].strip().lower()
            if not kind.startswith("image/"):
                raise SourceLost(
                    f"{self._host} sends {kind[:60]} instead of a picture: give the address of its MJPEG stream or of"
                    " its still picture"
                )
            deadline = time.monotonic() + SILENCE
            body = bytearray()
            while data := self._bytes(answer):
                body += data
                if len(body) > MAX_BYTES:
                    break  # the check of its size will refuse it, and count it
                if time.monotonic() > deadline:
                    raise SourceLost(f"{self._host} takes more than {SILENCE:g} seconds to send a picture")
            return Captured(time.time(), data=bytes(body))

    def _bytes(self, answer: requests.Response) -> bytes:
        try:
            data: bytes = answer.raw.read1(_CHUNK)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceLost(self._words(error)) from None
        return data

    def _tell(self, skipped: Skipped) -> None:
        """Count what the reader passed over since the last time."""
        for name in ("empty", "too_large", "bad_headers"):
            if (more := getattr(skipped, name) - getattr(self._told, name)) > 0:
                self._options.refused(name, more)
                setattr(self._told, name, getattr(skipped, name))
        if skipped.garbage_bytes > self._told.garbage_bytes:
            self._options.refused("garbage", 1)
            self._told.garbage_bytes = skipped.garbage_bytes

    @property
    def _host(self) -> str:
        assert self._address is not None
        return self._address.host + (f":{self._address.port}" if self._address.port else "")

    def _words(self, error: Any) -> str:
        """What went wrong; never the error's own text, which holds the address with its secrets."""
        assert self._address is not None
        port = self._address.port or (443 if urlsplit(self._address.url).scheme == "https" else 80)
        if isinstance(error, requests.exceptions.SSLError):
            return (
                f"{self._host} has a certificate that cannot be checked; if it signed its own, let it go unchecked:"
                " --no-verify (FOGLINE_VERIFY=no), or verify: false of an added camera"
            )
        if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
            raise SetupProblem(f"the source is no address that can be fetched: {self._host}")
        if isinstance(error, (requests.ConnectTimeout, requests.ReadTimeout, urllib3.exceptions.TimeoutError)):
            return unreachable(self._address.host, port, TimeoutError())
        return unreachable(self._address.host, port, _root(error))


def _root(error: BaseException) -> BaseException:
    """The system's own error inside the wrappers of requests and urllib3, where there is one."""
    todo: list[Any] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and not isinstance(one, requests.RequestException):
            return one
        todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return error
