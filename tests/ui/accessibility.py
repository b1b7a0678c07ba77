"""What axe-core finds on a page that would keep people from using it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.processes import ROOT

AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")
# Colours are measured on a page that stands still: a dialog that is just fading in has less contrast for a moment.
# What goes on for ever (a place that still waits for its picture) is not waited for, and nothing for long.
_RUN = "async () => { const isEnding = one => isFinite(one.effect.getComputedTiming().endTime);"
_RUN += " const ends = document.getAnimations().filter(isEnding);"
_RUN += " const still = Promise.all(ends.map(one => one.finished.catch(() => {})));"
_RUN += " await Promise.race([still, new Promise(done => setTimeout(done, 3000))]);"
_RUN += " return (await axe.run(document, { resultTypes: ['violations'] })).violations; }"


def axe(page: Page) -> list[str]:
    """The serious and critical findings, each in words with the elements that it is about; none when all is well."""
    if not AXE.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("axe-core is not installed: ./fogline test installs it")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(_RUN)
    return [_words(one) for one in found if one["impact"] in GRAVE]


def _words(finding: dict[str, Any]) -> str:
    places = "; ".join(f"{' '.join(map(str, node['target']))}: {_last(node)}" for node in finding["nodes"][:5])
    return f"{finding['impact']}: {finding['id']} ({finding['help']}) at {places}"


def _last(node: dict[str, Any]) -> str:
    """The remedy, which axe says in several lines."""
    lines = [line.strip() for line in str(node.get("failureSummary") or "").splitlines() if line.strip()]
    return lines[-1] if lines else str(node.get("html"))
