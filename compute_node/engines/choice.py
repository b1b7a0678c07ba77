"""The fastest engine for a model on this machine: each candidate is measured once, and the result is remembered.

`DATA/engines/` holds one small JSON file for each model and machine; deleting it makes the next start measure again.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from compute_node.engines import available, candidates, compile_on, found, version
from compute_node.engines.base import CompiledModel, Outputs
from mesh.errors import FoglineError, ModelRefused, SetupProblem
from mesh.logs import logger
from mesh.machine import this_machine

ROUNDS = 3  # the candidates take turns, because machines drift; the best counts: what else runs can only slow them
SINGLE_SECONDS, CROWD_SECONDS = 0.04, 0.06  # of one turn: 0.4 s a candidate in all, with the unmeasured first calls
MARGIN = 1.05  # faster by less is noise: the earlier candidate stays
log = logger(__name__)

Compile = Callable[[str], CompiledModel]
Agree = Callable[[Outputs, Outputs], str | None]
"""Says in words how far a candidate's outputs (second) are from the reference's (first); None where they agree."""


class Figures(msgspec.Struct, frozen=True):
    """Pictures a second of one caller, and of as many at once as the device can use."""

    single: float
    crowd: float

    @property
    def score(self) -> float:
        """A node sees both loads: neither may be bought with the other."""
        return math.sqrt(self.single * self.crowd)

    @property
    def words(self) -> str:
        return f"{self.single:.0f}/s alone, {self.crowd:.0f}/s crowded"


class Choice(msgspec.Struct, frozen=True):
    """What was found. model: its name when it was measured. engine: the winner. figures: of all that ran.
    left_out: why the others are not among them."""

    model: str
    engine: str
    figures: dict[str, Figures]
    left_out: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. sha256: of the model's file. picture: uint8 [H, W, 3] on which it is tried. name: for people."""

    name: str
    path: Path
    sha256: str
    picture: NDArray[np.uint8]
    agree: Agree


def choose(question: Question, preference: str, data: Path) -> CompiledModel:
    """The model, compiled on the fastest candidate that `preference` allows, remembered under `data`.

    Measures for about half a second a candidate where nothing is remembered; one candidate is never measured. Raises
    NotFound for an unknown preference, SetupProblem where no engine works, ModelRefused where the model is at fault.
    """
    names = candidates(preference)
    cache = data / "engines" / "tensorrt"

    def compile_(name: str) -> CompiledModel:
        return compile_on(name, question.path, cache)

    if len(names) == 1:
        return compile_(names[0])
    memory = data / "engines" / f"{_key(question.sha256, names)}.json"
    known = _recall(memory)
    if known is not None and known.engine in names:
        try:
            compiled = compile_(known.engine)
        except FoglineError as error:
            log.warning("engine no longer works", model=question.name, engine=known.engine, reason=error.detail)
        else:
            _tell("engine remembered", known)
            return compiled
    compiled, choice = fastest(question.name, names, compile_, question.picture, question.agree)
    _tell("engine chosen", choice)
    _remember(memory, choice)
    return compiled


def fastest(
    model: str, names: Sequence[str], compile_: Compile, picture: NDArray[np.uint8], agree: Agree
) -> tuple[CompiledModel, Choice]:
    """Compile and measure `model` on each of `names`, keep the winner and free the others.

    The first CPU in `names` is the reference: who disagrees with it, fails or raises is left out with the reason.
    Raises ModelRefused or SetupProblem with every reason where none is left.
    """
    ready: dict[str, CompiledModel] = {}
    left_out: dict[str, str] = {}
    errors: list[Exception] = []
    reference: Outputs | None = None
    for name in sorted(names, key=lambda name: not name.endswith(":cpu")):
        try:
            compiled = compile_(name)
        except Exception as error:  # noqa: BLE001  a driver may raise anything: its engine is left out, and says why
            left_out[name], errors = _words(error), [*errors, error]
            continue
        try:
            outputs = [np.array(output) for output in compiled(picture)]
            problem = agree(reference, outputs) if reference is not None else None
        except Exception as error:  # noqa: BLE001  as above
            problem, errors = _words(error), [*errors, error]
        if problem is None:
            reference = outputs if reference is None else reference
            ready[name] = compiled
        else:
            left_out[name] = problem
            compiled.close()
    figures, failed = measure(ready, picture)
    for name, reason in failed.items():
        left_out[name] = reason
        ready.pop(name).close()
    if not ready:
        reasons = "; ".join(left_out.values())
        raise ModelRefused(reasons) if any(isinstance(e, ModelRefused) for e in errors) else SetupProblem(reasons)
    winner = next(name for name in names if name in ready)
    for name in names:
        if name in ready and figures[name].score > figures[winner].score * MARGIN:
            winner = name
    for name, compiled in ready.items():
        if name != winner:
            compiled.close()
    return ready[winner], Choice(model, winner, figures, left_out)


