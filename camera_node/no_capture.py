"""What stands in place of a capture on a node that has no camera of its own."""

from __future__ import annotations

from typing import Final, NoReturn

from camera_node.capture import View
from mesh.errors import Unavailable


class NoCapture:
    """Looks like a `Capture` that never has a picture. Any thread may call any method."""

    view: Final = View()
    fps: Final = 0.0

    def start(self) -> None:
        return

    def stop(self) -> None:
        return

    def rename(self, _name: str) -> None:
        return

    def newest(self) -> NoReturn:
        """Raises Unavailable with words for whoever asks for a picture."""
        raise Unavailable("this node has no camera of its own; it runs added ones under /cameras/…")
