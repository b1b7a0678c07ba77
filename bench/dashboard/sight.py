"""What a browser shows and what it costs: counted from outside the page's own code."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import psutil
from playwright.sync_api import Browser, CDPSession, FloatRect, Page, ViewportSize, sync_playwright

from bench.processes import Missing

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"),
    "--enable-precise-memory-info",
]
VIEW: ViewportSize = {"width": 1440, "height": 900}
# Counts every picture that is drawn into a tile, by the tile's name, and notes when the first one was. It hooks the
# browser's own functions, so that no page can count for itself.
COUNTING = """
(() => {
  const drawn = (window.__drawn = new Map());
  const note = (element) => {
    const tile = element.closest?.("[data-key]");
    const name = tile ? tile.dataset.key : element.src || "?";
    const known = drawn.get(name) ?? { count: 0, first: performance.now(), last: 0 };
    known.count += 1;
    known.last = performance.now();
    drawn.set(name, known);
  };
  const context = window.ImageBitmapRenderingContext?.prototype;
  if (context) {
    const transfer = context.transferFromImageBitmap;
    context.transferFromImageBitmap = function (bitmap) {
      transfer.call(this, bitmap);
      if (bitmap) note(this.canvas);
    };
  }
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...given) {
    draw.apply(this, given);
    note(this.canvas);
  };
  document.addEventListener("load", (event) => {
    if (event.target instanceof HTMLImageElement) note(event.target);
  }, true);
  window.__vitals = { layoutShift: 0, longTasks: 0, largest: 0 };
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) window.__vitals.layoutShift += one.value;
  }).observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) window.__vitals.longTasks += Math.max(0, one.duration - 50);
  }).observe({ type: "longtask", buffered: true });
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) window.__vitals.largest = one.startTime;
  }).observe({ type: "largest-contentful-paint", buffered: true });
})();
"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without windows."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        raise Missing("no Chromium or Chrome on this machine: apt install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield running
        finally:
            running.close()


@contextmanager
def page_of(running: Browser) -> Iterator[tuple[Page, CDPSession]]:
    """A fresh page that is counted, and the protocol behind it."""
    with running.new_context(viewport=VIEW) as context:
        page = context.new_page()
        page.add_init_script(COUNTING)
        yield page, context.new_cdp_session(page)


def drawn(page: Page) -> dict[str, dict[str, float]]:
    """By tile: how many pictures were drawn, and when the first and the last, in milliseconds since the opening."""
    found: dict[str, dict[str, float]] = page.evaluate("Object.fromEntries(window.__drawn)")
    return found


def busy_seconds(protocol: CDPSession) -> float:
    """What the main thread of the page has worked so far."""
    metrics = {one["name"]: one["value"] for one in protocol.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def heap_mb(protocol: CDPSession) -> float:
    """What the page's objects take, after a collection of garbage."""
    protocol.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in protocol.send("Performance.getMetrics")["metrics"]}
    return float(metrics["JSHeapUsedSize"]) / 1e6


def memory_mb() -> float:
    """What all processes of the browser hold for themselves, shared pages in their parts."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "chrom" in child.name():
                total += child.memory_full_info().pss
    return total / 1e6


def vitals(page: Page) -> dict[str, Any]:
    """Figures as Lighthouse has them, from the browser's own observers: milliseconds, and the layout's shift."""
    found: dict[str, Any] = page.evaluate(
        """() => ({
          first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
          largest_paint_ms: window.__vitals.largest,
          blocked_ms: window.__vitals.longTasks,
          layout_shift: window.__vitals.layoutShift,
          loaded_ms: performance.getEntriesByType("navigation")[0]?.domContentLoadedEventEnd ?? 0,
        })"""
    )
    return found


def wait_until(look: Any, seconds: float, every: float = 0.05) -> bool:
    """Whether `look()` came true within so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if look():
            return True
        time.sleep(every)
    return False


def seen_fps(page: Page, protocol: CDPSession, box: FloatRect, seconds: float) -> float:
    """How often a second what is shown within `box` (CSS pixels) really changed on the screen."""
    shown: list[int] = []

    def take(event: dict[str, Any]) -> None:
        protocol.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(event["data"]), np.uint8), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            return
        scale = picture.shape[1] / VIEW["width"]
        left, top = int(box["x"] * scale), int(box["y"] * scale)
        part = picture[top : top + int(box["height"] * scale), left : left + int(box["width"] * scale)]
        shown.append(hash(part.tobytes()))

    protocol.on("Page.screencastFrame", take)
    protocol.send(
        "Page.startScreencast", {"format": "jpeg", "quality": 40, "maxWidth": 720, "maxHeight": 450, "everyNthFrame": 1}
    )
    page.wait_for_timeout(500)
    shown.clear()
    began = time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    took = time.monotonic() - began
    changes = sum(1 for before, after in pairwise(shown) if before != after)
    protocol.send("Page.stopScreencast")
    protocol.remove_listener("Page.screencastFrame", take)
    return changes / took
