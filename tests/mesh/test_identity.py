"""What a node says of itself, from its settings."""

from __future__ import annotations

import pytest

from mesh.errors import SetupProblem
from mesh.identity import address_of, check, labels_of
from mesh.settings import NodeSettings


def test_labels_are_pairs() -> None:
    """Spaces around them do not count; a value may hold an equals sign's neighbours."""
    assert labels_of(("zone=hall-1", " line = 3 ", "path=a/b:c d")) == {
        "zone": "hall-1",
        "line": "3",
        "path": "a/b:c d",
    }
    assert labels_of(()) == {}


@pytest.mark.parametrize(
    "given",
    [("zone",), ("=x",), ("zone=",), ("zone=a", "zone=b"), ("z one=a",), ("zone=<b>",), ("zone=a=b",),
     ("z=" + "x" * 101,), tuple(f"k{n}=v" for n in range(33))],
)  # fmt: skip
def test_labels_that_are_none_are_refused_at_the_start(given: tuple[str, ...]) -> None:
    """In words that name the option."""
    with pytest.raises(SetupProblem, match="--label"):
        check(NodeSettings(label=given))


@pytest.mark.parametrize(
    "registry",
    ["", "http://127.0.0.1:5050", "http://127.0.0.1:5050, http://10.1.2.3:5050/"],
    ids=["found", "one", "two"],
)
def test_a_registry_may_be_named_found_or_several(registry: str) -> None:
    """A node's address faces the first one; without any, it faces other networks."""
    check(NodeSettings(registry=registry))
    assert address_of("", registry) == ("127.0.0.1" if registry else address_of("", "http://192.0.2.1:9"))
    assert address_of("http://cell-7:8000", registry) == "cell-7"


def test_one_wrong_registry_among_several_is_refused() -> None:
    """Before the node starts."""
    with pytest.raises(SetupProblem, match="--registry"):
        check(NodeSettings(registry="http://127.0.0.1:5050,10.1.2.3"))
