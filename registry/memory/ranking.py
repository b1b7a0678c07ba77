"""Names in the order of a number that each of them has, as in one of Redis's sorted sets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

Number = TypeVar("Number", int, tuple[int, int])


class Ranking(Generic[Number]):
    """The lowest number comes first; names with the same one are in the alphabet's order."""

    def __init__(self) -> None:
        self._numbers: dict[str, Number] = {}
        self._order: list[tuple[Number, str]] = []

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def __iter__(self) -> Iterator[str]:
        return (name for _, name in self._order)

    def __getitem__(self, place: int) -> str:
        """The name at this place of the order, from 0."""
        return self._order[place][1]

    def get(self, name: str) -> Number | None:
        return self._numbers.get(name)

    def put(self, name: str, number: Number) -> None:
        """Take `name` in, or give it another number."""
        self.drop(name)
        self._numbers[name] = number
        insort(self._order, (number, name))

    def drop(self, name: str) -> None:
        """Take `name` out if it is in."""
        number = self._numbers.pop(name, None)
        if number is not None:
            del self._order[bisect_left(self._order, (number, name))]

    def until(self, number: Number, most: int | None = None) -> list[str]:
        """The names with this number or a lower one, `most` of them at most."""
        end = self.count(number)
        return [name for _, name in self._order[: end if most is None else min(end, most)]]

    def count(self, number: Number) -> int:
        """How many names have this number or a lower one."""
        return bisect_right(self._order, number, key=lambda pair: pair[0])
