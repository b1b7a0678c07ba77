"""The files that pages load: our own, an allow-list of those that npm installed, and the icons of one of them."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Callable
from pathlib import Path

import msgspec

from mesh.errors import NotFound

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
NODE_MODULES = HERE / "node_modules"
KINDS = {  # of files that are worth compressing; not every machine knows the same ones
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """A library of somebody else's: what we serve of it, and under which licence. package: its name in npm.
    files: the name under /assets/vendor → the path in the package."""

    package: str
    licence: str
    home: str
    files: dict[str, str] = {}


LUCIDE = "@iconify-json/lucide"
LIBRARIES = (
    Library(
        package="@picocss/pico",
        licence="MIT",
        home="https://picocss.com",
        files={"pico.min.css": "css/pico.jade.min.css"},
    ),
    Library(
        package="uplot",
        licence="MIT",
        home="https://github.com/leeoniya/uPlot",
        files={"uplot.min.js": "dist/uPlot.iife.min.js", "uplot.min.css": "dist/uPlot.min.css"},
    ),
    Library(
        package="sortablejs",
        licence="MIT",
        home="https://sortablejs.github.io/Sortable/",
        files={"sortable.min.js": "Sortable.min.js"},
    ),
    Library(package=LUCIDE, licence="ISC", home="https://lucide.dev"),
)
ICONS = {  # our name → Lucide's
    "access": "shield-check",
    "audit": "scroll-text",
    "back": "arrow-left",
    "camera": "video",
    "check": "check",
    "chart": "chart-line",
    "clock": "clock",
    "close": "x",
    "copy": "copy",
    "drag": "grip-vertical",
    "edit": "pencil",
    "expand": "maximize-2",
    "external": "external-link",
    "found": "scan-eye",
    "grid-1": "square",
    "grid-4": "grid-2x2",
    "grid-9": "grid-3x3",
    "grid-16": "layout-grid",
    "grid-all": "rows-3",
    "help": "keyboard",
    "info": "info",
    "key": "key-round",
    "language": "languages",
    "move": "shuffle",
    "next": "chevron-right",
    "node": "cpu",
    "nosignal": "video-off",
    "pause": "pause",
    "person": "circle-user-round",
    "play": "play",
    "plus": "plus",
    "power": "power",
    "previous": "chevron-left",
    "radar": "radar",
    "refresh": "refresh-cw",
    "remove": "trash",
    "save": "download",
    "screen": "maximize",
    "search": "search",
    "server": "server",
    "settings": "settings",
    "sign-out": "log-out",
    "stop": "circle-stop",
    "temperature": "thermometer",
    "unplugged": "unplug",
    "viewers": "users",
    "wall": "layout-dashboard",
    "warning": "triangle-alert",
}


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """Something that pages load. packed: the same as gzip, None for what is compressed already. tag: its ETag."""

    content: bytes
    packed: bytes | None
    kind: str
    tag: str


class Assets:
    """Any thread may call any method. stamp: changes with any file, so that browsers may keep them for ever."""

    def __init__(self, static: Path = STATIC, modules: Path = NODE_MODULES) -> None:
        self._static = static.resolve()
        self._modules = modules
        self._vendor = {
            name: modules / library.package / inside for library in LIBRARIES for name, inside in library.files.items()
        }
        own = [*sorted(p for p in static.rglob("*") if p.is_file()), HERE / "assets.py"]
        self.stamp = _stamp([*own, *sorted((HERE / "locales").glob("*.po")), modules / ".package-lock.json"])
        self._known: dict[Path, tuple[float, Asset]] = {}

    def missing(self) -> str | None:
        """What to do when the libraries are not there; None when they are."""
        needed = {**self._vendor, LUCIDE: self._modules / LUCIDE / "icons.json"}
        lacking = [name for name, path in needed.items() if not path.is_file()]
        if not lacking:
            return None
        return (
            f"the dashboard's libraries are not installed ({', '.join(lacking)}); run: npm ci --prefix {HERE}"
            " (./fogline does it by itself), then start the dashboard again"
        )

    def own(self, path: str) -> Asset:
        """A file of ours, by its path under static/. Raises NotFound."""
        found = self._static if "\0" in path else (self._static / path).resolve()
        if not found.is_relative_to(self._static) or not found.is_file():
            raise NotFound(f"the pages have no file {path!r:.100}")
        return self._read(found)

    def vendor(self, name: str) -> Asset:
        """The file of a library. Raises NotFound for what is not on the list."""
        path = self._vendor.get(name)
        if path is None:
            raise NotFound.among("library file", name, self._vendor)
        return self._read(path)

    def icons(self) -> Asset:
        """All icons as one SVG of symbols, and our own mark among them. Raises NotFound while Lucide is not there."""
        drawn = self._read(self._modules / LUCIDE / "icons.json", self._sprite)
        return msgspec.structs.replace(drawn, kind=KINDS[".svg"])

    def version(self, library: Library) -> str | None:
        """The version that is installed."""
        try:
            described = msgspec.json.decode((self._modules / library.package / "package.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        return str(described.get("version", "")) or None

    def _sprite(self, lucide: bytes) -> bytes:
        found = msgspec.json.decode(lucide)["icons"]
        symbols = [
            f'<symbol id="{name}" viewBox="0 0 24 24">{found[theirs]["body"]}</symbol>'
            for name, theirs in ICONS.items()
        ]
        mark = (self._static / "img" / "mark.svg").read_text()
        return f'<svg xmlns="http://www.w3.org/2000/svg">{mark}{"".join(symbols)}</svg>'.encode()

    def _read(self, path: Path, made_of: Callable[[bytes], bytes] = bytes) -> Asset:
        """A file, kept until it changes."""
        try:
            changed = path.stat().st_mtime
            known = self._known.get(path)
            if known is None or known[0] != changed:
                known = self._known[path] = changed, asset(made_of(path.read_bytes()), path.suffix)
        except FileNotFoundError:
            raise NotFound(self.missing() or f"{path.name} is no longer there") from None
        return known[1]


def asset(content: bytes, suffix: str) -> Asset:
    """suffix: of a file of this kind, such as `.json`."""
    kind = KINDS.get(suffix)
    return Asset(
        content=content,
        packed=gzip.compress(content, mtime=0) if kind else None,
        kind=kind or mimetypes.types_map.get(suffix, "application/octet-stream"),
        tag=hashlib.sha256(content).hexdigest()[:16],
    )


def _stamp(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
