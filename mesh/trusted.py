"""What a node knows of whom to trust: the registry's word, kept on disk, good without the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mesh import codec
from mesh.access_wire import Trust
from mesh.errors import SetupProblem
from mesh.keys import known_keys, private_file
from mesh.logs import logger

UNKNOWN = -1  # the version of a node that was never told
log = logger(__name__)


class Trusted:
    """The newest trust document. Any thread may call any method; all are cheap but `take`.

    file: where it is kept. Without one that can be read nobody is trusted.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.version = UNKNOWN
        self.keys: Mapping[str, str] = {}  # the registry's public keys by kid
        self.legacy_open = False
        self.revoked_ids: frozenset[str] = frozenset()  # of nodes, keys and sign-ins
        try:
            self._adopt(codec.decode(file.read_bytes(), Trust))
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            log.warning("what was known of whom to trust cannot be read; the registry will say it", reason=str(error))

    def revoked(self, ident: str) -> bool:
        """Whether a node, a key or a sign-in is good for nothing any more."""
        return ident in self.revoked_ids

    def take(self, document: Trust) -> None:
        """The registry says so now."""
        with self._lock:
            # Not by the version alone: a registry that has lost its memory counts anew.
            known = (self.version, self.keys, self.revoked_ids, self.legacy_open)
            self._adopt(document)
            if known == (self.version, self.keys, self.revoked_ids, self.legacy_open):
                return
            try:
                private_file(self._file, codec.dump(document))
            except SetupProblem as error:  # it holds for this run all the same
                log.warning("whom to trust is not kept for the next start", reason=error.detail)

    def _adopt(self, document: Trust) -> None:
        self.keys = known_keys(document.keys.items())
        self.revoked_ids = frozenset(document.revoked)
        self.legacy_open = document.legacy_open
        self.version = document.version


def ends_at(until: float, now: float) -> float:
    """`until`, Unix seconds of a clock that says `now`, as monotonic seconds of this process."""
    return time.monotonic() + (until - now)
