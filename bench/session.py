"""One run of the benchmarks: its settings, its folder, its compiled programs, and the processes that it starts."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from bench.machine import ROOT
from bench.processes import Missing, Process

CACHE = ROOT / ".bench"
NATIVE = Path(__file__).resolve().parent / "native"
PICTURES = 90  # three seconds of a loop
COMMENT = b"\xff\xfe\x00\x1bTSNS:" + b"0" * 16 + b"\0\0\0\0"  # a JPEG comment that the cameras fill with the time
SIZES = {"720p": (1280, 720), "480p": (640, 480)}
WANTED_BYTES = 100_000  # of a 720p picture, as cameras make them; smaller ones in proportion
FLAGS: dict[str, tuple[str, ...]] = {"fake_v4l2": ("-shared", "-fPIC")}


@dataclass
class Bench:
    """Settings, and where things are. shared: the folder with photographs and models. commands: what was started.
    only: the cases to measure of a scenario that has several to choose from; all when empty."""

    rounds: int
    quick: bool
    shared: Path
    folder: Path
    cache: Path = CACHE
    real_cameras: bool = False
    minutes: float = 10.0
    mjpg_streamer: Path | None = None
    only: tuple[str, ...] = ()
    commands: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """One line of progress."""
        print(f"  {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Something that a reader of the figures must know; said once."""
        if text not in self.notes:
            self.notes.append(text)
            self.say(f"note: {text}")

    def seconds(self, usual: float) -> float:
        """How long to measure."""
        return min(usual, 2.0) if self.quick else usual

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        """Start a process and keep its command line."""
        words = [f"{key}={value}" for key, value in (environment or {}).items()]
        self.commands[name] = " ".join([*words, *command])
        return Process(name, command, self.folder, environment=environment)

    def fogline(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
        """Start one of Fogline's own commands."""
        return self.start(name, [sys.executable, "-m", "cli", *arguments], environment)

    def program(self, name: str, *arguments: str) -> Process:
        """Start one of `bench.programs`."""
        return self.start(name, [sys.executable, "-m", f"bench.programs.{name}", *arguments])

    def native(self, name: str) -> Path:
        """A program or library of `native/`, compiled when its source is newer. Raises Missing without a compiler."""
        source = NATIVE / f"{name}.c"
        built = _folder(self.cache) / (f"{name}.so" if name in FLAGS else name)
        if built.exists() and built.stat().st_mtime > source.stat().st_mtime:
            return built
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise Missing("a C compiler is needed: apt install gcc libc6-dev")
        fresh = built.with_suffix(".new")
        command = [compiler, "-O2", *FLAGS.get(name, ()), "-o", str(fresh), str(source), "-ldl", "-lpthread"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise Missing(f"{source.name} cannot be compiled here: {done.stderr[-400:]}")
        fresh.replace(built)
        return built

    def pictures(self, size: str) -> Path:
        """A file of JPEGs that pan over a photograph: a 32-bit length and the bytes of each."""
        file = _folder(self.cache) / f"pan-{size}.bin"
        if not file.exists():
            width, height = SIZES[size]
            wanted = WANTED_BYTES * width * height // (1280 * 720)
            jpegs = _pan(_photograph(self.shared), width, height, wanted)
            fresh = file.with_suffix(".new")
            fresh.write_bytes(b"".join(struct.pack("=I", len(jpeg)) + jpeg for jpeg in jpegs))
            fresh.replace(file)
        return file


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for logs and data that goes with the run."""
    with tempfile.TemporaryDirectory(prefix="fogline-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _folder(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")
    return cache


def _photograph(shared: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    files = sorted((shared / "images" / "coco" / "images").glob("*.jpg"))
    picture = cv2.imread(str(files[0])) if files else None
    if picture is None:
        raise Missing(f"no photographs in {shared / 'images/coco/images'}: name the folder with --data")
    return np.asarray(picture, np.uint8)


def _pan(
    photograph: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], width: int, height: int, wanted: int
) -> list[bytes]:
    """Crops along an ellipse over the enlarged photograph, as JPEGs of about `wanted` bytes."""
    scale = max(1.25 * width / photograph.shape[1], 1.25 * height / photograph.shape[0])
    big = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    # Enlarging blurs; a camera's noise is what makes its pictures large.
    noise = np.random.default_rng(1).normal(0, 6, big.shape)
    big = np.clip(big + noise, 0, 255).astype(np.uint8)
    room_x, room_y = big.shape[1] - width, big.shape[0] - height

    def crop(n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        angle = 2 * np.pi * n / PICTURES
        x, y = int(room_x * (0.5 + 0.5 * np.sin(angle))), int(room_y * (0.5 + 0.5 * np.cos(angle)))
        return np.ascontiguousarray(big[y : y + height, x : x + width])

    def encode(n: int, quality: int) -> bytes:
        data = cv2.imencode(".jpg", crop(n), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        return data[:2] + COMMENT + data[2:]

    quality = min(range(30, 96, 5), key=lambda q: abs(len(encode(0, q)) - wanted))
    return [encode(n, quality) for n in range(PICTURES)]
