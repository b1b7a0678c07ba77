"""A folder of pictures, or one picture, shown in turn. JPEG files are passed on as they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from imutils.paths import list_files

from camera_node.sources.base import Captured, SourceOptions
from camera_node.sources.pace import Pace
from mesh.errors import SourceLost
from mesh.picture import MAX_BYTES

FPS = 2.0  # pictures a second
KINDS = (".jpg", ".jpeg", ".png")


class FolderSource:
    """See `Source`. Files are taken in the order of their paths; new ones are seen with the next round."""

    def __init__(self, text: str, options: SourceOptions) -> None:
        self._path = Path(text)
        self._pace = Pace(options.fps or FPS)
        self._refused = options.refused
        self._files: Iterator[Path] = iter(())

    def open(self) -> None:
        self._files = iter(self._list())

    def read(self) -> Captured:
        self._pace.wait()
        for _ in range(2):
            for file in self._files:
                try:
                    if file.stat().st_size > MAX_BYTES:
                        self._refused("too_large", 1)
                        continue
                    return Captured(time.time(), data=file.read_bytes())
                except OSError:
                    self._refused("unreadable", 1)  # it went away since the folder was listed, or is not ours to read
            self._files = iter(self._list())
        raise SourceLost(f"no picture in {self._path} can be read: check permissions and sizes")

    def close(self) -> None:
        return None

    def _list(self) -> list[Path]:
        if not self._path.exists():
            raise SourceLost(f"there is no {self._path}: check the path, or choose another --source")
        if self._path.is_file():
            return [self._path]
        found = sorted(Path(file) for file in list_files(str(self._path), validExts=KINDS))
        if not found:
            raise SourceLost(f"there is no picture ({', '.join(KINDS)}) in {self._path}")
        return found
