"""The servers of the fan-out: ours, the peers, and the original's design, all fed the same pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from bench.cluster import DEVICE, fake_device
from bench.processes import Missing, Process, free_port
from bench.session import SIZES, Bench


@dataclass(frozen=True)
class Serving:
    process: Process
    url: str


MOST_THREADS = 256  # viewers of the fallback, which holds a thread for each


@dataclass(frozen=True)
class Server:
    """One contestant. open: starts it for a size and gives its process and its stream's URL. most: viewers that it is
    tried with. The process's CPU includes reading the camera."""

    name: str
    open: Callable[[Bench, str], AbstractContextManager[Serving]]
    most: int = 1024


@contextmanager
def _serving(
    bench: Bench, name: str, command: list[str], at: tuple[int, str], environment: dict[str, str]
) -> Iterator[Serving]:
    with bench.start(name, command, environment) as process:
        url = f"http://127.0.0.1:{at[0]}{at[1]}"
        process.answers(url, 20)
        yield Serving(process, url)


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed: apt install {package}")
    return found


@contextmanager
def fogline(bench: Bench, size: str, *, fanout: str = "", path: str = "/stream.jpg") -> Iterator[Serving]:
    """A camera node on the fake device, outside any mesh. fanout: FOGLINE_FANOUT, its own choice when empty."""
    port = free_port()
    name = f"fogline {fanout}".strip()
    data = bench.folder / f"camera-{port}"
    environment = {**fake_device(bench, size), **({"FOGLINE_FANOUT": fanout} if fanout else {})}
    if fanout == "threads":
        environment["FOGLINE_THREADS"] = str(MOST_THREADS + 16)
    words = ("camera", "--source", DEVICE, "--port", str(port), "--data", str(data), "--log", "json")
    with bench.fogline(name, *words, "--registry", "http://127.0.0.1:9", environment=environment) as process:
        base = f"http://127.0.0.1:{port}"
        process.answers(f"{base}/readyz")
        yield Serving(process, f"{base}{path}")


@contextmanager
def fogline_threads(bench: Bench, size: str) -> Iterator[Serving]:
    """The fallback: one thread a viewer."""
    with fogline(bench, size, fanout="threads") as serving:
        yield serving


@contextmanager
def ustreamer(bench: Bench, size: str) -> Iterator[Serving]:
    """Debian's ustreamer; it passes the camera's JPEGs through, as we do."""
    width, height = SIZES[size]
    port = free_port()
    command = [
        _program("ustreamer", "ustreamer"),
        "--device",
        DEVICE,
        "--resolution",
        f"{width}x{height}",
        "--format",
        "MJPEG",
    ]
    command += ["--encoder", "HW", "--desired-fps", "30", "--host", "127.0.0.1", "--port", str(port), "--buffers", "4"]
    with _serving(bench, "ustreamer", command, (port, "/stream"), fake_device(bench, size)) as serving:
        yield serving


@contextmanager
def mjpg_streamer(bench: Bench, size: str) -> Iterator[Serving]:
    """mjpg-streamer from the path that was given; its plug-ins lie beside it or in plugins/*."""
    binary = bench.mjpg_streamer
    if binary is None:
        raise Missing("no mjpg-streamer: Debian has none; build it and name the binary with --mjpg-streamer PATH")
    plugins = {file.name: file for file in binary.parent.rglob("*put_*.so")}
    if not {"input_uvc.so", "output_http.so"} <= plugins.keys():
        raise Missing(f"input_uvc.so and output_http.so do not lie below {binary.parent}")
    port = free_port()
    source = f"{plugins['input_uvc.so']} -d {DEVICE} -r {'x'.join(map(str, SIZES[size]))} -f 30"
    command = [str(binary), "-i", source, "-o", f"{plugins['output_http.so']} -p {port} -l 127.0.0.1"]
    with _serving(bench, "mjpg-streamer", command, (port, "/?action=stream"), fake_device(bench, size)) as serving:
        yield serving


@contextmanager
def motion(bench: Bench, size: str) -> Iterator[Serving]:
    """Debian's motion. It decodes and encodes every picture, for it is a motion detector."""
    program = _program("motion", "motion")
    width, height = SIZES[size]
    port = free_port()
    settings = bench.folder / f"motion-{port}.conf"
    settings.write_text(
        f"daemon off\nvideodevice {DEVICE}\nwidth {width}\nheight {height}\nframerate 30\nv4l2_palette 8\n"
        f"stream_port {port}\nstream_localhost on\nstream_maxrate 30\nstream_quality 80\nstream_preview_method 0\n"
        "picture_output off\nmovie_output off\nwebcontrol_port 0\n"
        f"target_dir {bench.folder}\nlog_level 4\n"
    )
    command = [program, "-n", "-c", str(settings)]
    with _serving(bench, "motion", command, (port, "/"), fake_device(bench, size)) as serving:
        yield serving


@contextmanager
def original(bench: Bench, size: str) -> Iterator[Serving]:
    """The tutorial's design, written anew: see `bench.programs.original`."""
    from bench.cluster import replay  # noqa: PLC0415

    port = free_port()
    with (
        replay(bench, 1, 30, size=size) as camera,
        bench.program("original", "camera", "--port", str(port), "--camera", camera.urls[0]) as process,
    ):
        process.answers(f"http://127.0.0.1:{port}/healthz")
        yield Serving(process, f"http://127.0.0.1:{port}/stream.jpg")


SERVERS = (
    Server("fogline", fogline),
    Server("fogline threads", fogline_threads, MOST_THREADS),
    Server("ustreamer", ustreamer),
    Server("mjpg-streamer", mjpg_streamer),
    Server("motion", motion, 64),
    Server("original", original, 16),
)
