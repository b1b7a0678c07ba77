"""Beats and answers as signed UDP datagrams: thirty times cheaper than by HTTP, where a network lets them through.

A datagram is a version byte, a byte for its kind, 16 bytes of HMAC-SHA256 over all the rest, and a MessagePack array.
Node and registry sign with the same key, which is the node's and this boot's alone; the registry gives it by HTTP.

Every answer carries a stamp, which only the registry that made it can read, and the node puts the newest one into its
next beat. So the registry knows from the beat alone that the node heard it a moment ago: a node that hears nothing, a
datagram that somebody recorded, and one from before the registry's start renew no lease.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from mesh.manifest import Identifier
from mesh.wire import Load

MAX_BYTES: Final = 1200  # of one datagram: fits into one packet on every network, tunnels included
MAX_REASON: Final = 190  # characters of `Load.no_signal` in a beat: at most 760 bytes of them
VERSION: Final = 1
_HEADER: Final = 2  # bytes before the signature: version and kind
_SIGNATURE: Final = 16  # bytes of it: half of SHA-256, as in IPsec; a guess is right once in 2^128

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
Says = Literal["renewed", "prove", "full", "away", "news"]


class BeatDatagram(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A node is alive. number: grows with each beat of one boot, from 1. orders: the number of the orders that the node
    follows. stamp: of the newest answer heard; 0 before the first."""

    node_id: Identifier
    boot_id: Identifier
    number: Number
    orders: Number
    load: Load
    stamp: Number = 0


class AnswerDatagram(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the registry says to a node.

    echo: the number of the beat that is answered; 0 when it was not asked. stamp: for the node's next beat. orders: the
    newest number of the node's orders. lease_seconds, seconds: the lease that a beat by datagram renews, and the time
    between two such beats. says:

    - `renewed`: the lease runs anew from the sending of that beat.
    - `prove`: the beat counts for nothing, for its stamp shows not that the node hears the registry now. Beat again.
    - `full`: the registry needs a full beat, at a random moment within the next `spread` seconds.
    - `away`: the registry's Redis is away: nobody can move anything, so a lease that is held goes on.
    - `news`: there are new orders.
    """

    node_id: Identifier
    echo: Number
    stamp: Number
    orders: Number
    lease_seconds: Seconds
    seconds: Seconds
    says: Says
    spread: Seconds = 0.0


M = TypeVar("M", BeatDatagram, AnswerDatagram)
_KINDS: Final[dict[type, bytes]] = {BeatDatagram: b"b", AnswerDatagram: b"a"}
_encoder = msgspec.msgpack.Encoder()
_beats = msgspec.msgpack.Decoder(BeatDatagram)
_answers = msgspec.msgpack.Decoder(AnswerDatagram)


def node_key(secret: bytes, node_id: str, boot_id: str) -> bytes:
    """The key of one boot of one node, from the secret that the registries share."""
    return hmac.digest(secret, f"{node_id}|{boot_id}".encode(), "sha256")


def seal(message: BeatDatagram | AnswerDatagram, key: bytes) -> bytes:
    """The datagram of `message`. It never has more than MAX_BYTES when a beat's load was `trimmed`."""
    header = bytes((VERSION,)) + _KINDS[type(message)]
    body = _encoder.encode(message)
    return header + hmac.digest(key, header + body, "sha256")[:_SIGNATURE] + body


def open_beat(datagram: bytes, key_of: Callable[[BeatDatagram], bytes | None]) -> BeatDatagram | None:
    """The beat in `datagram`; None when it is none, or is not signed with the key that `key_of` gives for it."""
    return _open(datagram, b"b", _beats, key_of)


def open_answer(datagram: bytes, key_of: Callable[[AnswerDatagram], bytes | None]) -> AnswerDatagram | None:
    """The answer in `datagram`; None when it is none, or is not signed with the key that `key_of` gives for it."""
    return _open(datagram, b"a", _answers, key_of)


def trimmed(load: Load) -> Load:
    """`load` as it fits into a datagram."""
    if load.no_signal is None or len(load.no_signal) <= MAX_REASON:
        return load
    return msgspec.structs.replace(load, no_signal=load.no_signal[: MAX_REASON - 1] + "…")


def _open(
    datagram: bytes, kind: bytes, decoder: msgspec.msgpack.Decoder[M], key_of: Callable[[M], bytes | None]
) -> M | None:
    if not _HEADER + _SIGNATURE < len(datagram) <= MAX_BYTES or datagram[0] != VERSION or datagram[1:2] != kind:
        return None
    body = datagram[_HEADER + _SIGNATURE :]
    try:
        # Read before it is verified, for it says whose key to take: the decoder takes these types and nothing else.
        message = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    key = key_of(message)
    if key is None:
        return None
    expected = hmac.digest(key, datagram[:_HEADER] + body, "sha256")[:_SIGNATURE]
    return message if hmac.compare_digest(expected, datagram[_HEADER : _HEADER + _SIGNATURE]) else None
