"""The wall in a real browser: sixteen live tiles, what they cost, how soon they come and how they survive a node."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page

from bench.dashboard import sight
from bench.figures import Sample, Target, each_round, value
from bench.machine import ROOT
from bench.processes import Failed
from bench.session import Bench
from mesh.settings import DATA
from tests.cluster import Cluster

NAME = "dashboard"
TITLE = "the wall of sixteen live tiles in Chromium, beside a page of sixteen MJPEG pictures"
TILES = 16
CAMERAS, SESSIONS = 12, 4  # tiles that are cameras, and tiles that are sessions on a camera of their own
WALL = "Fogline's wall"
PLAIN = "sixteen <img> of MJPEG"
OPEN, STEADY, KILL = "opening", "watching", "kill -9 of a compute node"
OPENINGS = 5
WARM = 5.0  # seconds until the wall is as it stays
LAYOUT = "localStorage.setItem('fogline.wall.layout', '16')"


def run(bench: Bench) -> list[Sample]:
    data = Path(os.environ.get("FOGLINE_DATA") or ROOT / DATA.name).resolve()
    samples: list[Sample] = []
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(bench.folder, data))
        cluster.registry("registry", "--redis", "memory:")
        cluster.camera("host", "--host-cameras", str(TILES), "--width", "640", "--height", "360")
        cluster.compute("hall-1", "--slots", "8")
        cluster.compute("hall-2", "--slots", "8")
        dashboard = cluster.dashboard()
        cluster.healthy()
        names = _add_cameras(cluster)
        sessions = [cluster.open(name, pinned=True)["session_id"] for name in names[:SESSIONS]]
        for session in sessions:
            cluster.settled(session)
        browser = stack.enter_context(sight.browser())
        url = dashboard.running.url
        for number in range(bench.rounds):
            samples += _round(bench, browser, cluster, names, number)
        minutes = 0.2 if bench.quick else bench.minutes
        samples += _for_long(bench, browser, url, minutes)
    return samples


def _round(bench: Bench, browser: Browser, cluster: Cluster, names: Sequence[str], number: int) -> list[Sample]:
    """Both pages in turn, then an accident under the wall."""
    url = cluster.services["dashboard"].url
    opening = [_open(browser, url) for _ in range(1 if bench.quick else OPENINGS)]
    figures = {name: median(one[name] for one in opening) for name in opening[0]}
    bench.say(f"round {number + 1}: first picture after {figures['first_picture_ms']:.0f} ms")
    found = [Sample(WALL, OPEN, number, figures)]
    wall = _watch(browser, url, bench.seconds(10.0))
    bench.say(f"round {number + 1}: slowest tile {wall['slowest_tile_fps']:.1f} fps, idle {wall['idle_percent']:.0f} %")
    found.append(Sample(WALL, STEADY, number, wall))
    plain = _plain(browser, cluster, names, bench.seconds(10.0))
    bench.say(f"round {number + 1}: {plain['live_tiles']:.0f} of {TILES} pictures live on the plain page")
    found.append(Sample(PLAIN, STEADY, number, plain))
    gap = _kill(browser, cluster, url)
    bench.say(f"round {number + 1}: tiles moved again after {gap:.2f} s")
    found.append(Sample(WALL, KILL, number, {"worst_tile_seconds": gap}))
    return found


def _add_cameras(cluster: Cluster) -> list[str]:
    """As many cameras as there are tiles, run by one camera node; their names."""
    names = [f"Camera {number:02d}" for number in range(1, CAMERAS + SESSIONS)]
    for name in names:
        cluster.post("/v1/cameras", {"name": name, "source": "demo:", "width": 640, "height": 360, "fps": 20})

    def there() -> bool:
        states = cluster.states()
        return all(states.get(name) == "ready" for name in names)

    if not sight.wait_until(there, 60.0, 0.5):
        raise Failed(f"not every camera came: {cluster.states()}")
    return names


def _open_wall(page: Page, url: str) -> None:
    page.add_init_script(LAYOUT)
    page.goto(url, wait_until="commit")


def _open(browser: Browser, url: str) -> dict[str, float]:
    """From nothing to pictures, in a browser that has never been here."""
    with sight.page_of(browser) as (page, _):
        _open_wall(page, url)
        if not sight.wait_until(lambda: len(sight.drawn(page)) >= TILES, 20.0):
            raise Failed(f"only {len(sight.drawn(page))} of {TILES} tiles have a picture")
        page.wait_for_timeout(500)
        firsts = sorted(one["first"] for one in sight.drawn(page).values())
        return {"first_picture_ms": firsts[0], "all_pictures_ms": firsts[TILES - 1], **sight.vitals(page)}


def _watch(browser: Browser, url: str, seconds: float) -> dict[str, float]:
    """The wall as it stays."""
    with sight.page_of(browser) as (page, protocol):
        protocol.send("Performance.enable")
        _open_wall(page, url)
        page.wait_for_timeout(WARM * 1000)
        before, busy, began = sight.drawn(page), sight.busy_seconds(protocol), time.monotonic()
        page.wait_for_timeout(seconds * 1000)
        after, worked, took = sight.drawn(page), sight.busy_seconds(protocol) - busy, time.monotonic() - began
        focused = page.locator("[data-key].selected").first
        name = focused.get_attribute("data-key")
        rates = [
            (one["count"] - before.get(tile, {"count": 0})["count"]) / took
            for tile, one in after.items()
            if tile != name
        ]
        box = focused.bounding_box()
        if box is None:
            raise Failed("no tile is focused")
        return {
            "slowest_tile_fps": min(rates),
            "median_tile_fps": median(rates),
            "tiles": len(rates) + 1.0,
            "focused_fps": sight.seen_fps(page, protocol, box, min(seconds, 5.0)),
            "idle_percent": 100 * (1 - worked / took),
        }


def _plain(browser: Browser, cluster: Cluster, names: Sequence[str], seconds: float) -> dict[str, float]:
    """What one would write first: a page with one MJPEG picture for each camera."""
    host = next(node["url"] for node in cluster.get("/v1/nodes?kind=camera")["nodes"] if node["name"] == "host")
    nodes = {node["name"]: node["url"] for node in cluster.get("/v1/nodes?kind=camera")["nodes"]}
    pictures = "".join(f'<img width="320" src="{nodes.get(name, host)}/stream.jpg?width=480">' for name in names)
    with sight.page_of(browser) as (page, protocol):
        protocol.send("Performance.enable")
        page.set_content(f"<body>{pictures}</body>", wait_until="commit")
        page.wait_for_timeout(WARM * 1000)
        busy, began = sight.busy_seconds(protocol), time.monotonic()
        page.wait_for_timeout(seconds * 1000)
        worked, took = sight.busy_seconds(protocol) - busy, time.monotonic() - began
        live = page.evaluate("[...document.images].filter((image) => image.naturalWidth > 0).length")
        return {"live_tiles": float(live), "idle_percent": 100 * (1 - worked / took)}


def _kill(browser: Browser, cluster: Cluster, url: str) -> float:
    """Seconds until every tile of a killed compute node shows a new picture, with no click."""
    with sight.page_of(browser) as (page, _):
        _open_wall(page, url)
        page.wait_for_timeout(WARM * 1000)
        listed = cluster.get("/v1/sessions")["sessions"]
        victim = listed[0]["node_name"]
        hit = {one["camera"] for one in listed if one["node_name"] == victim}
        began = page.evaluate("performance.now()")
        cluster.services[victim].kill()

        # The node that died may have been about to send a picture: what comes within that time is no news.
        ashore: dict[str, float] = {}

        def moved() -> bool:
            current = {one["camera"]: one["node_name"] for one in cluster.get("/v1/sessions")["sessions"]}
            for tile, one in sight.drawn(page).items():
                camera = next((one for one in hit if one in tile), None)
                if camera and current.get(camera) not in (None, victim) and one["last"] > began + 300:
                    ashore.setdefault(camera, one["last"] - began)
            return len(ashore) >= len(hit)

        if not sight.wait_until(moved, 20.0):
            raise Failed(f"{len(hit) - len(ashore)} tiles stood still for 20 s after {victim} was killed")
        cluster.services[victim].again()
        if not sight.wait_until(lambda: cluster.states().get(victim) == "ready", 30.0, 0.2):
            raise Failed(f"{victim} did not come back")
        return max(ashore.values()) / 1000


def _for_long(bench: Bench, browser: Browser, url: str, minutes: float) -> list[Sample]:
    """What the browser's memory does while the wall stays open."""
    with sight.page_of(browser) as (page, protocol):
        protocol.send("Performance.enable")
        _open_wall(page, url)
        page.wait_for_timeout(30_000 if not bench.quick else 3000)
        before, heap = sight.memory_mb(), sight.heap_mb(protocol)
        began, busy = time.monotonic(), sight.busy_seconds(protocol)
        page.wait_for_timeout(minutes * 60_000)
        took = time.monotonic() - began
        idle = 100 * (1 - (sight.busy_seconds(protocol) - busy) / took)
        heap_after, after = sight.heap_mb(protocol), sight.memory_mb()
        bench.say(f"{minutes:g} minutes: {before:.0f} → {after:.0f} MB")
        figures: dict[str, Any] = {
            "minutes": minutes,
            "memory_mb_before": before,
            "memory_mb_after": after,
            "growth_percent": 100 * (after / before - 1),
            "heap_mb_before": heap,
            "heap_mb_after": heap_after,
            "idle_percent": idle,
        }
        return [Sample(WALL, "open for long", 0, figures)]


def targets(samples: Sequence[Sample]) -> list[Target]:
    asked: tuple[tuple[str, str, str, float | None, float | None], ...] = (
        ("first picture after opening, ms", OPEN, "first_picture_ms", None, 1500.0),
        ("slowest of 16 tiles, pictures a second", STEADY, "slowest_tile_fps", 1.0, None),
        ("focused tile, pictures a second", STEADY, "focused_fps", 15.0, None),
        ("main thread idle, %", STEADY, "idle_percent", 70.0, None),
        ("tiles move again after kill -9 of their node, seconds", KILL, "worst_tile_seconds", None, 2.5),
        ("growth of the browser's memory, %", "open for long", "growth_percent", None, 10.0),
    )
    found = []
    for words, case, name, least, most in asked:
        rounds = each_round(samples, partial(_figure, samples, case, name))
        if rounds:
            found.append(Target(words, rounds, at_least=least, at_most=most))
    return found


def _figure(samples: Sequence[Sample], case: str, name: str, number: int) -> float | None:
    return value(samples, WALL, case, number, name)
