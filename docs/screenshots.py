"""Makes the documentation's pictures from a real run: `python docs/screenshots.py` beside a running `./fogline up`."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Literal

import requests
from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
SETTLE = 4_000  # milliseconds until the live pictures have come


def main(dashboard: str = "http://127.0.0.1:8080", registry: str = "http://127.0.0.1:5050") -> None:
    """Take every picture."""
    PICTURES.mkdir(exist_ok=True)
    made = requests.post(f"{registry}/v1/sessions", json={"camera": "demo", "algorithm": "yolo"}, timeout=10)
    made.raise_for_status()
    session = f"{dashboard}/s/{made.json()['session_id']}"
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        shots: tuple[tuple[str, str, int, int, Literal["light", "dark"]], ...] = (
            ("session", session, 1280, 800, "light"),
            ("wall", dashboard, 1280, 800, "light"),
            ("session-dark", session, 1280, 800, "dark"),
            ("session-phone", session, 390, 844, "light"),
        )
        for name, url, width, height, scheme in shots:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page: Page = context.new_page()
            page.goto(url, wait_until="commit")
            page.wait_for_timeout(SETTLE)
            # 256 colours are enough for a page and make a repository's clone a third of the size.
            with Image.open(io.BytesIO(page.screenshot())) as shot:
                shot.convert("RGB").quantize(256).save(PICTURES / f"{name}.png", optimize=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
