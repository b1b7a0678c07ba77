"""Reading Grafana's dashboards and asking what they ask, as Grafana would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import ROOT

OBSERVABILITY = ROOT / "deploy" / "observability"
BOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One query of one panel. kind: prometheus or loki."""

    board: str
    panel: str
    kind: str
    text: str

    def filled(self, variables: Mapping[str, str]) -> str:
        """With the values of the dashboard's variables in it."""
        everything = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h", **variables}
        return re.sub(r"\$(\w+)", lambda found: everything[found[1]], self.text)


def board(path: Path) -> Json:
    found: Json = json.loads(path.read_text())
    return found


def panels(document: Json) -> list[Json]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def queries(path: Path) -> Iterator[Query]:
    """Of all panels, in order."""
    document = board(path)
    for panel in panels(document):
        for target in panel["targets"]:
            yield Query(document["uid"], panel["title"], target["datasource"]["type"], target["expr"])


def variables(document: Json) -> dict[str, str]:
    """Of a dashboard: by name, what it asks for its values; empty where it asks nothing."""
    return {one["name"]: one.get("definition", "") for one in document["templating"]["list"]}
