"""The bounds on what a caller may send or ask for, each with its reason. An error about one names it in `limit`."""

from __future__ import annotations

# --- bodies

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

# --- requests and connections

MAX_REQUEST_LINE = 8190  # bytes: a signed address has about 1,000
MAX_HEADER_FIELDS = 64  # of one request: a browser behind two proxies sends 30
MAX_HEADER_BYTES = 8190  # of one field: a node's certificate has about 1,000
MAX_HEAD_BYTES = 32 * 1024  # of a request before its body: a few fields of the longest
MAX_CONNECTIONS = 16_384  # of one process: a core is full long before; less where fewer files may be open
MAX_CONNECTIONS_PER_CLIENT = 256  # of one address but this machine's: an office behind one, or ten walls of 16 pictures
SILENT_SECONDS = 20.0  # of a new connection until its first byte: browsers open some ahead
HEAD_SECONDS = 10.0  # from a request's first byte until its head is whole: one packet, as a rule
BODY_SECONDS = 30.0  # from then until its body is whole: 16 MB over a slow radio link
TAKE_SECONDS = 20.0  # in which a client takes nothing of an answer, after which the system cuts the connection
KEEP_ALIVE_SECONDS = 75  # between two requests: longer than a browser's or a proxy's pause between two polls
MAX_REQUESTS_A_SECOND = 200.0  # of one person's sign-in or one API key: a wall of 16 asks 16 to 32 times
MAX_REQUESTS_AT_ONCE = 1000  # of the same in a burst: many pages loaded together
MAX_STRANGER_REQUESTS_A_SECOND = 50.0  # of one address that shows nothing: a sign-in page loads 30 files
MAX_STRANGER_REQUESTS_AT_ONCE = 500  # of the same: a shift that comes to work behind one address
MAX_SESSIONS_PER_PRINCIPAL = 64  # vision sessions that one person or one API key has running: four walls of 16
