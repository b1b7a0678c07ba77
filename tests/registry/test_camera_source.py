"""Which addresses an added camera may have."""

from __future__ import annotations

import pytest

from mesh.errors import InvalidInput
from registry import camera_source
from registry.cameras import HERE


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://10.0.0.5/live",
        "rtsps://user:pa%2Fss@cam-3.lan:322/live",
        "RTSP://cam/1",
        "http://[fd00::5]:8080/video?user=a&pwd=b",
        "https://cam.lan./still.jpg",
        "http://127.0.0.1:5000/stream.jpg",
        "http://2130706433/",
        "demo:",
        "demo:hall",
    ],
)
def test_addresses_of_cameras_are_taken(source: str) -> None:
    """By name or number, with or without a password, and the demonstration."""
    camera_source.check(source, HERE)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("file:///etc/passwd", "must begin with one of rtsp://"),
        ("/dev/video0", "must begin with"),
        ("ftp://secret@cam/", "must begin with"),
        ("demo", "must begin with"),
        ("rtsp:cam", "has no host"),
        ("rtsp://", "has no host"),
        ("rtsp://user:secret@/live", "has no host"),
        ("http://cam:99999/", "is no address"),
        ("http://[::1/", "is no address"),
        ("rtsp://user:12?secret@cam/", "an @ after the host"),
        ("rtsp://user:1/secret@cam/", "an @ after the host"),
        ("rtsp://user#secret@cam/", "an @ after the host"),
        ("http://169.254.169.254/latest", "a cloud's metadata service"),
        ("http://2852039166/", "a cloud's metadata service"),
        ("http://0xa9.0xfe.1.1/", "a link-local address"),
        ("http://[::ffff:169.254.1.1]/", "a link-local address"),
        ("rtsp://[fe80::1]/", "a link-local address"),
        ("rtsp://[fe80::1%25eth0]/", "a link-local address"),
        ("rtsp://239.1.2.3/", "a multicast address"),
        ("rtsp://[ff02::1]/", "a multicast address"),
        ("http://0.0.0.0/", "no address in particular"),
        ("http://0/", "no address in particular"),
        ("http://[::]/", "no address in particular"),
        ("http://metadata.google.internal./", "a cloud's metadata service"),
        ("http://METADATA.google.internal/", "a cloud's metadata service"),
        ("http://100.100.100.200/", "a cloud's metadata service"),
        ("http://[fd00:ec2:0::254]/", "a cloud's metadata service"),
    ],
)
def test_addresses_that_no_camera_has_are_refused_in_words(source: str, words: str) -> None:
    """The words name the field, and never repeat what may be a password."""
    with pytest.raises(InvalidInput) as refused:
        camera_source.check(source, HERE)
    assert refused.value.detail.startswith("source: ")
    assert words in refused.value.detail
    assert refused.value.members["field"] == "source"
    assert "secret" not in refused.value.detail
