"""What nodes, cameras and original devices send is made up: manifests, beats, streams, datagrams, signatures.

The readers are called directly, many times, and the services that they stand in by HTTP and UDP. A whole run, which
prints the counts: FOGLINE_FUZZ_CASES=90000 ./fogline test tests/attacks/test_fuzz_mesh.py -s
"""

from __future__ import annotations

import base64
import json
import math
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compute_node.ingest import Ingest
from mesh import codec, datagram, manifest, multipart, proof
from mesh.access_wire import JoinRequest
from mesh.credentials import JOIN_TOKEN, NodeCredentials, presented
from mesh.datagram import BeatDatagram
from mesh.errors import InvalidInput, MalformedBody, Unauthorized
from mesh.joining import JOIN, check_join_proof
from mesh.keys import Key
from mesh.proof import Call
from mesh.wire import Beat, CameraAddress, Hosting, Load
from tests.attacks.fuzzing import SECONDS, Caller, look_at, trying
from tests.attacks.locked_house import House, Json, locked_house, proof_for

OWN = "fuzz"
NOW = 1_800_000_000.0
pytestmark = pytest.mark.timeout(SECONDS)

# --- what is sent

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4)
)
huge = st.sampled_from([10**400, -(10**400), 2**63, math.nan, math.inf, -1, 0, "", "x" * 3000, "\ud800", "a\0b", [[]]])
numbers = st.integers() | st.floats() | huge
words = st.text(max_size=30) | st.sampled_from(["<b>", "..", "/", "a\r\nb", "\u202e", "x" * 2001]) | huge
entries = st.fixed_dictionaries(
    {"id": words, "name": words}, optional={"path": words, "input": anything, "fps": numbers, "labels": numbers}
)


def manifests(**fixed: Any) -> st.SearchStrategy[Json]:
    """Some that are nearly right: few go far that are made up altogether."""
    right = {"schema": "fogline/1", "boot_id": "b", "host_name": "h", "name": "n", "slots": 1, "algorithm": []} | fixed
    wrong = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("schema", "boot_id", "host_name", "name", "FriendlyName", "ip_address", "source"), words),
            **dict.fromkeys(("slots", "serving", "port", "width", "height", "fps", "cores", "hosting"), numbers),
            "kind": st.sampled_from(["camera", "compute", "ui", ""]),
            "advertise_url": words | st.from_regex(r"https?://[^ ]{0,20}", fullmatch=True),
            "algorithm": st.lists(entries, max_size=3) | anything,
            "labels": anything,
            "accelerators": st.lists(words, max_size=3) | anything,
            "more": anything,
        },
    )
    return st.builds(lambda changed: right | changed, wrong)


