"""How often somebody may be wrong: nobody finds a password by trying, and nobody is locked out by others for ever.

Wrong passwords are counted for a name from one address, for a name from anywhere, and for an address. From the 5th in
a row on a name is locked at the address for 30 s, twice as long each time, up to 15 minutes. From the 50th on it is
locked everywhere but where that person has signed in lately. Unknown names are treated alike. A try counts as wrong as
long as it goes on, so that many at once are no way around.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from typing import Final

from mesh.errors import TooMany
from registry.access.book import Book

HERE_MOST: Final = 5  # wrong ones in a row of a name at an address
ANYWHERE_MOST: Final = 50  # the same over all addresses
ADDRESS_MOST: Final = 20  # wrong ones of an address, whatever the names, within ADDRESS_SECONDS
ADDRESS_SECONDS: Final = 300.0
FIRST_SECONDS: Final = 30.0  # of a name's first lock
LONGEST_SECONDS: Final = 900.0
ROW_SECONDS: Final = 86_400.0  # after which a row is forgotten
KNOWN_SECONDS: Final = 30 * 86_400.0  # for which an address counts as the person's own
IPV6_PREFIX: Final = 64  # bits: one household or host has all addresses below


@dataclass(frozen=True, slots=True)
class Try:
    """One that goes on. name, address: as they are counted. here, anywhere: the two rows that it is in. held: the locks
    that it closed, each for so many seconds, until it turns out to be right."""

    name: str
    address: str
    here: str
    anywhere: str
    held: dict[str, float]


class Lockouts:
    """Any thread may call any method; all of them raise RegistryAway."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def begin(self, name: str, address: str) -> Try:
        """Somebody tries a password. Raises TooMany while it is locked. The caller says how it ended."""
        name, address = _mark(name), _network(address)
        now = self._book.now()
        anywhere = f"{name}:{self._book.count(f'era:{name}', 1, by=0)}"
        here = f"{anywhere}:{address}"
        known = self._book.count(f"known:{name}:{address}", 1, by=0) > 0
        left = max(self._left(place, now) for place in (here, address, *(() if known else (anywhere,))))
        if left > 0:
            raise _too_many(left)
        due: dict[str, float] = {}
        for row, most in ((here, HERE_MOST), (anywhere, ANYWHERE_MOST)):
            if self._book.count(f"wrong:{row}", ROW_SECONDS) >= most and not (known and row is anywhere):
                locks = self._book.count(f"locks:{row}", 1, by=0)
                due[row] = min(FIRST_SECONDS * 2 ** min(locks, 10), LONGEST_SECONDS)
        if self._book.count(f"wrong:{address}", ADDRESS_SECONDS) >= ADDRESS_MOST:
            due[address] = ADDRESS_SECONDS
        one = Try(name, address, here, anywhere, {})
        for place, seconds in due.items():
            if not self._close(place, seconds, now):
                # Another try at the same moment was the last that may be.
                self.void(one)
                raise _too_many(self._left(place, now))
            self._book.count(f"locks:{place}", ROW_SECONDS)
            one.held[place] = seconds
        return one

    def right(self, one: Try) -> None:
        """The password was right: the rows begin anew, and the address is the person's own."""
        for row in (one.here, one.anywhere):
            for what in ("wrong", "locks", "lock"):
                self._book.forget(f"{what}:{row}")
        self._book.count(f"wrong:{one.address}", ADDRESS_SECONDS, by=-1)
        if one.address in one.held:
            self._book.forget(f"lock:{one.address}")
        self._book.forget(f"lock:until:{one.name}")
        self._book.forget(f"known:{one.name}:{one.address}")
        self._book.count(f"known:{one.name}:{one.address}", KNOWN_SECONDS)

    def wrong(self, one: Try) -> int | None:
        """It was wrong; the seconds for which it is locked now, if it is."""
        if not one.held:
            return None
        if one.address in one.held:
            self._book.forget(f"wrong:{one.address}")  # when its lock is over, it begins anew
        seconds = max(one.held.values())
        self._book.forget(f"lock:until:{one.name}")
        self._close(f"until:{one.name}", seconds, self._book.now())
        return math.ceil(seconds)

    def void(self, one: Try) -> None:
        """Nobody looked whether it was right."""
        for row, seconds in ((one.here, ROW_SECONDS), (one.anywhere, ROW_SECONDS), (one.address, ADDRESS_SECONDS)):
            self._book.count(f"wrong:{row}", seconds, by=-1)
        for place in one.held:
            self._book.forget(f"lock:{place}")
            self._book.count(f"locks:{place}", ROW_SECONDS, by=-1)

    def locked_until(self, name: str) -> float | None:
        """Until when somebody who tried this name, somewhere, is locked out: Unix seconds."""
        now = self._book.now()
        left = self._left(f"until:{_mark(name)}", now)
        return now + left if left else None

    def clear(self, name: str) -> None:
        """The person has a new password: what was tried before counts no more."""
        self._book.count(f"era:{_mark(name)}", KNOWN_SECONDS)
        self._book.forget(f"lock:until:{_mark(name)}")

    def _close(self, place: str, seconds: float, now: float) -> bool:
        """Lock it for so long; whether nobody has done so at the same moment. The counter holds when that ends, in
        milliseconds."""
        until = round((now + seconds) * 1000)
        if self._book.count(f"lock:{place}", seconds, by=until) == until:
            return True
        self._book.count(f"lock:{place}", seconds, by=-until)
        return False

    def _left(self, place: str, now: float) -> float:
        """Seconds for which it is still locked."""
        until = self._book.count(f"lock:{place}", 1, by=0) / 1000
        return min(max(0.0, round(until - now, 2)), LONGEST_SECONDS)


def _too_many(left: float) -> TooMany:
    seconds = max(1, math.ceil(left))
    return TooMany(
        f"too many wrong passwords: try again in {seconds} seconds; who has forgotten theirs asks an admin for a link",
        retry_after=seconds,
    )


def _mark(name: str) -> str:
    """Of bounded length: whoever asks chooses the name."""
    return hashlib.sha256(name.lower().encode(errors="replace")).hexdigest()[:16]


def _network(address: str) -> str:
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return "?"
    if isinstance(one, ipaddress.IPv6Address):
        if one.ipv4_mapped is not None:
            return str(one.ipv4_mapped)
        return str(ipaddress.ip_network((int(one), IPV6_PREFIX), strict=False))
    return str(one)
