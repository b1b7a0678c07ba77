"""Datagrams say who sent them, fit into a packet, and are nothing else."""

from __future__ import annotations

import hmac
import random
import string
import uuid

import msgspec
import pytest

from mesh import datagram
from mesh.datagram import AnswerDatagram, BeatDatagram
from mesh.wire import Load

SECRET = bytes(range(32))
KEY = datagram.node_key(SECRET, "node", "boot")
BEAT = BeatDatagram(node_id="node", boot_id="boot", number=7, orders=1_795_000_000_000, load=Load(fps=24.8), stamp=3)
ANSWER = AnswerDatagram(node_id="node", echo=7, stamp=4, orders=5, lease_seconds=3, seconds=1, says="full", spread=2.5)


def key_of(_message: object) -> bytes:
    return KEY


def test_what_was_sealed_is_opened() -> None:
    """With the same key, every field comes back."""
    assert datagram.open_beat(datagram.seal(BEAT, KEY), key_of) == BEAT
    assert datagram.open_answer(datagram.seal(ANSWER, KEY), key_of) == ANSWER


def test_a_beat_is_no_answer() -> None:
    """Nobody can send a datagram back to where it came from and be believed."""
    assert datagram.open_answer(datagram.seal(BEAT, KEY), key_of) is None
    assert datagram.open_beat(datagram.seal(ANSWER, KEY), key_of) is None
    swapped = datagram.seal(BEAT, KEY)
    assert datagram.open_answer(swapped[:1] + b"a" + swapped[2:], key_of) is None


def test_every_changed_bit_is_seen() -> None:
    """In the version, the kind, the signature and the body."""
    sealed = datagram.seal(BEAT, KEY)
    for place in range(len(sealed)):
        for bit in (1, 128):
            forged = bytearray(sealed)
            forged[place] ^= bit
            assert datagram.open_beat(bytes(forged), key_of) is None, place


@pytest.mark.parametrize(
    ("node_id", "boot_id", "secret"), [("other", "boot", SECRET), ("node", "old", SECRET), ("node", "boot", b"?")]
)
def test_a_key_is_one_boots_alone(node_id: str, boot_id: str, secret: bytes) -> None:
    """Another node's, an earlier boot's and another mesh's key open nothing."""
    other = datagram.node_key(secret, node_id, boot_id)
    assert datagram.open_beat(datagram.seal(BEAT, other), key_of) is None


def test_no_key_opens_nothing() -> None:
    """A receiver that has no key for the sender refuses it."""
    assert datagram.open_beat(datagram.seal(BEAT, KEY), lambda _beat: None) is None


def test_garbage_is_refused_quietly() -> None:
    """Whatever comes in is None and no exception, signed or not."""
    chance = random.Random(4)
    for _ in range(3000):
        junk = chance.randbytes(chance.randrange(0, 1400))
        assert datagram.open_beat(junk, key_of) is None
        assert datagram.open_beat(b"\x01b" + junk, key_of) is None
    wrong: list[object] = [
        None,
        [],
        {},
        [1, 2],
        ["node"],
        ["node", "boot", -1, 0, {}, 0],
        ["<b>", "boot", 1, 0, {}, 0],
        "x" * 300,
    ]
    for value in wrong:
        body = msgspec.msgpack.encode(value)
        signed = b"\x01b" + hmac.digest(KEY, b"\x01b" + body, "sha256")[:16] + body
        assert datagram.open_beat(signed, key_of) is None, value


def test_the_longest_beat_fits() -> None:
    """Whatever a node has to say: the reason is shortened, ids have their limits."""
    ident = "n" * 100
    for reason in ("\U0001f600" * 2000, string.printable * 20):
        load = Load(direct=10**6, viewers=10**6, fps=99_999.123456789, cpu_percent=1234.5678, no_signal=reason)
        beat = BeatDatagram(
            node_id=ident,
            boot_id=ident,
            number=2**63 - 1,
            orders=2**63 - 1,
            load=datagram.trimmed(load),
            stamp=2**63 - 1,
        )
        sealed = datagram.seal(beat, KEY)
        assert len(sealed) <= datagram.MAX_BYTES
        assert datagram.open_beat(sealed, key_of) == beat
    short = Load(no_signal="the source refuses connections")
    assert datagram.trimmed(short) is short


def test_a_beat_that_says_everything_fits() -> None:
    """With ids as nodes have them, the longest reason, and all that can be known of a machine."""
    load = Load(
        direct=10**6,
        viewers=10**6,
        fps=99_999.123456789,
        cpu_percent=99.9,
        ram_percent=99.9,
        accelerator_percent=99.9,
        temperature=104.7,
        clock_skew=-31_536_000.123,
        no_signal="\U0001f600" * 2000,
    )
    ident = str(uuid.UUID(int=2**128 - 1))
    most = 2**63 - 1
    trimmed = datagram.trimmed(load)
    beat = BeatDatagram(node_id=ident, boot_id=ident, number=most, orders=most, load=trimmed, stamp=most)
    sealed = datagram.seal(beat, KEY)
    assert len(sealed) <= datagram.MAX_BYTES
    assert datagram.open_beat(sealed, key_of) == beat
