"""The files that pages load: our own, and an allow-list of those that npm installed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from mesh.errors import NotFound

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
NODE_MODULES = HERE / "node_modules"


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """A library of somebody else's: what we serve of it, and under which licence. package: its name in npm.
    files: the name under /assets/vendor → the path in the package."""

    package: str
    purpose: str
    licence: str
    home: str
    files: dict[str, str]


LIBRARIES = (
    Library(
        package="@picocss/pico",
        purpose="the look of text, forms and dialogs on which ours builds",
        licence="MIT",
        home="https://picocss.com",
        files={"pico.min.css": "css/pico.jade.min.css"},
    ),
)


class Assets:
    """Any thread may call any method. stamp: changes with any file of ours, so that browsers may keep them for ever."""

    def __init__(self, static: Path = STATIC, modules: Path = NODE_MODULES) -> None:
        self.static = static
        self._modules = modules
        self._vendor = {
            name: modules / library.package / inside for library in LIBRARIES for name, inside in library.files.items()
        }
        self.stamp = _stamp([*sorted(p for p in static.rglob("*") if p.is_file()), modules / ".package-lock.json"])

    def missing(self) -> str | None:
        """What to do when the libraries are not there; None when they are."""
        lacking = [name for name, path in self._vendor.items() if not path.is_file()]
        if not lacking:
            return None
        return (
            f"the dashboard's libraries are not installed ({', '.join(lacking)}); run: npm ci --prefix {HERE}"
            " (./fogline does it by itself), then start the dashboard again"
        )

    def vendor(self, name: str) -> Path:
        """The file of a library. Raises NotFound for what is not on the list."""
        path = self._vendor.get(name)
        if path is None:
            raise NotFound.among("library file", name, self._vendor)
        if not path.is_file():
            raise NotFound(self.missing() or f"{name} is not installed")
        return path

    def version(self, library: Library) -> str | None:
        """The version that is installed."""
        try:
            described = msgspec.json.decode((self._modules / library.package / "package.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        return str(described.get("version", "")) or None


def _stamp(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
