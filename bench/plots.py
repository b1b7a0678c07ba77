"""Plots of a run's JSON file, for the documentation. matplotlib has an environment of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __package__:
    from bench.session import Bench

WIDTH, HEIGHT, DPI = 8.0, 4.2, 120


def draw(file: Path, folder: Path, bench: Bench) -> None:
    """Write `bench-*.png` of what `file` holds into `folder`."""
    from bench.environment import python_of  # noqa: PLC0415  the plots' own interpreter lacks what it needs
    from bench.processes import Failed, Missing  # noqa: PLC0415

    try:
        python = python_of("plots", bench)
        bench.folder.mkdir(parents=True, exist_ok=True)
        with bench.start("plots", [str(python), str(Path(__file__)), str(file), str(folder)]) as process:
            print(process.wait(120).strip())
    except (Missing, Failed) as why:
        print(f"no plots: {why}")


def medians(report: dict[str, Any], scenario: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [row for s in report["scenarios"] if s["name"] == scenario for row in s["summary"]]
    return found


def fanout(report: dict[str, Any], axes: Any) -> bool:
    """Viewer-frames per CPU-second over viewers."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in medians(report, "fanout"):
        size, _, viewers = row["case"].partition(" × ")
        if size == "720p" and viewers:
            lines.setdefault(row["who"], []).append((int(viewers), row["values"]["vf_per_cpu_s"]["median"]))
    for who, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=who, linewidth=2.5 if who == "fogline" else 1.2)
    axes.set(xscale="log", yscale="log", xlabel="viewers at 720p, 30 fps", ylabel="viewer-frames per CPU-second")
    axes.legend()
    return bool(lines)


def overload(report: dict[str, Any], axes: Any) -> bool:
    """Rates and ages over cameras."""
    rows = medians(report, "overload")
    counts = [int(row["case"].split()[0]) for row in rows]
    other = axes.twinx()
    axes.plot(counts, [row["values"]["fps"]["median"] for row in rows], marker="o", label="all cameras, fps")
    for name, style in (("age_p50_ms", "--"), ("age_p99_ms", ":")):
        other.plot(counts, [row["values"][name]["median"] for row in rows], style, color="tab:red", label=name)
    axes.set(xlabel="cameras at 30 fps", ylabel="annotated frames per second", ylim=(0, None))
    other.set(ylabel="age in ms", ylim=(0, None))
    axes.legend(loc="lower left")
    other.legend(loc="lower right")
    return bool(rows)


PLOTS = {"fanout": fanout, "overload": overload}


def main() -> None:
    import matplotlib as mpl  # type: ignore[import-not-found]  # noqa: PLC0415

    mpl.use("agg")
    from matplotlib import pyplot  # noqa: PLC0415

    report, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for name, plot in PLOTS.items():
        figure, axes = pyplot.subplots(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
        if plot(report, axes):
            axes.grid(alpha=0.3)
            figure.savefig(folder / f"bench-{name}.png")
            print(f"written: {folder / f'bench-{name}.png'}")


if __name__ == "__main__":
    main()
