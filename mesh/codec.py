"""JSON in and out: typed records from untrusted bytes, with errors that name the field."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from mesh.errors import InvalidInput, MalformedBody, RegistryAway, TooLarge
from mesh.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH

T = TypeVar("T")
_known: set[Any] = set()
_learning = threading.Lock()
_PATH = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")


def learn(kind: type[T]) -> type[T]:
    """`kind`, of which msgspec knows all by now. It learns a record when it meets it first, and two threads that make
    it learn the same one at once bring the process down (0.22)."""
    if kind not in _known:
        with _learning:
            msgspec.json.Decoder(kind)
            _known.add(kind)
    return kind


def dump(value: Any) -> bytes:
    """`value` (records, dicts, lists) as JSON."""
    return msgspec.json.encode(value)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises MalformedBody or TooLarge; never anything else."""
    if len(body) > MAX_JSON_BYTES:
        raise TooLarge(f"the body has {len(body):,} bytes; at most {MAX_JSON_BYTES:,} are taken", limit=MAX_JSON_BYTES)
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise MalformedBody(f"the JSON is nested deeper than {MAX_JSON_DEPTH} levels", field="$") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(f"the body is not JSON: {error}", field="$") from None
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object", field="$")
    _check_depth(value)
    return value


def convert(value: Any, kind: type[T]) -> T:
    """`value` as a record of `kind`. Raises InvalidInput with the path of the field that is wrong."""
    try:
        return msgspec.convert(value, learn(kind), strict=True)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


def parse(body: bytes, kind: type[T]) -> T:
    """The JSON object in `body` as a record of `kind`; unknown fields are passed over."""
    return convert(parse_object(body), kind)


def decode(text: bytes | str, kind: type[T]) -> T:
    """JSON from one of our own as a `kind`. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=learn(kind))


def from_text(values: dict[str, str], kind: type[T]) -> T:
    """A record of `kind` from texts, such as a query string's: numbers and booleans are read from their digits."""
    try:
        return msgspec.convert(values, learn(kind), strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


def from_query(parameters: Mapping[str, str], kind: type[T]) -> T:
    """A record of `kind` from a query string's parameters. An empty one counts as missing: the original's page sends
    them."""
    return from_text({name: value for name, value in parameters.items() if value != ""}, kind)


def _invalid(text: str) -> InvalidInput:
    """msgspec's words, with the field's path in front."""
    found = _PATH.search(text)
    path = found.group("path") if found else ""
    words = text[: found.start()] if found else text
    missing = re.search(r"missing required field `([^`]+)`", words)
    if missing:
        path = f"{path}.{missing.group(1)}" if path else missing.group(1)
    where = path or "$"
    return InvalidInput(f"{where}: {words[:1].lower()}{words[1:]}", field=where)


def _check_depth(value: Any) -> None:
    """Walk without recursion: the input chooses the depth."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise MalformedBody(f"the JSON is nested deeper than {MAX_JSON_DEPTH} levels", field="$")


def parse_answer(body: bytes) -> dict[str, Any]:
    """The JSON object that a service of the mesh answered: trusted in size, as a list of 10,000 nodes is large.

    Raises RegistryAway for anything else, since then something that is no registry has answered.
    """
    try:
        value = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RegistryAway(f"the answer is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RegistryAway("the answer is not a JSON object")
    return value
