"""Cameras at http:// addresses, good ones and bad ones."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pytest

from camera_node.sources.base import Captured, SourceOptions
from camera_node.sources.web import WebSource
from mesh.errors import SetupProblem, SourceLost
from tests.camera_node.pictures import bomb, half, picture, png
from tests.camera_node.viewer import metric, no_signal, parts
from tests.camera_node.web_server import Behave, Request, WebCamera, mjpeg, raw, still, trickle
from tests.processes import Running, wait_for


def take(address: str, count: int = 3, **options: object) -> tuple[list[Captured], dict[str, int]]:
    """The first `count` pictures of a source, and what it refused."""
    refused: dict[str, int] = {}

    def refuse(reason: str, pictures: int) -> None:
        refused[reason] = refused.get(reason, 0) + pictures

    source = WebSource(address, SourceOptions(fps=50, refused=refuse, **options))  # type: ignore[arg-type]
    try:
        source.open()
        return [source.read() for _ in range(count)], refused
    finally:
        source.close()


def test_mjpeg_untouched() -> None:
    """An MJPEG camera's pictures come out byte for byte, stamped with when they arrived."""
    with WebCamera(mjpeg(lambda n: picture(seed=n))) as camera:
        before = time.time()
        got, refused = take(f"http://{camera.host}/video")
    assert [one.data for one in got] == [picture(seed=n) for n in range(3)]
    assert all(before <= one.captured_at <= time.time() for one in got)
    assert not refused


