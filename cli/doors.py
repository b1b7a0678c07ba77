"""What `./fogline doctor` finds about the doors: is the mesh locked, who can come in, and are its secrets secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cli.finding import Finding
from mesh.access_client import AccessClient
from mesh.client import RegistryClient
from mesh.credentials import JOIN_TOKEN
from mesh.errors import FoglineError
from mesh.settings import PREFIX

SECRETS = ("admin", "joining", "identity", "access")  # folders of the data folder that hold keys and tokens
NO_SECRETS = ("*.id", "*lock", "ca.pem")  # ids of nodes, empty files, a certificate
OTHERS = 0o077  # the bits of a file's mode that let others in


def secrets(data: Path) -> Iterator[Finding]:
    """Keys and tokens that other users of this machine may read."""
    files = [file for folder in SECRETS for file in _secret(data / folder)]
    loose = [file for file in files if file.stat().st_mode & OTHERS]
    for file in loose:
        yield Finding(
            "secrets",
            "bad",
            f"other users of this machine may read {file}",
            f"chmod 600 {file}; then make a new key or token, for somebody may have read it",
        )
    if files and not loose:
        yield Finding("secrets", "ok", f"only this user may read the keys in {data}")


def access(registry: RegistryClient, data: Path) -> Iterator[Finding]:
    """What the registry says of its door, and whether this machine's nodes have what they need to pass it."""
    try:
        state = AccessClient(registry).setup()
    except FoglineError as error:
        yield Finding("access", "bad", f"the registry does not say whether it is locked: {error.detail}", "update it")
        return
    if not state.locked:
        yield Finding(
            "access", "ok", "open: whoever uses the registry's machine may do everything, nobody else gets in"
        )
        return
    yield Finding("access", "ok", "locked: people sign in, programs show a key, nodes join with a token")
    if state.needed:
        yield Finding(
            "access",
            "note",
            "nobody can sign in yet",
            "./fogline user link on the registry's machine: open what it prints",
        )
    if state.legacy_open:
        yield Finding(
            "access",
            "note",
            "--legacy-open lets the original's devices in without a key: everybody on the network may act as one",
            "start the registry without it as soon as they are gone",
        )
    if not can_join(data):
        yield Finding(
            "access",
            "note",
            "nodes of this machine cannot join: it has no key of a node and no join token",
            "./fogline token create on the registry's machine: it prints the command for this one",
        )


def can_join(data: Path) -> bool:
    """Whether a node with this data folder has joined, or has a token to join with."""
    return bool(
        _secret(data / "identity") or _secret(data / JOIN_TOKEN.parent) or os.environ.get(f"{PREFIX}JOIN_TOKEN")
    )


def _secret(folder: Path) -> list[Path]:
    """The files in `folder` that nobody else may read."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return [file for file in files if not any(file.match(pattern) for pattern in NO_SECRETS)]
