"""ONVIF cameras on the network: what answers well is listed, and what answers badly costs nothing."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask, request
from prometheus_client import CollectorRegistry

from mesh import doors
from mesh.access import Guard
from mesh.errors import Unavailable
from mesh.service import install
from registry.discovery import MOST_WAITING, Discovery, marked, readers
from registry.listing import Snapshots
from registry.metrics import RedisErrors
from registry.mirror import Mirror
from registry.onvif import MAX_PER_HOST, Candidate, Refused, candidate, probe, read
from registry.redis_store import RedisStore
from registry.routes.discovered import blueprint
from registry.settings import RegistrySettings
from tests.calm import browsing
from tests.registry.fakes import Registry
from tests.registry.onvif_device import answer, device, match, network

LOOPBACK = "127.0.0.1"
QUICK = 0.6  # seconds; the question is sent twice within the first 0.4
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE e [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><e>&c;</e>'
)


def urns(prefix: str, count: int) -> list[str]:
    return [f"urn:uuid:{prefix}-{number}" for number in range(count)]


@pytest.fixture
def prefix() -> str:
    """Whoever else tests on this machine hears the same questions: this test's devices have names of their own."""
    return uuid.uuid4().hex


def found(prefix: str) -> list[Candidate]:
    return [one for one in probe(QUICK, [LOOPBACK]) if prefix in one.urn]


def test_a_camera_is_listed_once_with_what_it_says_of_itself(prefix: str) -> None:
    """It answers both questions, and each twice; the address is the one that the answers came from."""
    addresses = (
        "http://10.9.8.7/onvif/device_service ftp://10.9.8.7/x http://[::1 http://[fe80::1]/onvif/device_service"
    )

    def answers(message: str) -> list[bytes]:
        return [answer(message, match(f"urn:uuid:{prefix}", xaddrs=addresses))] * 2

    with device(answers):
        (one,) = found(prefix)
    assert one == Candidate(
        name="AXIS M1065-L",
        hardware="M1065-L",
        location="Ireland, hall 1",
        address=LOOPBACK,
        xaddrs=["http://10.9.8.7/onvif/device_service"],  # no camera is added at a link-local address
        urn=f"urn:uuid:{prefix}",
    )


def test_hostile_and_broken_answers_hide_no_camera(prefix: str) -> None:
    """Bombs, floods, garbage and other people's answers come first; the camera behind them is listed, and only it."""

    def answers(message: str) -> list[bytes]:
        return [
            b"",
            b"\x00\xff garbage",
            BOMB.encode(),
            BOMB.replace("1.0", '1.0" encoding="UTF-16').encode("utf-16"),
            answer(message, match(f"urn:uuid:{prefix}-huge", scopes="x" * 40_000)),
            answer(message, "<d:x>" * 5000),
            answer("uuid:another", match(f"urn:uuid:{prefix}-another")),
            answer(message, match(f"urn:uuid:{prefix}-printer", types="wsdp:Device wprt:Printer", scopes="ldap:///x")),
            answer(message, match(f"urn:uuid:{prefix}-cut"))[:-40],
            answer(message, match(f"urn:uuid:{prefix}", scopes="onvif://www.onvif.org/name/%3Cb%3E%1B%5B31mpress")),
        ]

    with device(answers):
        (one,) = found(prefix)
    assert one.urn == f"urn:uuid:{prefix}"
    assert one.name == "b[31mpress"


def test_one_host_cannot_fill_the_list(prefix: str) -> None:
    """A hundred cameras at one address are cut to what a recorder may have; answers after many are not looked into."""

    def answers(message: str) -> list[bytes]:
        return [answer(message, match(urn)) for urn in urns(prefix, 100)]

    with device(answers):
        assert len(found(prefix)) == MAX_PER_HOST


def test_a_document_type_is_refused_before_anything_is_expanded() -> None:
    """Whatever the encoding, and with no entity in it, too."""
    for text in (BOMB, '<!DOCTYPE e SYSTEM "http://10.0.0.1/x.dtd"><e/>', "<!DOCTYPE e><e/>"):
        with pytest.raises(Refused, match="document type"):
            read(text.encode(), "uuid:1")
    with pytest.raises(Refused, match="too many matches"):
        read(answer("uuid:1", *[match("urn:x") for _ in range(MAX_PER_HOST + 1)]), "uuid:1")
    with pytest.raises(Refused, match="too deep"):
        read(b"<a>" * 100, "uuid:1")