def measure(
    models: Mapping[str, CompiledModel], picture: NDArray[np.uint8]
) -> tuple[dict[str, Figures], dict[str, str]]:
    """How fast each is, in turns, and why some could not be measured. One call at least of each load."""
    singles: dict[str, list[float]] = {name: [] for name in models}
    crowds: dict[str, list[float]] = {name: [] for name in models}
    failed: dict[str, str] = {}
    # First everybody alone: an engine may change to another variant once calls overlap.
    for load, results, seconds in (("alone", singles, SINGLE_SECONDS), ("crowd", crowds, CROWD_SECONDS)):
        for turn in range(ROUNDS):
            for name, model in models.items():
                if name in failed:
                    continue
                try:
                    if load == "crowd" and turn == 0:
                        model.expect_crowd()
                    callers = model.parallel if load == "crowd" else 1
                    results[name].append(rate(lambda m=model: m(picture), callers, seconds))  # type: ignore[misc]
                except Exception as error:  # noqa: BLE001  a driver may raise anything, also on a later call
                    failed[name] = _words(error)
    figures = {
        name: Figures(round(max(singles[name]), 1), round(max(crowds[name]), 1))
        for name in models
        if name not in failed
    }
    return figures, failed


def rate(call: Callable[[], object], callers: int, seconds: float) -> float:
    """Calls a second that `callers` threads get done in about `seconds`, at least one each, after one unmeasured."""
    barrier = threading.Barrier(callers)
    counts: list[tuple[int, float]] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            call()
            barrier.wait(60)
            began = time.perf_counter()
            count = 0
            while count == 0 or time.perf_counter() - began < seconds:
                call()
                count += 1
            counts.append((count, time.perf_counter() - began))
        except Exception as error:  # noqa: BLE001  raised again below, in the caller's own thread
            barrier.abort()
            errors.append(error)

    threads = [threading.Thread(target=work, name=f"measure {n}", daemon=True) for n in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return sum(count / took for count, took in counts)


def remembered(data: Path) -> list[Choice]:
    """The latest choice of each model that is remembered under `data`, by the model's name."""
    files = sorted((data / "engines").glob("*.json"), key=lambda file: file.stat().st_mtime)
    latest = {choice.model: choice for file in files if (choice := _recall(file)) is not None}
    return [latest[model] for model in sorted(latest)]


def _words(error: Exception) -> str:
    return error.detail if isinstance(error, FoglineError) else f"{type(error).__name__}: {str(error)[:300]}"


def _key(sha256: str, names: Sequence[str]) -> str:
    """One key for a model, the engines in their versions, and the devices: whatever changes, it is measured anew."""
    engines = sorted({name.partition(":")[0] for name in available()})
    parts = [
        sha256,
        *names,
        *(f"{engine} {version(engine)}" for engine in engines),
        *(f"{device.name} {device.title}" for device in found()),
        this_machine().cpu,
        str(os.cpu_count()),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _recall(file: Path) -> Choice | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Choice)
    except (OSError, msgspec.MsgspecError):
        return None  # not there, or damaged: it is measured again


def _remember(file: Path, choice: Choice) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}.new")
        fresh.write_bytes(msgspec.json.encode(choice))
        fresh.replace(file)
    except OSError as error:
        log.warning("choice not remembered", file=str(file), reason=error.strerror or str(error))


def _tell(event: str, choice: Choice) -> None:
    figures = "; ".join(f"{name} {each.words}" for name, each in choice.figures.items())
    left_out = "; ".join(f"{name}: {reason}" for name, reason in choice.left_out.items())
    log.info(
        event, model=choice.model, engine=choice.engine, figures=figures, **({"left_out": left_out} if left_out else {})
    )
