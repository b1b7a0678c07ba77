"""The connection to an MQTT broker: what is to stand there, told again whenever the broker comes back."""

from __future__ import annotations

import ssl
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mesh.backoff import Backoff
from mesh.errors import SetupProblem
from mesh.logs import logger

PORTS = {"mqtt": 1883, "mqtts": 8883}
KEEP_ALIVE = 15  # seconds: a broker that does not answer a ping for so long counts as gone
CONNECT = 5.0  # seconds
GOODBYE = 2.0  # seconds in which the last words must be sent
LOOK = 0.5  # seconds between two looks whether the connection is still there
ONLINE, OFFLINE = b"online", b"offline"
log = logger(__name__)


@dataclass(frozen=True)
class Address:
    """A broker. secure: by TLS. user, password: empty where it asks for none."""

    host: str
    port: int
    secure: bool
    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, text: str, password: str = "") -> Address:
        """What `mqtt://USER:PASSWORD@HOST:PORT` says. password: comes before the one in it. Raises SetupProblem, which
        repeats no password."""
        try:
            url = urlsplit(text)
            host, port = url.hostname or "", url.port
        except ValueError:
            host, port = "", None
        if not host or url.scheme not in PORTS or url.path not in ("", "/") or url.query or url.fragment:
            # What stands before the @ may hold a password, whatever it looks like.
            shown = f"***@{text.rpartition('@')[2]}" if "@" in text else text
            raise SetupProblem(
                f"--broker (FOGLINE_BROKER) is {shown!r}: write it as mqtt://HOST, mqtt://USER@HOST:1883 or"
                " mqtts://USER@HOST, with the password in FOGLINE_MQTT_PASSWORD"
            )
        user, own = unquote(url.username or ""), unquote(url.password or "")
        if password and not user:
            raise SetupProblem("there is a password for the broker and no user: write --broker mqtt://USER@HOST")
        return cls(host, port or PORTS[url.scheme], url.scheme == "mqtts", user, password or own)


