"""Passwords: what makes a good one, how they are kept, and how many are checked at once."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mesh.errors import InvalidInput, Unavailable

LEAST: Final = 10  # characters
OWN_LEAST: Final = 6  # characters besides the name
DIFFERENT: Final = 4  # characters that are not the same
AT_ONCE: Final = 2  # that are checked in one process: each takes 19 MiB and a core for some 30 ms
WAIT_SECONDS: Final = 2.0  # that a check may wait for its turn
# The most frequent ones of ten and more characters in published leaks, and what suggests itself here.
_LEAKED: Final = """
    1234567890 12345678910 0123456789 0987654321 1234567891 1122334455 1029384756 9876543210 qwertyuiop qwertyuiop123
    qwerty12345 qwerty123456 1qaz2wsx3edc 1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4t5 zaq12wsxcde3 asdfghjkl123 zxcvbnm123
    asdfghjklzxcvbnm abcdefghij abcdefghijk abc123456789 password12 password123 password1234 password12345
    passwordpassword passw0rd123 p@ssw0rd123 p@ssword123 password123! password2025
    password2026 welcome123 welcome1234
    letmein123 letmein1234 iloveyou123 iloveyou1234 sunshine123 football123 baseball123 princess123 superman123
    michael123 jennifer123 changeme123 changeme1234 changemenow administrator administrator1 adminadmin admin12345
    admin123456 admin1234567 rootrootroot default123 guestguest testtesttest test123456 fogline123 fogline1234
    foglinefogline factory123 camera1234 qazwsxedcrfv 1234qwerasdf qwer1234asdf passwort123 passwort1234 motdepasse
    contraseña123 woaini1314 woaini520520 5201314520
"""
COMMON: Final = frozenset(_LEAKED.split())
# OWASP's first choice for argon2id.
OWASP: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16)
T = TypeVar("T")


def require_good(password: str, name: str) -> None:
    """Raises InvalidInput for a password that is guessed first. name: whose it is to be."""
    plain = _normal(password).casefold()
    if len(_normal(password)) < LEAST:
        raise _bad(f"it has fewer than {LEAST} characters")
    if plain in COMMON or plain.strip("!.?# ") in COMMON:
        raise _bad("it is one of the first that are tried")
    if len(set(plain)) < DIFFERENT:
        raise _bad("it repeats a few characters")
    if len(plain.replace(name.casefold(), "")) < OWN_LEAST:
        raise _bad("it is little more than the name")


class Passwords:
    """Hashes and checks with argon2id. Any thread may call; at most `at_once` do their work at a time."""

    def __init__(
        self, hasher: PasswordHasher = OWASP, *, at_once: int = AT_ONCE, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._hasher = hasher
        self._turns = threading.BoundedSemaphore(at_once)
        self._wait = wait_seconds
        self._nobodys = ""

    def hash(self, password: str) -> str:
        """Raises Unavailable when too many others wait."""
        return self._in_turn(lambda: self._hasher.hash(_normal(password)))

    def matches(self, hashed: str, password: str) -> bool:
        """Whether `password` is the one of `hashed`; with an empty one it takes as long and is False. Raises
        Unavailable when too many others wait."""
        return self._in_turn(lambda: self._verify(hashed, _normal(password)))

    def is_outdated(self, hashed: str) -> bool:
        """Whether it was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(hashed)

    def _verify(self, hashed: str, password: str) -> bool:
        # Before it is known for whom it is needed: who is first must not wait longer for an unknown name.
        self._nobodys = self._nobodys or self._hasher.hash(secrets.token_urlsafe(16))
        try:
            self._hasher.verify(hashed or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return False
        return bool(hashed)

    def _in_turn(self, work: Callable[[], T]) -> T:
        if not self._turns.acquire(timeout=self._wait):
            raise Unavailable("too many people sign in at this moment; try again", retry_after=2)
        try:
            return work()
        finally:
            self._turns.release()


def _normal(password: str) -> str:
    """The same characters however a keyboard composes them."""
    return unicodedata.normalize("NFC", password)


def _bad(why: str) -> InvalidInput:
    return InvalidInput(f"choose another password: {why}", field="password")
