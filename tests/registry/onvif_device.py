"""An ONVIF camera as far as WS-Discovery goes: it hears the question on one network, and answers what it is told."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from mesh.discovery import own_addresses
from registry.onvif import GROUP

ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<SOAP-ENV:Header><wsa:MessageID>uuid:0</wsa:MessageID><wsa:RelatesTo>{message}</wsa:RelatesTo>
<wsa:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa:To></SOAP-ENV:Header>
<SOAP-ENV:Body><d:ProbeMatches>{matches}</d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"""
MATCH = """<d:ProbeMatch><wsa:EndpointReference><wsa:Address>{urn}</wsa:Address></wsa:EndpointReference>
<d:Types>{types}</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{xaddrs}</d:XAddrs>
<d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch>"""
SCOPES = (
    "onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/AXIS%20M1065-L"
    " onvif://www.onvif.org/hardware/M1065-L onvif://www.onvif.org/location/country/Ireland"
    " onvif://www.onvif.org/location/hall%201 onvif://www.onvif.org/Profile/Streaming"
)
MULTICAST_ALL = 49  # Linux's IP_MULTICAST_ALL, which the standard library does not name
ELSEWHERE = ("203.0.113.1", 9)  # of nobody
Answers = Callable[[str], Sequence[bytes]]


def match(urn: str, *, types: str = "dn:NetworkVideoTransmitter", scopes: str = SCOPES, xaddrs: str = "") -> str:
    return MATCH.format(urn=urn, types=types, scopes=scopes, xaddrs=xaddrs)


def answer(message: str, *matches: str) -> bytes:
    return ENVELOPE.format(message=message, matches="".join(matches)).encode()


def network() -> str:
    """This machine's address on a network where a device of ours is found under that very address. A container
    engine's network is none: what this machine sends itself by it comes from another one of its addresses. And it
    may go at any time, so the network that leads to others comes first."""
    first = ""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(ELSEWHERE)  # sends nothing
        first = one.getsockname()[0]
    for address in sorted(own_addresses(), key=lambda each: each != first):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answers,
        ):
            asks.bind((address, 0))
            asks.settimeout(1)
            answers.sendto(b"here", asks.getsockname())
            with contextlib.suppress(TimeoutError):
                if asks.recvfrom(16)[1][0] == address:
                    return address
    pytest.skip("this machine has no network to search")


@contextlib.contextmanager
def device(answers: Answers, interface: str = "127.0.0.1") -> Iterator[None]:
    """A device on this machine that gives these datagrams for each question; `answers` gets the question's id."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            # Else it hears what is asked on other networks, too, and answers what other tests have asked there.
            one.setsockopt(socket.IPPROTO_IP, MULTICAST_ALL, 0)
        one.bind(GROUP)
        one.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_ADD_MEMBERSHIP,
            struct.pack("4s4s", socket.inet_aton(GROUP[0]), socket.inet_aton(interface)),
        )
        one.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    question, sender = one.recvfrom(65536)
                except TimeoutError:
                    continue
                assert b"NetworkVideoTransmitter" in question
                asked = re.search(rb"<w:MessageID>(.*?)</w:MessageID>", question)
                assert asked is not None
                for datagram in answers(asked[1].decode()):
                    one.sendto(datagram, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
