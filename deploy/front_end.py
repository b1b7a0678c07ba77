"""Leave of the dashboard's libraries what its pages load: `python -m deploy.front_end`, where its image is built, after
`npm ci`. The rest is sources and styles in forty colours."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from ui.assets import LIBRARIES, LUCIDE, NODE_MODULES, Assets


def kept(modules: Path) -> set[Path]:
    """What stays of the folder: what is served, each library's version and licence, and npm's own list."""
    found = {modules / LUCIDE / "icons.json", modules / ".package-lock.json"}
    for library in LIBRARIES:
        folder = modules / library.package
        found |= {folder / inside for inside in library.files.values()}
        found |= {folder / "package.json", *folder.glob("LICEN[CS]E*"), *folder.glob("license*")}
    return found


def main(modules: Path) -> None:
    """Raises SystemExit when something is missing that pages load."""
    stays = kept(modules)
    for path in sorted(modules.rglob("*"), reverse=True):  # what a folder holds comes before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in stays:
            path.unlink()
    # cli/prepare.py looks for this: without it a dashboard that starts would run npm.
    lock = (modules.parent / "package-lock.json").read_bytes()
    (modules / ".fogline").write_text(hashlib.sha256(lock).hexdigest())
    missing = Assets(modules=modules).missing()
    if missing:
        sys.exit(missing)


if __name__ == "__main__":
    main(NODE_MODULES)
