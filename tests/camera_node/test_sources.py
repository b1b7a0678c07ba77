"""What a source's text means, and what of it may be shown."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from camera_node import sources
from camera_node.sources import Captured, SourceOptions, resolve
from camera_node.sources.url import take_apart
from mesh.errors import NotFound, SetupProblem
from mesh.source import shown


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("0", "v4l2", "video0"),
        ("/dev/video2", "v4l2", "video2"),
        ("demo:", "demo", "demo"),
        ("rtsp://10.0.0.5/live", "rtsp", "10.0.0.5"),
        ("RTSP://user:pw@cam-3.lan:8554/live", "rtsp", "cam-3.lan"),
        ("http://10.0.0.6:8080/video?x=1", "http", "10.0.0.6"),
        ("https://cam.lan/still.jpg", "http", "cam.lan"),
        ("missing/line 3.mp4", "video", "line 3"),
        ("still.PNG", "folder", "still"),
        ("file:///tmp/a.mkv", "video", "a"),
    ],
)
def test_kind_and_name(text: str, kind: str, name: str) -> None:
    """A source is told apart by its text alone, and gives the camera its name."""
    found = resolve(text)
    assert (found.kind, found.name) == (kind, name)


def test_files_and_folders_that_exist(tmp_path: Path) -> None:
    """A folder is one, and a file's name may look like a scheme."""
    (tmp_path / "a:b.mp4").touch()
    assert resolve(str(tmp_path)).kind == "folder"
    assert resolve(str(tmp_path / "a:b.mp4")).kind == "video"


def test_unknown_scheme_lists_the_known() -> None:
    """A typo is answered with what there is."""
    with pytest.raises(NotFound, match=r"unknown kind of source 'rstp:'; known: .*rtsp:"):
        resolve("rstp://10.0.0.5/live")
    with pytest.raises(SetupProblem, match="FOGLINE_SOURCE"):
        resolve(" ")


class Blank:
    """A third party's source."""

    def __init__(self, text: str, _options: SourceOptions) -> None:
        self.text = text

    def open(self) -> None: ...
    def close(self) -> None: ...
    def read(self) -> Captured:
        return Captured(0.0)


def test_third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group fogline.sources adds a scheme, loaded only when used."""
    entry = EntryPoint("blank", f"{__name__}:Blank", sources.GROUP)
    monkeypatch.setattr(sources, "entry_points", lambda group: [entry] if group == sources.GROUP else [])
    found = resolve("blank:here")
    assert found.kind == "blank"
    made = found.make(SourceOptions())
    assert type(made).__name__ == "Blank"
    assert "blank:" in sources.known()


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://user:s3cret@10.0.0.5/live",
        "rtsp://user:s3cret@10.0.0.5:99999/live",
        "http://10.0.0.5/cgi?usr=a&pwd=s3cret",
        "https://s3cret@10.0.0.5/a",
        "http://a:b@s3cret@10.0.0.5/",
    ],
)
def test_shown_has_no_secret(text: str) -> None:
    """User, password and query of an address are never shown."""
    found = resolve(text)
    assert "s3cret" not in found.shown + found.name
    assert "s3cret" not in shown(text).text


def test_address_parts() -> None:
    """User and password are decoded, and gone from the address that is fetched."""
    address = take_apart("http://us%40er:p%3Aw@10.0.0.5:81/a?b=c#d")
    assert (address.user, address.password) == ("us@er", "p:w")
    assert address.url == "http://10.0.0.5:81/a?b=c"
    with pytest.raises(SetupProblem, match="%2F"):
        take_apart("rtsp://user:pa/ss@10.0.0.5/x")