@pytest.mark.parametrize(
    "behave",
    [
        mjpeg(lambda n: picture(seed=n), boundary="real", announced="other"),
        mjpeg(lambda n: picture(seed=n), boundary="x", announced='"--x"'),
        raw(lambda n: b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + picture(seed=n) + b"\r\n"),
        raw(
            lambda n: (
                b"garbage \xff\xd8\xff between"
                b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                % len(picture(seed=n))
                + picture(seed=n)
                + b"\r\n"
            )
        ),
        raw(
            lambda n: (
                b"--frame\r\nContent-Length: %d\r\n\r\n" % (0 if n % 2 else len(picture(seed=n // 2)))
                + (b"" if n % 2 else picture(seed=n // 2))
                + b"\r\n"
            )
        ),
    ],
    ids=["wrong boundary", "quoted with dashes", "no length", "garbage between", "empty parts"],
)
def test_untidy_mjpeg(behave: Behave) -> None:
    """What real cameras get wrong costs no picture."""
    with WebCamera(behave) as camera:
        got, _ = take(f"http://{camera.host}/video")
    assert [one.data for one in got] == [picture(seed=n) for n in range(3)]


def test_part_of_30_megabytes() -> None:
    """A part that is too large is passed over and counted, and the next one comes."""

    def pieces(n: int) -> bytes:
        data = b"\xff\xd8" + b"\0" * (30 * 1024 * 1024) if n == 0 else picture()
        return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n"

    with WebCamera(raw(pieces)) as camera:
        got, refused = take(f"http://{camera.host}/video", count=1)
    assert got[0].data == picture()
    assert refused["too_large"] == 1


def test_still() -> None:
    """A still camera is asked again and again, JPEG or PNG."""
    with WebCamera(still(lambda n: picture(seed=n))) as camera:
        got, _ = take(f"http://{camera.host}/still.jpg")
        assert [one.data for one in got] == [picture(seed=n) for n in range(3)]
    with WebCamera(still(lambda _n: png(), "image/png")) as camera:
        got, _ = take(f"http://{camera.host}/still.png", count=1)
        assert got[0].data == png()


def _rude(request: Request) -> None:
    request.announce_close = False
    request.answer("image/jpeg", picture())


def test_still_that_hangs_up() -> None:
    """A camera that promises to keep the connection and closes it costs no picture."""
    with WebCamera(_rude) as camera:
        got, _ = take(f"http://{camera.host}/still.jpg", count=20)
    assert len(got) == 20


def _digest(request: Request) -> None:
    given = request.headers.get("Authorization", "")
    fields = dict(part.strip().split("=", 1) for part in given.removeprefix("Digest ").split(",") if "=" in part)
    fields = {name: value.strip('"') for name, value in fields.items()}

    def h(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    right = h(
        h("op", "cam", "p:w"),
        *(fields.get(name, "") for name in ("nonce", "nc", "cnonce", "qop")),
        h("GET", fields.get("uri", "")),
    )
    if fields.get("response") == right:
        request.answer("image/jpeg", picture())
    else:
        request.answer(
            "text/plain", b"", 401, WWW_Authenticate='Digest realm="cam", nonce="abc", qop="auth", algorithm=MD5'
        )


def _basic(request: Request) -> None:
    if request.headers.get("Authorization") == "Basic b3A6cDp3":
        request.answer("image/jpeg", picture())
    else:
        request.answer("text/plain", b"", 401, WWW_Authenticate='Basic realm="cam"')


@pytest.mark.parametrize("behave", [_digest, _basic])
def test_password(behave: Behave) -> None:
    """Both ways of asking for a password are answered; a wrong or missing one is said, and never shown."""
    with WebCamera(behave) as camera:
        got, _ = take(f"http://op:p%3Aw@{camera.host}/still.jpg", count=2)
        assert got[1].data == picture()
        with pytest.raises(SourceLost, match="does not accept") as wrong:
            take(f"http://op:secret@{camera.host}/still.jpg")
        assert "secret" not in str(wrong.value)
        with pytest.raises(SourceLost, match="asks for a user name"):
            take(f"http://{camera.host}/still.jpg")


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (lambda r: r.answer("text/html", b"<html>"), "sends text/html instead of a picture"),
        (lambda r: r.answer("text/plain", b"", 404), "answered 404"),
        (lambda r: r.answer("text/plain", b"", 302, Location="/again"), "passes the request on"),
        (trickle(picture()), "seconds to send a picture"),
        (raw(lambda _n: b"\0" * 100, fps=10), "no whole picture"),
        (lambda r: r.running(20), "does not answer"),
    ],
    ids=["page", "404", "loop", "slow body", "no parts", "silence"],
)
def test_reasons(behave: Behave, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else ends in words that say what is wrong, in bounded time, and without the query's secrets."""
    monkeypatch.setattr("camera_node.sources.web.SILENCE", 1.0)
    with WebCamera(behave) as camera:
        began = time.monotonic()
        with pytest.raises(SourceLost, match=words) as error:
            take(f"http://{camera.host}/x?pwd=s3cret")
        assert time.monotonic() - began < 4
        assert "s3cret" not in str(error.value)
    with pytest.raises(SourceLost, match="refuses connections") as error:
        take(f"http://{camera.host}/x?pwd=s3cret")
    assert "s3cret" not in str(error.value)


def test_addresses_that_are_none() -> None:
    """What cannot be an address is said at once."""
    with pytest.raises(SetupProblem, match="no address"):
        take("http://")
    with pytest.raises(SourceLost, match="host name"):
        take("http://no-such-host.invalid/x")


def test_camera_dies_and_returns(camera: Callable[..., Running]) -> None:
    """Through the whole node: pictures untouched, then no signal with the reason, then pictures again, in order, on
    one and the same viewer's connection; broken pictures are counted and never come out."""
    good = picture(640, 360)
    web = WebCamera(mjpeg(lambda n: [good, half(good), bomb(), good][n % 4]))
    with web:
        node = camera(f"http://user:s3cret@{web.host}/video?pwd=s3cret", "--name", "yard")
        wait_for(lambda: no_signal(node.url) is None, 10, "picture")
        stream = parts(f"{node.url}/stream.jpg", 30)
        first = next(stream)
        assert first.body == good
        wait_for(
            lambda: metric(node.url, "fogline_camera_frames_refused_total", reason="too_many_pixels") > 1, 5, "count"
        )
        assert metric(node.url, "fogline_camera_frames_refused_total", reason="cut_off") > 0
    numbers = [int(first.headers["x-frame"])]
    states = [False]
    for part in stream:
        lost = "x-no-signal" in part.headers
        if lost:
            assert "refuses connections" in part.headers["x-no-signal"] or "ended" in part.headers["x-no-signal"]
        else:
            assert part.body == good
        numbers.append(int(part.headers["x-frame"]))
        if lost != states[-1]:
            states.append(lost)
            if lost:
                web.on()
        if states == [False, True, False]:
            break
    web.off()
    assert states == [False, True, False]
    assert numbers == sorted(set(numbers))
    assert "s3cret" not in node.log()