def test_other_versions_of_the_namespaces_are_read() -> None:
    """Devices of WS-Discovery 1.1 and of other prefixes say the same; without a relation the answer counts."""
    text = (
        b'<Envelope xmlns:D="http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"><Body><D:ProbeMatches>'
        b"<D:ProbeMatch><EndpointReference><Address>urn:1</Address></EndpointReference>"
        b"<D:Scopes>onvif://www.onvif.org/hardware/X5</D:Scopes></D:ProbeMatch></D:ProbeMatches></Body></Envelope>"
    )
    (fields,) = read(text, "uuid:1")
    one = candidate(fields, "10.0.0.3")
    assert one is not None
    assert (one.name, one.urn, one.address) == ("X5", "urn:1", "10.0.0.3")


def test_a_registered_camera_is_marked_with_its_name() -> None:
    """Its node is at that address, or reads from it."""
    seen = [
        Candidate(name="c", hardware="", location="", address=f"10.0.0.{last}", xaddrs=[], urn=str(last))
        for last in (1, 2, 3)
    ]
    names = readers([("gate", "http://10.0.0.1:5000", ""), ("hall", "http://10.0.0.9:5000", "10.0.0.2")])
    assert [one.already for one in marked(seen, names)] == ["gate", "hall", None]


def test_without_a_network_it_is_said_in_words() -> None:
    """With what can be done instead."""
    with pytest.raises(Unavailable, match=r"no network.*by hand always works"):
        probe(QUICK, [])
    with pytest.raises(Unavailable, match="multicast is not possible from here"):
        probe(QUICK, ["203.0.113.7"])  # no address of this machine


def test_many_who_ask_the_registry_cost_one_search(
    prefix: str, own_registry: Callable[..., Registry], tmp_path: Path
) -> None:
    """A few wait for it, the others are told to come back, and whoever comes later gets the same result."""

    def answers(message: str) -> list[bytes]:
        return [answer(message, match(f"urn:uuid:{prefix}", scopes=f"onvif://www.onvif.org/hardware/{message}"))]

    with contextlib.ExitStack() as ends:
        ends.enter_context(browsing())  # what addresses this machine has changes while others make networks
        address = network()
        own_registry().camera("hall", source_host=address)
        store = RedisStore(
            RegistrySettings(redis=f"unix://{tmp_path}/data/valkey/valkey.sock"), RedisErrors(CollectorRegistry())
        )
        mirror = Mirror(store)
        mirror.start()
        ends.callback(mirror.stop)
        app = Flask(__name__)
        app.register_blueprint(blueprint(Discovery(Snapshots(store, mirror))))
        install(
            app,
            title="Search",
            ready=lambda: None,
            metrics=CollectorRegistry(),
            guard=Guard(doors.REGISTRY, lambda _request: None, open=True),
            request=request,
        )
        ends.enter_context(device(answers, address))
        crowd = ends.enter_context(ThreadPoolExecutor(10))
        replies = list(crowd.map(lambda _: app.test_client().get("/v1/discovered"), range(10)))
        replies.append(app.test_client().get("/v1/discovered"))
    assert sorted(reply.status_code for reply in replies) == [200] * (MOST_WAITING + 1) + [503] * (10 - MOST_WAITING)
    assert {reply.headers["Retry-After"] for reply in replies if reply.status_code == 503} == {"2"}
    shown = [reply.json for reply in replies if reply.json is not None and reply.status_code == 200]
    assert {one["seconds"] for one in shown} == {2.0}
    ours = [camera for one in shown for camera in one["cameras"] if prefix in camera["urn"]]
    assert len(ours) == len(shown)
    assert {camera["already"] for camera in ours} == {"hall"}
    assert len({camera["hardware"] for camera in ours}) == 1, (
        "the model is the question's number: there was one question"
    )
