"""The kinds of sources, found by what the user wrote and imported when they are used.

Others may add kinds through the entry point group `fogline.sources`: the entry's name is the scheme (`foo` for
`foo:…`), its value a class like `camera_node.sources.base.Source`.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from camera_node.sources.base import Captured, Source, SourceOptions
from mesh.errors import NotFound, SetupProblem
from mesh.source import shown

__all__ = ["NONE", "Captured", "Source", "SourceKind", "SourceOptions", "known", "resolve"]

GROUP = "fogline.sources"
NONE = "none"  # of a node that has no camera of its own
PICTURES = (".jpg", ".jpeg", ".png")
_OWN = {
    "demo": "camera_node.sources.demo:DemoSource",
    "video": "camera_node.sources.video:VideoSource",
    "folder": "camera_node.sources.folder:FolderSource",
    "v4l2": "camera_node.sources.v4l2:V4l2Source",
    "rtsp": "camera_node.sources.rtsp:RtspSource",
    "http": "camera_node.sources.web:WebSource",
}
_SCHEMES = {"demo": "demo", "rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http", "file": "file"}
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A source that was told apart but not opened.

    kind: `v4l2`, `rtsp`, `http`, `video`, `folder`, `demo`, `none` or a third party's scheme. name: for a camera that
    was given none. shown: the source without its secrets. make: gives a new, unopened source.
    """

    kind: str
    name: str
    shown: str
    make: Callable[[SourceOptions], Source]


def known() -> list[str]:
    """What a source may begin with."""
    others = {entry.name for entry in entry_points(group=GROUP)} - set(_SCHEMES)
    return [
        "0 (a device's number)",
        "/dev/video…",
        "FILE",
        "FOLDER",
        NONE,
        *(f"{s}:" for s in sorted({*_SCHEMES, *others})),
    ]


def resolve(text: str) -> SourceKind:
    """The kind of source that `text` names. Opens nothing.

    Raises NotFound for an unknown scheme, with the known ones.
    """
    text = text.strip()
    if text.lower() == NONE:
        return SourceKind(NONE, "camera host", NONE, _nothing)
    if re.fullmatch(r"\d{1,3}", text):
        text = f"/dev/video{text}"
    if text.startswith("/dev/"):
        return _own("v4l2", text, Path(text).name, text)
    found = _SCHEME.match(text)
    if found is None or os.path.exists(text):  # noqa: PTH110 - Path's raises on what is too long for a path; a file's name may hold a colon
        return _path(text)
    scheme = found.group(1).lower()
    kind = _SCHEMES.get(scheme)
    if kind == "file":
        return _path(text[len("file:") :].removeprefix("//"))
    if kind is not None:
        where = shown(text)
        return _own(kind, text, "demo" if kind == "demo" else where.host or kind, where.text)
    others = {entry.name: entry for entry in entry_points(group=GROUP)}
    if scheme not in others:
        raise NotFound.among("kind of source", f"{scheme}:", known())
    where = shown(text)
    return SourceKind(
        scheme, _plain(where.host or scheme), where.text, lambda options: others[scheme].load()(text, options)
    )


def _nothing(_options: SourceOptions) -> Source:
    raise SetupProblem("--source none has nothing to read")


def _path(text: str) -> SourceKind:
    if not text:
        raise SetupProblem("--source (FOGLINE_SOURCE) is empty: give a device, an address, a file, a folder, or demo:")
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        return _own("folder", str(path), path.name or "folder", str(path))
    if path.suffix.lower() in PICTURES:
        return _own("folder", str(path), path.stem, str(path))
    return _own("video", str(path), path.stem, str(path))


def _own(kind: str, text: str, name: str, where: str) -> SourceKind:
    def make(options: SourceOptions) -> Source:
        module, _, attribute = _OWN[kind].partition(":")
        source: Source = getattr(importlib.import_module(module), attribute)(text, options)
        return source

    return SourceKind(kind, _plain(name), where, make)


def _plain(name: str) -> str:
    """`name` without what a manifest must not hold."""
    return re.sub(r"[<>\x00-\x1f\x7f]", "_", name)[:100]
