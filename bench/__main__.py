"""`./fogline bench`: runs scenarios; prints tables; writes one JSON file, and plots and Markdown when asked."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import TARGET_HEAD, Sample, Target, markdown, summary, summary_tables, table
from bench.machine import ROOT, load, machine, machine_line
from bench.processes import Failed, Missing
from bench.session import Bench, scratch

SCENARIOS = (
    "fanout",
    "endtoend",
    "detections",
    "ingest",
    "slow",
    "latency",
    "overload",
    "registry",
    "failover",
    "dashboard",
    "soak",
)
BUSY = 0.3  # cores that others take, from which on figures are doubtful
Ran = tuple[dict[str, Any], list[Target]]


def main() -> None:
    given = _arguments()
    if given.list:
        for name in SCENARIOS:
            print(f"{name:<12}{_module(name).TITLE}")
        print(f"{'accuracy':<12}accuracy of the detectors on labelled pictures")
        return
    names = given.scenarios or list(SCENARIOS)
    if "accuracy" in names:
        names.remove("accuracy")
        code = subprocess.call([sys.executable, "-m", "bench.accuracy", str(given.data)], cwd=ROOT)
        if code or not names:
            sys.exit(code)
    here = machine()
    print(machine_line(here))
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / f"bench-{datetime.datetime.now():%Y%m%d-%H%M%S}.json"
    report: dict[str, Any] = {"machine": here, "command": " ".join(sys.argv[1:]), "scenarios": []}
    failed = False
    with scratch() as folder:
        bench = Bench(
            1 if given.quick else given.rounds, given.quick, given.data.resolve(), folder,
            real_cameras=given.real_cameras, minutes=given.minutes, mjpg_streamer=given.mjpg_streamer,
            only=tuple(given.only),
        )  # fmt: skip
        for name in names:
            found, targets = _run(name, bench)
            failed = failed or bool(found["problem"])
            report["scenarios"].append(found)
            file.write_text(json.dumps(report, indent=1) + "\n")  # a run that is ended early keeps what it has
            _show(found, targets)
            if given.markdown:
                given.markdown.write_text(as_markdown(report))
    print(f"\nEverything, each round by itself: {file}")
    if given.plots:
        from bench.plots import draw  # noqa: PLC0415  it makes an environment of its own

        draw(file, ROOT / "docs" / "pictures", bench)
    sys.exit(1 if failed else 0)


def _run(name: str, bench: Bench) -> Ran:
    """One scenario; what stops it is part of its report and stops no other."""
    module = _module(name)
    bench.commands, bench.notes = {}, []
    print(f"\n{name}: {module.TITLE}", flush=True)
    before, begun = load(), time.monotonic()
    if before > BUSY:
        bench.note(f"others took {before:.1f} cores of this machine before the run: trust ratios at most")
    samples: list[Sample] = []
    problem = ""
    try:
        samples = module.run(bench)
    except (Missing, Failed) as why:
        problem = str(why)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
    targets: list[Target] = module.targets(samples)
    found = {
        "name": name,
        "title": module.TITLE,
        "seconds": round(time.monotonic() - begun, 1),
        "load_before_cores": round(before, 2),
        "settings": {"rounds": bench.rounds, "quick": bench.quick, "real_cameras": bench.real_cameras},
        "commands": bench.commands,
        "notes": bench.notes,
        "problem": problem,
        "samples": [asdict(sample) for sample in samples],
        "summary": summary(samples),
        "targets": [target.as_json() for target in targets],
    }
    return found, targets


def _show(found: dict[str, Any], targets: Sequence[Target]) -> None:
    print("\n\n".join(table(head, rows) for head, rows in summary_tables(found["summary"])))
    if targets:
        print()
        print(table(TARGET_HEAD, [target.row() for target in targets]))
    for note in found["notes"]:
        print(f"note: {note}")
    if found["problem"]:
        print(f"not measured: {found['problem']}")


def as_markdown(report: dict[str, Any]) -> str:
    """The results as Markdown: targets first, then each scenario's medians."""
    parts = [f"Measured on {machine_line(report['machine'])}.", ""]
    rows = []
    for found in report["scenarios"]:
        for target in found["targets"]:
            kept = {key: value for key, value in target.items() if key not in ("figure", "met")}
            rows.append(Target(**{**kept, "rounds": tuple(kept["rounds"])}).row())
    if rows:
        parts += [markdown(TARGET_HEAD, rows), ""]
    for found in report["scenarios"]:
        parts += [f"### {found['name']}: {found['title']}", ""]
        for head, rows in summary_tables(found["summary"]):
            parts += [markdown(head, rows), ""]
        parts += [f"- {note}" for note in found["notes"]]
        if found["problem"]:
            parts.append(f"- not measured: {found['problem']}")
        parts.append("")
    return "\n".join(parts)


def _module(name: str) -> Any:
    return importlib.import_module(f"bench.scenarios.{name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./fogline bench", description=__doc__)
    known = (*SCENARIOS, "accuracy")
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(known)}; all but accuracy when none"
    )
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run, not how fast")
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "results", help="folder of the JSON file")
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data", help="photographs and models")
    parser.add_argument("--only", action="append", default=[], metavar="CASE", help="a case of failover; repeatable")
    parser.add_argument("--mjpg-streamer", type=Path, help="the binary, where there is one")
    parser.add_argument("--minutes", type=float, default=10, help="length of the soak (10)")
    parser.add_argument("--real-cameras", action="store_true", help="camera nodes instead of one cheap replay process")
    parser.add_argument("--plots", action="store_true", help="write docs/pictures/bench-*.png")
    parser.add_argument("--markdown", type=Path, help="write the results as Markdown to this file")
    given = parser.parse_args()
    unknown = set(given.scenarios) - set(known)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    return given


if __name__ == "__main__":
    main()
