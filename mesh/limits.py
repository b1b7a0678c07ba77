"""The bounds on what a caller may send or ask for, each with its reason."""

from __future__ import annotations

MAX_JSON_BYTES = 256 * 1024  # a manifest with 256 algorithms has about 100 KB
MAX_JSON_DEPTH = 16  # a manifest is 4 deep
MAX_NAME = 200  # characters of a name that people read
MAX_TEXT = 2000  # characters of any other string in a manifest
MAX_ALGORITHMS = 256  # of one node
MAX_SLOTS = 1024  # of one node
MAX_SIDE = 8192  # pixels of a side that a viewer may ask for
MAX_FPS = 240  # frames per second that a viewer may ask for
MAX_DOWNSAMPLE = 64  # the largest divisor of a picture's sides
MAX_LABELS = 32  # labels of one node, or of one request
