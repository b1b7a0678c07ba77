"""People: their names, roles and passwords. There is always an admin who can sign in, once there was one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import msgspec

from mesh import codec
from mesh.access import Principal, Role
from mesh.access_wire import Link, NewUser, SetupRequest, SignedIn, User, UserChange, UserRequest
from mesh.errors import Conflict, FoglineError, InvalidInput, NotFound, RegistryAway, Unauthorized, Unavailable
from registry.access import backup, passwords, sign_ins
from registry.access.audit import Asker, Audit
from registry.access.book import Book
from registry.access.links import FIRST, Links
from registry.access.lockouts import Lockouts
from registry.access.passwords import Passwords
from registry.access.person import Person, ident_of
from registry.access.sign_ins import SignIn, SignIns

MOST: Final = 1000
ALONE: Final = "people:changing"  # the counter by which one at a time changes people
ALONE_SECONDS: Final = 5.0  # after which whoever did so counts as dead
PATIENCE_SECONDS: Final = 6.0  # for which others wait
LAST_ADMIN: Final = "the only admin who can sign in: make another person admin first"


class People:
    """Any thread may call any method; all of them raise RegistryAway.

    revoke: called with the principal's id of each sign-in that is ended.
    """

    def __init__(
        self, book: Book, audit: Audit, revoke: Callable[[str], None], passwords: Passwords | None = None
    ) -> None:
        self._book = book
        self._audit = audit
        self._passwords = passwords or Passwords()
        self._lockouts = Lockouts(book)
        self._sign_ins = SignIns(book, revoke)
        self.links = Links(book)
        self._listeners: list[Callable[[], None]] = []
        self._begun = False  # whether the book was ever seen begun

    def listen(self, changed: Callable[[], None]) -> None:
        """`changed` is called when somebody's rights or sign-ins were changed here."""
        self._listeners.append(changed)

    # --- who is there

    def needed(self) -> bool:
        """Whether nobody is there who could let others in: a first admin has to be made."""
        if any(one.role == "admin" and one.can_sign_in for one in self._all().values()):
            return False
        self.require_book()
        return True

    def require_book(self) -> None:
        """A book that was wiped knows nobody until it is put back from the copy: nobody is to be told that they are
        unknown. Raises RegistryAway then."""
        if not backup.is_empty(self._book):
            self._begun = True
        elif self._begun:
            raise RegistryAway("the registry's Redis has lost who may get in; it is put back now", retry_after=1)

    def now(self) -> float:
        """Unix seconds of the book's clock."""
        return self._book.now()

    def all(self) -> list[User]:
        """By name."""
        counts, pending = self._sign_ins.counts(), self.links.pending()
        return [self._shown(one, counts[ident], ident in pending) for ident, one in sorted(self._all().items())]

    def one(self, name: str) -> User:
        """Raises NotFound."""
        ident = ident_of(name)
        return self._shown(self._known(name)[0], self._sign_ins.counts()[ident], ident in self.links.pending())

    # --- what admins do

    def add(self, wish: UserRequest, by: Asker) -> NewUser:
        """Raises Conflict for a name that is taken, InvalidInput for a password that is no good."""
        hashed = ""
        if wish.password is not None:
            passwords.require_good(wish.password, wish.name)
            hashed = self._passwords.hash(wish.password)
        with self._alone():
            person = self._new(wish.name, wish.role, hashed)
        link = None if hashed else self._link(person)
        self._audit.note(by.who, by.address, "person added", f"{person.name} ({person.role})")
        return NewUser(user=self.one(person.name), link=link)

    def change(self, name: str, wish: UserChange, by: Asker) -> User:
        """Raises NotFound, Conflict for the last admin, InvalidInput for a password that is no good."""
        before, _ = self._known(name)
        if wish.password is not None:
            passwords.require_good(wish.password, before.name)
        hashed = self._passwords.hash(wish.password) if wish.password is not None else None
        ends = hashed is not None or (wish.disabled is True and not before.disabled)

        def changed(one: Person) -> Person:
            return msgspec.structs.replace(
                one,
                role=wish.role or one.role,
                disabled=one.disabled if wish.disabled is None else wish.disabled,
                hash=one.hash if hashed is None else hashed,
                era=_word() if ends else one.era,
            )

        with self._alone():
            after = self._rewrite(name, changed)
        if ends:
            self._sign_ins.end_all(ident_of(name))
            self.links.drop(ident_of(name))
        if hashed is not None:
            self._lockouts.clear(name)
        self._tell()
        for what, done in (
            (f"role of {after.name}: {after.role}", after.role != before.role),
            (f"password of {after.name}", hashed is not None),
            (f"{after.name} switched {'off' if after.disabled else 'on'}", after.disabled != before.disabled),
        ):
            if done:
                self._audit.note(by.who, by.address, "person changed", what)
        return self.one(name)

    def remove(self, name: str, by: Asker) -> None:
        """Raises NotFound, Conflict for the last admin."""
        ident = ident_of(name)
        with self._alone():
            person, _ = self._known(name)
            self._require_admin_besides(person)
            self._sign_ins.end_all(ident)
            self.links.drop(ident)
            self._book.remove("user", ident)
        # One who signed in at this very moment: it is of no use without the person, and what it opened ends here.
        self._sign_ins.end_all(ident)
        self._tell()
        self._audit.note(by.who, by.address, "person removed", person.name)

    def new_link(self, name: str, by: Asker) -> Link:
        """A one-time link for a person who has lost the password. Raises NotFound, Conflict for one who is off."""
        person, _ = self._known(name)
        if person.disabled:
            raise Conflict(f"{person.name} is switched off: switch it on first")
        link = self._link(person)
        self._audit.note(by.who, by.address, "link made", person.name)
        return link

    def sign_out_everywhere(self, name: str, by: Asker) -> None:
        """End all sign-ins of a person. Raises NotFound."""
        person = self._rewrite(name, lambda one: msgspec.structs.replace(one, era=_word()))
        self._sign_ins.end_all(ident_of(name))
        self._tell()
        self._audit.note(by.who, by.address, "signed out everywhere", person.name)

    # --- what people do

    def sign_in(self, name: str, password: str, address: str, via: str = "") -> SignedIn:
        """via: the dashboard's address, where it signs somebody in whose own is `address`. Raises Unauthorized, TooMany
        after too many wrong ones, Unavailable when too many others do so."""
        attempt = self._lockouts.begin(name, address)
        try:
            person = self._find(name)
            hashed = person.hash if person is not None and person.can_sign_in else ""
            right = self._passwords.matches(hashed, password)
            if not right:
                self.require_book()
        except FoglineError:
            self._lockouts.void(attempt)
            raise
        if not right or person is None:
            self._refuse(person, address, self._lockouts.wrong(attempt))
        self._lockouts.right(attempt)
        fresh = self._passwords.hash(password) if self._passwords.is_outdated(hashed) else None
        now = self._book.now()

        def signed_in(one: Person) -> Person:
            renewed = fresh is not None and one.hash == hashed
            return msgspec.structs.replace(one, last_sign_in=now, hash=fresh if renewed and fresh else one.hash)

        try:
            self._rewrite(name, signed_in)
        except NotFound:
            raise _ended() from None
        # The era as it was when the password was right: who changed it meanwhile has ended this one, too.
        return self._begin(person, address, via)

    def set_up(self, wish: SetupRequest, address: str, via: str = "") -> SignedIn:
        """Choose a password with a one-time link, and sign in. via: as in `sign_in`. Raises Unauthorized for a link
        that is good no more, InvalidInput for a name or password that is no good, Conflict for a name that is taken."""
        link = self.links.find(wish.token)
        person = self._find(link.user) if link and link.user != FIRST else None
        first = link is not None and link.user == FIRST and self.needed()
        if link is None or (not first and (person is None or person.uid != link.uid or person.disabled)):
            self._audit.note(None, address, "link refused", outcome="used, too old or never made")
            raise _used_link()
        name = person.name if person else wish.name
        if name is None:
            raise InvalidInput("name: choose one, the first admin's", field="name")
        passwords.require_good(wish.password, name)
        hashed = self._passwords.hash(wish.password)
        with self._alone():
            if person is None:
                self._require_free(name)
            if (first and not self.needed()) or not self.links.take(wish.token):
                raise _used_link()  # also when the person was removed meanwhile: the links go first
            if person is None:
                self._new(name, "admin", hashed)
            now = self._book.now()
            person = self._rewrite(
                name, lambda one: msgspec.structs.replace(one, hash=hashed, era=_word(), last_sign_in=now)
            )
        self._sign_ins.end_all(ident_of(name))
        self.links.drop(link.user)
        self._lockouts.clear(name)
        signed_in = self._begin(person, address, via, "first admin made" if first else "password chosen with a link")
        self._tell()
        return signed_in

    def change_password(self, ident: str, old: str, new: str, by: Asker) -> None:
        """ident: the hash of the bearer that asks; this sign-in goes on, the person's others end. Raises Unauthorized
        when `old` is wrong or the sign-in has ended, TooMany, InvalidInput."""
        sign_in = self._sign_ins.find(ident)
        person = self._find(sign_in.user) if sign_in else None
        if person is None:
            raise _ended()
        attempt = self._lockouts.begin(person.name, by.address)
        try:
            right = self._passwords.matches(person.hash, old)
        except FoglineError:
            self._lockouts.void(attempt)
            raise
        if not right:
            self._refuse(person, by.address, self._lockouts.wrong(attempt), "the old password is wrong")
        self._lockouts.right(attempt)
        passwords.require_good(new, person.name)
        hashed, era = self._passwords.hash(new), _word()
        self._rewrite(person.name, lambda one: msgspec.structs.replace(one, hash=hashed, era=era))
        self._sign_ins.renew(ident, era)
        self._sign_ins.end_all(ident_of(person.name), keep=ident)
        self.links.drop(ident_of(person.name))
        self._tell()
        self._audit.note(by.who, by.address, "password changed", person.name)

    def sign_out(self, ident: str, by: Asker) -> None:
        """ident: the hash of the bearer."""
        self._sign_ins.end(ident)
        self._tell()
        self._audit.note(by.who, by.address, "sign-out", by.name)

    def find(self, ident: str) -> tuple[Principal, Role, SignIn]:
        """Whose sign-in it is. ident: the hash of the bearer. Raises Unauthorized."""
        sign_in = self._sign_ins.find(ident)
        person = self._find(sign_in.user) if sign_in else None
        if sign_in is None or person is None or person.disabled or person.era != sign_in.era:
            raise _ended()
        return person.principal(ident), person.role, sign_in

    def count_sign_ins(self, name: str) -> int:
        """How many sign-ins a person has."""
        return self._sign_ins.counts()[ident_of(name)]

    # --- how

    def _find(self, name: str) -> Person | None:
        found = self._book.get("user", ident_of(name))
        return codec.decode(found[0], Person) if found else None

    def _known(self, name: str) -> tuple[Person, int]:
        found = self._book.get("user", ident_of(name))
        if found is None:
            raise NotFound.among("person", name, (one.name for one in self._all().values()))
        return codec.decode(found[0], Person), found[1]

    def _all(self) -> dict[str, Person]:
        return {ident: codec.decode(text, Person) for ident, text in self._book.all("user").items()}

    def _shown(self, one: Person, sign_ins: int, link_pending: bool) -> User:
        return User(
            name=one.name,
            role=one.role,
            created_at=one.created_at,
            disabled=one.disabled,
            last_sign_in=one.last_sign_in,
            sign_ins=sign_ins,
            link_pending=link_pending,
            locked_until=self._lockouts.locked_until(one.name),
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one at a time, in all replicas, changes who is there: two admins must not remove each other."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._book.count(ALONE, ALONE_SECONDS) != 1:
            if time.monotonic() > deadline:
                raise Unavailable("others change people at the same moment; try again", retry_after=1)
            time.sleep(0.02)
        try:
            yield
        finally:
            self._book.forget(ALONE)

    def _new(self, name: str, role: Role, hashed: str) -> Person:
        self._require_free(name)
        person = Person(name=name, role=role, created_at=self._book.now(), uid=_word(), era=_word(), hash=hashed)
        self._book.put("user", ident_of(name), codec.dump(person), revision=0)
        return person

    def _rewrite(self, name: str, changed: Callable[[Person], Person]) -> Person:
        """What takes an admin away is done while `_alone`. Raises NotFound, Conflict for the last admin."""
        while True:
            before, revision = self._known(name)
            after = changed(before)
            if not (after.role == "admin" and after.can_sign_in):
                self._require_admin_besides(before)
            if self._book.put("user", ident_of(name), codec.dump(after), revision=revision):
                return after

    def _require_free(self, name: str) -> None:
        people = self._all()
        if ident_of(name) in people:
            raise Conflict(f"there is already somebody called {people[ident_of(name)].name}: choose another name")
        if len(people) >= MOST:
            raise Conflict(f"there are {MOST} people, which is the most: remove some first")

    def _require_admin_besides(self, person: Person) -> None:
        """Raise Conflict when `person` is the last admin who can sign in."""
        if person.role == "admin" and person.can_sign_in:
            others = (one for one in self._all().values() if one.uid != person.uid)
            if not any(one.role == "admin" and one.can_sign_in for one in others):
                raise Conflict(f"{person.name} is {LAST_ADMIN}")

    def _link(self, person: Person) -> Link:
        token, expires_at = self.links.make(ident_of(person.name), person.uid)
        return Link(name=person.name, token=token, expires_at=expires_at)

    def _begin(self, person: Person, address: str, via: str, action: str = "sign-in") -> SignedIn:
        bearer, sign_in = self._sign_ins.begin(ident_of(person.name), person.era, address, via)
        who = person.principal(sign_ins.hash_of(bearer))
        self._audit.note(who, address, action, person.name)
        return SignedIn(token=bearer, expires_at=sign_in.expires_at, name=person.name, role=person.role)

    def _refuse(
        self, person: Person | None, address: str, seconds: int | None, why: str = "the name or the password is wrong"
    ) -> NoReturn:
        # An unknown name may be a password that somebody typed into the wrong field: it is written down nowhere.
        subject = person.name if person else "an unknown name"
        locked = f"; the next try is possible in {seconds} seconds" if seconds else ""
        outcome = "wrong password" if person else "unknown name"
        noted = f"{outcome}: locked for {seconds} s" if seconds else outcome
        self._audit.note(None, address, "sign-in refused", subject, noted)
        raise Unauthorized(f"{why}{locked}", reason="wrong", retry_after=seconds)

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()


def _word() -> str:
    return secrets.token_hex(8)


def _ended() -> Unauthorized:
    return Unauthorized("this sign-in has ended or never was: sign in again", reason="ended")


def _used_link() -> Unauthorized:
    return Unauthorized(
        "this link was used, is older than 24 hours or never was: ask an admin for a new one"
        " (`fogline user link NAME`)",
        reason="used",
    )