beats = st.fixed_dictionaries(
    {"boot_id": st.just("b") | words},
    optional={
        "load": st.dictionaries(
            st.sampled_from(["direct", "viewers", "fps", "no_signal", "temperature"]), numbers | words
        ),
        "sessions": st.lists(
            st.dictionaries(
                st.sampled_from(["session_id", "token", "fps", "problem", "ready", "ticket"]), numbers | words
            ),
            max_size=3,
        )
        | anything,
    },
)
hostings = st.fixed_dictionaries(
    {"boot_id": st.just("b") | words, "address": words, "capacity": numbers},
    optional={"cameras": anything, "hosts": anything, "more": anything},
)
claims = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (
            "iss",
            "sub",
            "aud",
            "iat",
            "exp",
            "end",
            "jti",
            "htm",
            "htu",
            "bsh",
            "tkn",
            "m",
            "p",
            "n",
            "t",
            "s",
            "kind",
            "name",
        ),
        words | numbers,
    )
    | {"cnf": anything | st.fixed_dictionaries({"jwk": st.fixed_dictionaries({"x": words})})},
)
types = st.sampled_from([proof.PROOF, proof.CERTIFICATE, proof.TICKET, JOIN, "JWT", ""])
parts = st.sampled_from(
    [
        *(b"--x\r\n", b"--x", b"--", b"\r\n", b"\r\n\r\n", b"--x--\r\n", b"--y\r\n", b"\n\n", b":", b"\0"),
        *(b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: -1\r\n"),
        *(
            b"Content-Type: image/jpeg\r\n",
            b"X-Timestamp: nan\r\n",
            b"X-Frame: 1e99\r\n",
            b"X" * 3000,
            b"\xff\xd8\xff\xd9",
        ),
    ]
)
wires = st.lists(parts | st.binary(max_size=60), max_size=25)


def signed(key: Key, typ: str, said: Json) -> str:
    """A token of these claims, whatever they are: what a client that knows no rules would make."""
    head = {"typ": typ, "kid": key.kid, "alg": "EdDSA"}
    text = ".".join(_b64(json.dumps(one).encode()) for one in (head, said))
    return f"{text}.{_b64(key._private.sign(text.encode()))}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# --- the readers


@trying(0.15)
@given(
    manifests(kind="camera", node_id=OWN) | anything.filter(lambda one: isinstance(one, dict)),
    st.none() | st.sampled_from(["camera", "compute"]),
)
def test_a_manifest_is_taken_or_refused(document: Json, kind: Any) -> None:
    """In words that name the field, whatever it is; so is an original's document."""
    try:
        found = manifest.parse(codec.parse_object(json.dumps(document).encode()), kind)
    except (InvalidInput, MalformedBody):
        return
    assert found.node_id


@trying(0.15)
@given(beats | hostings | anything, st.sampled_from([Beat, Hosting, JoinRequest]))
def test_a_body_is_taken_or_refused(document: Any, kind: Any) -> None:
    """Beats, hostings and joins are records, or errors."""
    try:
        assert isinstance(codec.parse(json.dumps(document).encode(), kind), kind)
    except (InvalidInput, MalformedBody):
        return


@trying(0.2)
@given(wires, st.integers(1, 70), st.none() | st.sampled_from(["x", "--x", "", "(", "y"]))
def test_a_stream_is_read_whatever_comes(pieces: list[bytes], step: int, boundary: str | None) -> None:
    """However it is cut: nothing comes of it that was not sent, and no more is kept than that."""
    data, reader = b"".join(pieces), multipart.Reader(boundary)
    found = [one.body for start in range(0, len(data), step) for one in reader.feed(data[start : start + step])]
    assert all(body in data for body in found), data
    assert sum(map(len, found)) + len(reader._buffer) <= len(data), data


@trying(0.15)
@given(types, claims, st.booleans(), st.sampled_from(["", "x", "."]))
def test_what_is_signed_is_taken_or_refused(typ: str, said: Json, stranger: bool, behind: str) -> None:
    """Every claim of a proof, certificate, address or join may be anything, also in what the right key signed."""
    key = KEYS[stranger]
    text = signed(key, typ, said) + behind
    trusted, call = {KEYS[0].kid: KEYS[0].public}, Call("GET", "/x", "registry")
    for read in (
        lambda: proof.claimed_issuer(text),
        lambda: proof.read_proof(text, KEYS[0].public, call, NOW),
        lambda: proof.read_certificate(text, trusted, NOW),
        lambda: proof.read_ticket(text, trusted, call, NOW),
        lambda: check_join_proof(text, KEYS[0].public, OWN, "t", NOW),
    ):
        try:
            read()
        except Unauthorized:
            continue
        assert not stranger or read.__code__.co_names[1] == "claimed_issuer"


KEYS = Key.new(), Key.new()


@trying(0.05)
@given(st.text(max_size=60) | st.sampled_from(["Basic ====", "Basic /w==", "Bearer ", "Fogline a.b.c", "Basic Og=="]))
def test_a_header_shows_something_or_nothing(header: str) -> None:
    """An Authorization header may be anything."""
    shown = presented({"HTTP_AUTHORIZATION": header.encode("utf-8", "replace").decode("latin-1")}, None)
    assert shown is None or shown.kind in ("bearer", "proof")


@trying(0.1)
@given(st.binary(max_size=200), st.booleans(), st.binary(min_size=1, max_size=8), st.integers(0, 200))
def test_a_datagram_is_a_beat_or_nothing(noise: bytes, right: bool, flip: bytes, at: int) -> None:
    """One that was changed anywhere is nothing, whatever is in it."""
    key = b"k" * 32
    beat = BeatDatagram(node_id=OWN, boot_id="b", number=1, orders=0, load=Load())
    sealed = datagram.seal(beat, key)
    changed = sealed[:at] + flip + sealed[at + len(flip) :] if right else noise
    found = datagram.open_beat(changed, lambda _beat: key)
    assert found is None or changed == sealed


# --- the services


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with locked_house(tmp_path_factory.mktemp("fuzz"), "--legacy-open") as made:
        yield made


@pytest.fixture(scope="module")
def guest(house: House) -> NodeCredentials:
    """A camera node that is nothing but its key."""
    return house.join("camera", OWN)


@pytest.fixture(scope="module")
def callers(house: House) -> Iterator[dict[str, Caller]]:
    """Of each service; all answer when everything is over."""
    made = {name: Caller(one.url) for name, one in house.services.items()}
    yield made
    for name, caller in made.items():
        caller.is_there()
        print(f"\n{name}: {caller.tally}")  # noqa: T201  what a whole run is made for


@pytest.fixture(scope="module")
def registry(callers: dict[str, Caller]) -> Caller:
    return callers["registry"]


def post(guest: NodeCredentials, caller: Caller, path: str, document: Any) -> None:
    body = json.dumps(document).encode()
    headers = proof_for(guest, "registry", "POST", path, body)
    look_at(caller.send("POST", path, headers, body), f"{path} {body[:500]!r}")


@trying(0.05)
@given(document=manifests(kind="camera", node_id=OWN), beat=beats, hosting=hostings)
def test_a_registry_goes_on_whatever_nodes_say(
    guest: NodeCredentials, registry: Caller, document: Json, beat: Any, hosting: Any
) -> None:
    """A node that has joined sends manifests, beats and hostings of all kinds: each is answered, none by a defect."""
    post(guest, registry, "/v1/nodes", document)
    post(guest, registry, f"/v1/nodes/{OWN}/heartbeat", beat)
    post(guest, registry, f"/v1/nodes/{OWN}/cameras", hosting)


@trying(0.05)
@given(
    path=st.sampled_from(["/cam", "/device"]),
    document=st.dictionaries(
        st.sampled_from(["host_name", "name", "FriendlyName", "ip_address", "algorithm", "port", "x"]),
        words | st.lists(st.dictionaries(st.sampled_from(["path", "name", "category"]), words), max_size=2),
    ),
)
def test_a_registry_goes_on_whatever_originals_say(registry: Caller, path: str, document: Json) -> None:
    """Without a credential, with --legacy-open; the lists can be read after each."""
    body = json.dumps(document).encode()
    look_at(registry.send("POST", path, {}, body), f"{path} {body[:500]!r}")
    look_at(registry.send("GET", path, {}), path)


@trying(0.05)
@given(service=st.sampled_from(["registry", "camera", "compute", "ui"]), typ=types, said=claims, own=st.booleans())
@example(service="registry", typ=proof.PROOF, said={"iss": "\ud800"}, own=False)
@example(service="registry", typ=proof.PROOF, said={"iat": 10**400}, own=True)
@example(service="registry", typ=proof.PROOF, said={"iat": math.nan}, own=True)
@example(service="registry", typ=proof.PROOF, said={"bsh": "\u00e9"}, own=True)
@example(service="registry", typ=proof.PROOF, said={"jti": "\ud800"}, own=True)
@example(service="camera", typ=proof.PROOF, said={"iat": -(10**400)}, own=True)
def test_a_signature_of_anything_is_refused(  # noqa: PLR0917  what is made up comes by position
    house: House, guest: NodeCredentials, callers: dict[str, Caller], service: str, typ: str, said: Json, own: bool
) -> None:
    """By every service, as a proof, as a certificate and in an address; own: by the key of a node that has joined, in
    a proof that is right but for what is changed."""
    caller = callers[service]
    receiver, key = house.receiver(service), guest.key
    assert key is not None
    right = {
        "iss": OWN,
        "aud": receiver,
        "iat": time.time(),
        "jti": _b64(str(time.time_ns()).encode()),
        "htm": "GET",
        "htu": "/metrics",
    }
    text = signed(key if own else KEYS[1], typ, right | {"bsh": proof.digest(b"")} | said if own else said)
    held = guest.headers(Call("GET", "/"), b"")[proof.CERTIFICATE_HEADER]
    for target, headers in (
        ("/metrics", {"Authorization": f"Fogline {text}", proof.CERTIFICATE_HEADER: held}),
        ("/metrics", {"Authorization": f"Fogline {text}", proof.CERTIFICATE_HEADER: text}),
        (f"/metrics?ticket={text}", {}),
        ("/metrics", {"Authorization": f"Bearer {text}"}),
    ):
        answer = caller.send("GET", target, headers)
        look_at(answer, f"{service} {target:.300} {said}")
        assert answer.status_code in (401, 403, 414, 429, 431), (answer.status_code, said)


@trying(0.03)
@given(said=claims)
@example(said={"iat": 10**400})
@example(said={"jti": "\ud800"})
def test_a_join_with_anything_is_answered(house: House, registry: Caller, said: Json) -> None:
    """With a good token, a key of one's own, and a proof of it whose claims may be anything."""
    key, token = Key.new(), (house.data / JOIN_TOKEN).read_text().strip()
    right = {"sub": OWN, "iat": time.time(), "jti": key.kid, "tkn": proof.digest(token.encode())}
    wish = {"token": token, "node_id": OWN, "kind": "camera", "name": "x", "public_key": key.public}
    answer = registry.send(
        "POST", "/v1/join", {}, json.dumps(wish | {"proof": signed(key, JOIN, right | said)}).encode()
    )
    look_at(answer, str(said))
    assert answer.status_code in (401, 409, 422), said  # another node has this id


@trying(0.05)
@given(st.lists(st.binary(max_size=80) | claims.map(lambda said: json.dumps(said).encode()), min_size=1, max_size=9))
def test_a_registry_goes_on_whatever_datagrams_come(registry: Caller, sent: list[bytes]) -> None:
    """None of them is signed by a node: nobody is answered, and the next call is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.connect(("127.0.0.1", int(registry.url.rpartition(":")[2])))
        for one in sent:
            ear.send(b"\x01b" + b"s" * 16 + one)
            ear.send(one[:1000] or b"-")
        look_at(registry.send("GET", "/healthz", {}), "healthz")
        ear.setblocking(False)
        with pytest.raises(BlockingIOError):
            ear.recv(100)


@trying(0.01)
@given(wires, st.sampled_from(["multipart/x-mixed-replace; boundary=x", "multipart/x-mixed-replace", "image/jpeg", ""]))
def test_an_ingest_goes_on_whatever_a_camera_sends(pieces: list[bytes], kind: str) -> None:
    """It says what is wrong, and connects again to a camera that has ended the stream."""
    with socket.create_server(("127.0.0.1", 0)) as camera:
        camera.settimeout(10)
        address = CameraAddress(node_id=OWN, name="c", url=f"http://127.0.0.1:{camera.getsockname()[1]}")
        ingest = Ingest(address)
        try:
            for _ in range(2):
                connection, _ = camera.accept()
                with connection:
                    connection.recv(2000)
                    with suppress(OSError):  # it may have had enough
                        connection.sendall(
                            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode() + b"".join(pieces)
                        )
            assert ingest.problem is not None
        finally:
            ingest.stop()
