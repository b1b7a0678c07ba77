"""What a node says of its machine is kept and listed as it came."""

from __future__ import annotations

import pytest

from mesh.wire import Beat, Load
from registry import standing
from registry.store import Pulse
from tests.registry.store.trial import LEASE, Trial

SAID = Load(cpu_percent=41.5, ram_percent=63.25, accelerator_percent=12.0, temperature=71.5, clock_skew=-0.0375)


@pytest.mark.parametrize("by", ["beat", "pulse"])
def test_the_load_of_a_machine_reaches_rows_vitals_and_lists(trial: Trial, by: str) -> None:
    """Full beats and datagrams alike; what it cannot know stays unsaid."""
    trial.compute("a")
    if by == "beat":
        trial.store.beat("a", Beat(boot_id="first", load=SAID), LEASE)
    else:
        trial.store.pulse([Pulse(node_id="a", boot_id="first", load=SAID)], LEASE)
    node = trial.node("a")
    assert node.load == SAID
    assert trial.store.vitals().nodes["a"].load == SAID
    assert SAID in [one.load for one in trial.store.snapshot().nodes]
    text = standing.written(node, b'{"name":"a"}')
    assert b'"load":{"cpu_percent":41.5,"ram_percent":63.25' in text
    assert b'"clock_skew":-0.0375' in text
    assert b"no_signal" not in text
