"""What a camera node can be told."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.limits import MAX_FPS, MAX_SIDE
from mesh.settings import NodeSettings, setting

MAX_HOSTED = 256  # each has a reader and what keeps it in the mesh: half a dozen threads


@dataclass(frozen=True)
class CameraSettings(NodeSettings):
    port: int = setting(0, "port to listen on; 0 for 5000 or the next free one", least=0, most=65535)
    source: str = setting(
        "demo:",
        "where the pictures come from: 0, /dev/video0, rtsp://…, http://… (MJPEG or a still), a video file,"
        " a folder of images, demo:; none for a node that only runs added cameras (see --host-cameras)",
        metavar="SOURCE",
    )
    host_cameras: int = setting(
        0,
        "how many cameras that people add in the dashboard this node may run beside its own; 0 for none",
        least=0,
        most=MAX_HOSTED,
    )
    width: int = setting(
        0, "wanted width of a device's or the demo's frames in pixels; 0 for its own", least=0, most=MAX_SIDE
    )
    height: int = setting(
        0, "wanted height of a device's or the demo's frames in pixels; 0 for its own", least=0, most=MAX_SIDE
    )
    fps: float = setting(0.0, "wanted frames per second; 0 for the source's own", least=0, most=MAX_FPS)
    quality: int = setting(85, "JPEG quality of pictures that do not come as JPEG", least=1, most=100)
    verify: bool = setting(True, "check the certificate of an https:// source; say no for a camera that signed its own")
