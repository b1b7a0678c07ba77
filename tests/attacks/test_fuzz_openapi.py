"""Each service is called as its own description says, and as it says not: nothing that comes in makes a defect.

A whole run, which prints the counts: FOGLINE_FUZZ_CASES=60000 ./fogline test tests/attacks/test_fuzz_openapi.py -s
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote, urlencode

import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode

from mesh import doors, proof
from mesh.credentials import NodeCredentials
from tests.attacks.fuzzing import SECONDS, Caller, look_at, trying
from tests.attacks.locked_house import House, locked_house, proof_for

SLOW = ("/v1/discovered", "/api/discovered")  # they ask the network for seconds, and take no parameter
ONCE = ("/v1/signing-keys",)  # takes nothing; a thousand keys would be trusted for a day, and slow everything down
# Of all cases: what takes most has most. The rest is for who shows nothing.
BEYOND = 9
# Mostly what is there, or little is looked at; and a compute node waits two seconds for a session that may be coming.
WHICH = st.sampled_from([0] * 12 + [1, 2] * 4 + [BEYOND])
SHARES = {"registry": 0.5, "camera": 0.08, "compute": 0.07, "ui": 0.25}
STRANGERS = 0.1
KNOWN = (True, False)
Guests = dict[tuple[str, bool], NodeCredentials]
REFUSED = (401, 403, 404, 405, 413, 414, 415, 429, 431)
pytestmark = pytest.mark.timeout(SECONDS)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Somebody watches its session all the time, or each look at it would wait for a first picture."""
    with locked_house(tmp_path_factory.mktemp("fuzz")) as made:
        stream = f"{made.registry.url}/v1/sessions/{made.session['session_id']}/stream"
        with requests.get(stream, headers=made.registry.shown, stream=True, timeout=30) as watched:

            def watch() -> None:
                while watched.raw.read1(65536):
                    pass

            threading.Thread(target=watch, daemon=True).start()
            yield made


@pytest.fixture(scope="module")
def guests(house: House) -> Guests:
    """A camera node for each test, by its service and whether it asks as those who may; they join before anybody has
    tried wrong join tokens, for then nobody may from this address."""
    return {(service, known): house.join("camera", f"fuzz-{service}-{known}") for service in SHARES for known in KNOWN}


class Target:
    """One service: its description, and what is there by the names of its paths' variables. known: whether it is asked
    by those who may."""

    def __init__(self, house: House, guests: Guests, service: str, *, known: bool) -> None:
        self.caller = Caller(house.services[service].url)
        self._known = known
        self._receiver = house.receiver(service)
        self._table = {name.replace("<path:", "<"): door for name, door in doors.SERVICES[service].items()}
        self._admin = house.registry.shown
        self._node = guests[service, known]
        self._own = self._node.node_id
        description = requests.get(f"{self.caller.url}/openapi.json", headers=self._admin, timeout=10).json()
        schema = schemathesis.openapi.from_dict(description)
        found: list[Any] = [one.ok() for one in cast("Any", schema.get_all_operations())]
        self.operations = [one for one in found if one.path not in SLOW]
        self._there = {
            "session_id": [house.session["session_id"]],
            "node_id": [self._own, *house.ids.values()],
            "camera_id": [house.ids["camera"]],
            "algorithm": ["echo"],
            "path": ["echo/image.jpg"],
            "view": ["stream", "image", "snapshot"],
        }

    def try_all(self, share: float) -> None:
        """share: of all cases. Those calls that take nothing are called once or twice."""
        taking = [one for one in self.operations if one.path not in ONCE and _takes(one)]
        for operation in self.operations:
            self._try(operation, share / len(taking) if operation in taking else 0.0)

    def _try(self, operation: Any, share: float) -> None:
        good, bad = (
            operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        )

        @trying(share)
        @given(case=st.one_of(good, bad) if _takes(operation) else good, there=WHICH)
        def one(case: Any, there: int) -> None:
            self._send(case, there)

        one()

    def _send(self, case: Any, there: int) -> None:
        """One case, looked at. there: which of those that there are the path shall name; beyond them the made up."""
        path, method = case.path, case.method.upper()
        for name, made_up in (case.path_parameters or {}).items():
            # What the tests need must not be removed: others look at whether removing works.
            real = self._there.get(name, []) if method != "DELETE" else []
            value = (
                quote(real[there % len(real)])
                if real and there != BEYOND
                else quote(str(made_up), safe="%", errors="replace")
            )
            path = path.replace(f"{{{name}}}", value)
        query = urlencode(_texts(case.query or {}), doseq=True, errors="replace")
        target = f"{path}?{query}" if query else path
        body, headers = self._body(case, there)
        name = f"{method} {case.operation.path.replace('{', '<').replace('}', '>')}"
        if self._known:
            headers |= self._shown(name, method, proof.target(path, query), body)
        answer = self.caller.send(method, target, headers, body)
        look_at(answer, f"{method} {target:.500} {body[:500]!r}")
        door = self._table.get(name)
        if not self._known and (door is None or not door.public):
            assert answer.status_code in REFUSED or answer.headers.get("Location", "").startswith("/sign-in"), name

    def _shown(self, name: str, method: str, target: str, body: bytes) -> dict[str, str]:
        """An admin's key, and a signature where the door is for nodes alone."""
        door = self._table.get(name)
        if door is not None and door.scope is None and door.nodes:
            return proof_for(self._node, self._receiver, method, target, body)
        return self._admin

    def _body(self, case: Any, there: int) -> tuple[bytes, dict[str, str]]:
        """What is sent. A manifest is mostly of the node that sends it, or nobody would look further."""
        if case.media_type is None or type(case.body).__name__ == "NotSet":
            return b"", {}
        body = case.body
        if isinstance(body, dict) and "node_id" in body and there < 3:
            body = body | {"node_id": self._own}
        if isinstance(body, bytes):
            sent = body
        elif isinstance(body, str) and "json" not in case.media_type:
            sent = body.encode("utf-8", "replace")
        else:
            sent = json.dumps(body, default=repr).encode()
        return sent, {"Content-Type": case.media_type}


def _takes(operation: Any) -> bool:
    """Whether a call takes anything."""
    return bool(len(operation.query) or len(operation.body) or len(operation.path_parameters))


def _texts(query: dict[str, Any]) -> dict[str, Any]:
    """Values as they stand in a query."""
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, default=repr) for name, value in query.items()
    }


@pytest.mark.parametrize("service", sorted(SHARES))
def test_no_call_makes_a_defect(house: House, guests: Guests, service: str) -> None:
    """Whoever may call it: every route answers every input, right and wrong, with what it is, and goes on."""
    target = Target(house, guests, service, known=True)
    target.try_all(SHARES[service])
    target.caller.is_there()
    print(f"\n{service}, with a credential: {target.caller.tally}")  # noqa: T201  what a whole run is made for


@pytest.mark.parametrize("service", sorted(SHARES))
def test_who_shows_nothing_gets_nothing(house: House, guests: Guests, service: str) -> None:
    """Whatever a stranger sends, no route that is not public does anything but refuse it."""
    target = Target(house, guests, service, known=False)
    target.try_all(STRANGERS / len(SHARES))
    target.caller.is_there()
    print(f"\n{service}, without: {target.caller.tally}")  # noqa: T201  what a whole run is made for
