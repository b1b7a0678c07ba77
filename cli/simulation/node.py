"""One simulated node: what it says it is, and what it remembers of the registry."""

from __future__ import annotations

import math
import uuid
from typing import Any

import msgspec

from mesh.wire import Assignment, Beat, Load, SessionReport

CAMERA_EVERY = 4  # every fourth node is a camera
SLOTS = 4  # sessions that a compute node serves at once
ALGORITHM = "yolo"
FPS = 36.1  # of which a compute node says that it can do so many a second
LOAD = Load(viewers=1, fps=10.0, cpu_percent=35.0)


class Node:
    """State of one node; only the fleet's thread touches it. Times are time.monotonic() seconds.

    url: where the registry may dial it. gone: it was killed. cut: its cable was pulled. held_from: when the last beat
    that was answered was sent. asked_at: when the last full beat was sent; full_at: when the next one is due. pace:
    seconds between full beats while datagrams do not get through; seconds: between datagrams. key, port: for them; no
    key while it sends none. sent: when the last ones went out, by number. tries: sent since the last answer; heard_at:
    when that came; stamp: of that; wait: seconds that answers took lately. due: when the next datagram is. proving: it
    was asked to show that it hears. followed: the number of the orders that it follows. promised: when a full beat that
    was asked for comes, a moment that was drawn; never while none was. tickets: sessions whose ticket was asked for.
    turn: counts its timers, of which only the newest is valid.
    """

    def __init__(self, index: int, url: str) -> None:
        self.index = index
        self.kind = "camera" if index % CAMERA_EVERY == 0 else "compute"
        self.name = f"sim-{self.kind}-{index}"
        self.node_id = str(uuid.uuid4())
        self.boot_id = str(uuid.uuid4())
        self.url = f"{url}/n/{index}"
        self.slots = 0 if self.kind == "camera" else SLOTS
        self.registered = self.gone = self.cut = self.asked_full = self.proving = False
        self.promised = math.inf
        self.lease, self.pace, self.seconds, self.full_seconds = 3.0, 1.0, 1.0, 1.0
        self.wait = 0.0
        self.held_from = self.asked_at = self.full_at = self.heard_at = self.due = 0.0
        self.key = b""
        self.port = self.number = self.stamp = self.tries = self.followed = self.turn = 0
        self.sent: dict[int, float] = {}
        self.sessions: dict[str, Assignment] = {}
        self.tickets: set[str] = set()

    @property
    def silent(self) -> bool:
        return self.gone or self.cut

    def manifest(self) -> dict[str, Any]:
        """A document of about 600 bytes, as real nodes send them."""
        common = {
            "schema": "fogline/1",
            "kind": self.kind,
            "node_id": self.node_id,
            "boot_id": self.boot_id,
            "host_name": f"hall-{self.index // 100}-{self.index % 100}",
            "name": self.name,
            "FriendlyName": f"Hall {self.index // 100}, place {self.index % 100}",
            "ip_address": f"10.{self.index >> 16 & 255}.{self.index >> 8 & 255}.{self.index & 255}",
            "advertise_url": self.url,
            "version": "0.1.0",
            "ram": "16gb",
            "cpu": "Intel(R) Xeon(R) E-2388G CPU @ 3.20GHz",
            "cores": 8,
        }
        if self.kind == "camera":
            kind = {"type": "Camera", "source": "rtsp", "width": 1280, "height": 720, "fps": 30.0}
            return common | kind
        entry = {
            "name": "Object detection (YOLO)",
            "id": ALGORITHM,
            "category": "objectdetection",
            "class": "Computer Vision",
            "path": "yolo/image.jpg",
            "model": "yolov3-tiny",
            "labels": 80,
            "input": [416, 416],
            "fps": FPS,
        }
        return common | {"slots": self.slots, "accelerators": ["openvino:cpu"], "algorithm": [entry]}

    def full_beat(self) -> bytes:
        """The body of a beat by HTTP, with what it says of each session; a ticket only where it was asked for."""
        reports = [
            SessionReport(
                session_id=one.session_id,
                token=one.token,
                viewers=0 if one.warm else 1,
                fps=10.0,
                ready=True,
                ticket=one.ticket if one.session_id in self.tickets else None,
            )
            for one in self.sessions.values()
        ]
        return msgspec.json.encode(Beat(boot_id=self.boot_id, load=LOAD, sessions=reports))