class Broker:
    """Any thread may call any method.

    Nothing piles up: of each topic only the newest message waits, and while the broker is away none does. When it is
    back everything that is to stand there is told anew. Messages are sent with QoS 0, one by one: the connection loses
    none while it lasts, and a message that is sent twice could overwrite a newer one.

    state: the topic that says whether we are there. owned: filters for topics that are ours alone; what stands there
    of earlier days is emptied after `settle`. authority: a file (PEM) to trust for `mqtts`; the system's when None.
    """

    def __init__(self, address: Address, state: str, owned: Sequence[str], authority: Path | None = None) -> None:
        self.address = address
        self.dropped = 0  # messages that were not sent, because a newer one came first
        self.problem = ""  # why there was no connection when it was tried last
        self._state = state
        self._owned = owned
        self._changed = threading.Condition()
        self._kept: dict[str, bytes] = {state: ONLINE}
        self._due: dict[str, tuple[bytes, bool]] = {}  # by topic: what is to be sent, and whether it is to stay
        self._found: set[str] = set()  # ours, with something that another bridge, or an earlier one, has left there
        self._settled = False
        self._sending = False
        self._connected = False
        self._was_here = False
        self._stopping = threading.Event()
        self._refusal = ""
        self._client = self._new_client(authority)
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("broker", self._stay), ("send", self._send_on))
        ]

    @property
    def connected(self) -> bool:
        return self._connected

    def start(self) -> None:
        """Connect, and for ever again."""
        for thread in self._threads:
            thread.start()

    def retain(self, topic: str, text: bytes) -> None:
        """See that `text` stands there, also for who subscribes later; empty: nothing."""
        with self._changed:
            if self._kept.get(topic, b"") == text:
                return
            if text:
                self._kept[topic] = text
            else:
                del self._kept[topic]
            self._put(topic, text, stays=True)

    def send(self, topic: str, text: bytes) -> None:
        """Tell who listens now."""
        with self._changed:
            self._put(topic, text, stays=False)

    def settle(self) -> None:
        """All that is to stand there has been said: what else there is on our topics is of earlier days."""
        with self._changed:
            self._settled = True
            for topic in self._found - set(self._kept):
                self._put(topic, b"", stays=True)
            self._found.clear()

    def stop(self) -> None:
        """Say goodbye, and end."""
        self.retain(self._state, OFFLINE)
        with self._changed:
            self._changed.wait_for(lambda: not self._due and not self._sending, GOODBYE)
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._threads[1].join(GOODBYE)
        self._client.disconnect()
        self._threads[0].join(GOODBYE)

    # --- with the lock held

    def _put(self, topic: str, text: bytes, *, stays: bool) -> None:
        if self._connected:
            self.dropped += topic in self._due
            self._due[topic] = text, stays
            self._changed.notify_all()

    # --- the thread that sends

    def _send_on(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._stopping.is_set())
                topic = next(iter(self._due), "")
                text, stays = self._due.pop(topic, (b"", False))
                self._sending = bool(topic)
            if topic:
                self._send(topic, text, stays=stays)
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()

    def _send(self, topic: str, text: bytes, *, stays: bool) -> None:
        """Returns when the message has left this process, or the connection is no more."""
        sent = self._client.publish(topic, text, qos=0, retain=stays)
        with suppress(RuntimeError):  # the connection is no more; what stays is told anew with the next one
            while self._connected and not sent.is_published():
                sent.wait_for_publish(LOOK)

    # --- the thread of the connection, in which all callbacks come

    def _new_client(self, authority: Path | None) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"fogline-{uuid.uuid4().hex[:12]}")
        client.connect_timeout = CONNECT
        if self.address.user:
            client.username_pw_set(self.address.user, self.address.password or None)
        if self.address.secure:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=authority))
            except (OSError, ssl.SSLError) as error:
                raise SetupProblem(f"--mqtt-ca (FOGLINE_MQTT_CA) cannot be used: {error}") from None
        client.will_set(self._state, OFFLINE, qos=1, retain=True)
        client.on_connect = self._came
        client.on_message = self._heard
        # With it `publish` never writes by itself: two threads would mix their bytes.
        client.on_socket_register_write = _later
        client.connect_async(self.address.host, self.address.port, KEEP_ALIVE)
        return client

    def _stay(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            problem = self._while_connected(backoff)
            if self._stopping.is_set():
                return
            if problem != self.problem or self._was_here:
                log.warning("the broker is away", broker=self._where, reason=problem)
            self.problem = problem
            self._stopping.wait(backoff.delay())

    def _while_connected(self, backoff: Backoff) -> str:
        """Stay connected; why it ended."""
        self._refusal, self._was_here = "", False
        try:
            self._client.reconnect()
            while (code := self._client.loop(1.0)) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                if self._connected and not self._was_here:
                    self._was_here = True
                    backoff.reset()
            return self._refusal or code.name.removeprefix("MQTT_ERR_").replace("_", " ").lower()
        except (OSError, ValueError) as error:  # ValueError: a name that no resolver takes
            return str(error) or type(error).__name__
        except Exception as error:  # the thread must live: it is in the log, and the next try comes
            log.exception("the broker's words could not be read")
            return type(error).__name__
        finally:
            with self._changed:
                self._connected = False
                self._due.clear()
                self._found.clear()
                self._changed.notify_all()

    def _came(
        self, client: Client, _data: Any, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._refusal = str(code)
            return
        log.info("connected to the broker", broker=self._where)
        with self._changed:
            self._connected = True
            self._due = {topic: (text, True) for topic, text in self._kept.items()}
            self._changed.notify_all()
        if self._owned:
            client.subscribe([(topic, 0) for topic in self._owned])

    def _heard(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        """Of what we subscribe to only what stood there before us is of interest."""
        if not message.retain or not message.payload:
            return
        with self._changed:
            if not self._settled:
                self._found.add(message.topic)
            elif message.topic not in self._kept:
                self._put(message.topic, b"", stays=True)

    @property
    def _where(self) -> str:
        return f"{self.address.host}:{self.address.port}"


def _later(_client: Client, _data: Any, _socket: Any) -> None:
    """The thread of the connection looks by itself."""
