"""`python -m camera_node`: a camera node told by `FOGLINE_…` variables alone, as a container is."""

from __future__ import annotations

import sys

from camera_node.main import run
from camera_node.settings import CameraSettings
from mesh.errors import FoglineError
from mesh.settings import load

if __name__ == "__main__":
    try:
        run(load(CameraSettings, {}))
    except FoglineError as error:
        sys.exit(f"fogline: {error.detail}")
