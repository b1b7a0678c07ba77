"""Cameras that pass a request on to where only this machine can go."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from camera_node.sources import SourceOptions
from camera_node.sources.relay import Answers
from camera_node.sources.relay import Refused as Cut
from camera_node.sources.rtsp import RtspSource
from camera_node.sources.web import WebSource
from mesh.errors import SourceLost
from mesh.networks import Networks
from tests.attacks.secret import Secret
from tests.camera_node.web_server import Request, WebCamera

HERE = Networks(loopback=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("networks", [HERE, None], ids=["added", "own"])
def test_a_camera_by_http_leads_nowhere_else(status: int, networks: Networks | None) -> None:
    """Watches camera_node.sources.web: no redirect is followed, of an added camera nor of the operator's own."""
    with Secret() as secret:

        def behave(request: Request) -> None:
            request.answer("text/plain", b"", status, Location=f"http://127.0.0.1:{secret.port}/")

        with WebCamera(behave) as camera:
            source = WebSource(f"http://op:secret@{camera.host}/", SourceOptions(networks=networks))
            with contextlib.closing(source), pytest.raises(SourceLost, match="passes the request on"):
                source.open()
        assert secret.visits == 0


def test_a_camera_by_rtsp_leads_nowhere_else() -> None:
    """Watches camera_node.sources.relay: FFmpeg would follow, and never sees it."""
    with Secret() as secret, socket.create_server(("127.0.0.1", 0)) as server:

        def camera() -> None:
            with contextlib.suppress(OSError):
                while True:
                    visitor, _ = server.accept()
                    while asked := visitor.recv(4096).decode():
                        number = asked.partition("CSeq: ")[2].split()[0]
                        away = f"Location: rtsp://127.0.0.1:{secret.port}/live\r\n"
                        status = "200 OK" if asked.startswith("OPTIONS") else f"302 Found\r\n{away.strip()}"
                        visitor.sendall(f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n\r\n".encode())

        threading.Thread(target=camera, daemon=True).start()
        source = RtspSource(f"rtsp://127.0.0.1:{server.getsockname()[1]}/live", SourceOptions(networks=HERE))
        with contextlib.closing(source), pytest.raises(SourceLost, match="passes the request on"):
            source.open()
        assert secret.visits == 0
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "answer",
    [
        b"RTSP/1.0 302 Moved\r\nLocation: rtsp://x/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\nRTSP/1.0 301 Moved\r\n\r\n",
        b"$\0\0\x04aaaaRTSP/1.0 302 Moved\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nX: y\n\nRTSP/1.0 302 Moved\n\n\r\n\r\n",  # lines that FFmpeg ends earlier
        b"RTSP/1.0 200 OK\r\n$\0\0\1\r\n\r\n",  # a packet in the middle of a head
        b"RTSP/1.0  302 Moved\r\n\r\n",
        b"RTSP/1.0\t302 Moved\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"GET_PARAMETER rtsp://x RTSP/1.0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nX: " + b"a" * 40_000,
    ],
)
def test_answers_that_could_be_read_in_two_ways_are_cut_off(answer: bytes) -> None:
    """Watches camera_node.sources.relay.Answers, byte by byte as well: nothing of a redirect gets through."""
    for step in (len(answer), 1):
        answers = Answers()
        passed = b""
        with pytest.raises(Cut):  # noqa: PT012
            for at in range(0, len(answer), step):
                passed += answers.feed(answer[at : at + step])
        assert b" 30" not in passed
