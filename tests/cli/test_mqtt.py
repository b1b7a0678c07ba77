"""`./fogline mqtt`: a real mesh on a real broker, which is killed and comes back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from cli.bridge.broker import Address, Broker
from cli.bridge.topics import Names, level, prefix_of
from mesh.errors import SetupProblem
from registry.access.ca import Authority
from tests.cluster import Cluster
from tests.processes import ROOT, free_port, wait_for

PASSWORD = "a password, with signs /@%"
Json = dict[str, Any]


class Mosquitto:
    """Debian's, with the configuration of the Compose profile but for the port and the password's file, and a second
    port for TLS."""

    def __init__(self, folder: Path) -> None:
        passwords = folder / "passwords"
        passwords.write_text(f"fogline:{PASSWORD}\n")
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        self.port = free_port()
        text = (ROOT / "deploy" / "mosquitto.conf").read_text()
        assert "listener 1883\n" in text
        text = text.replace("listener 1883\n", f"listener {self.port} 127.0.0.1\n")
        self._file = folder / "mosquitto.conf"
        self.authority = folder / "access" / "ca.pem"
        self.secure_port = free_port()
        key, chain = Authority.open(folder).issue_own(["127.0.0.1"])
        (folder / "key.pem").write_bytes(key)
        (folder / "chain.pem").write_text(chain)
        text += f"listener {self.secure_port} 127.0.0.1\ncertfile {folder}/chain.pem\nkeyfile {folder}/key.pem\n"
        self._file.write_text(text.replace("/tmp/passwords", str(passwords)) + "user root\n")
        self._log = folder / "mosquitto.log"
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(["mosquitto", "-c", str(self._file)], stdout=log, stderr=log)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait(5)


class Bridge:
    """The command in a process of its own."""

    def __init__(self, registry: str, key: str, broker: Mosquitto, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FOGLINE_")}
        secrets = {"FOGLINE_API_KEY": key, "FOGLINE_MQTT_PASSWORD": PASSWORD, "FOGLINE_PARENT": str(os.getpid())}
        self._log = folder / "bridge.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cli", "mqtt", "--registry", registry, "--data", str(folder)),
                    *("--broker", f"mqtt://fogline@127.0.0.1:{broker.port}", "--log", "json"),
                ],
                cwd=ROOT,
                env={**kept, **secrets},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return self._log.read_text()


class Subscriber:
    """What stands on the broker, and what is told: by topic, the newest; an emptied topic is missing. Reconnects."""

    def __init__(self, broker: Mosquitto) -> None:
        self.standing: dict[str, str] = {}
        self.told: dict[str, list[Json]] = {}
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.username_pw_set("fogline", PASSWORD)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = self._hear
        self.client.on_connect = lambda client, *_: client.subscribe("#")
        self.client.connect_async("127.0.0.1", broker.port)
        self.client.loop_start()

    def _hear(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        text = message.payload.decode()
        if message.topic.endswith("/detections"):
            self.told.setdefault(message.topic, []).append(json.loads(text))
        elif text:
            self.standing[message.topic] = text
        else:
            self.standing.pop(message.topic, None)

    def json(self, topic: str) -> Json:
        return dict(json.loads(self.standing.get(topic, "{}")))

    def waits(self, topic: str, seconds: float = 15, **fields: Any) -> Json:
        """What stands there once it has these fields."""
        wait_for(
            lambda: fields.items() <= self.json(topic).items() and topic in self.standing,
            seconds,
            f"{fields} at {topic} in {self.standing}",
        )
        return self.json(topic)

    def hears(self, topic: str, seconds: float = 15) -> Json:
        """A message told from now on."""
        count = len(self.told.get(topic, ()))
        wait_for(lambda: len(self.told.get(topic, ())) > count, seconds, f"message at {topic}; {self.told.keys()}")
        return self.told[topic][-1]

    def sessions(self) -> set[str]:
        """The ids of those of which something stands there."""
        return {topic.split("/")[2] for topic in list(self.standing) if topic.startswith("fogline/sessions/")}

    def close(self) -> None:
        with suppress(Exception):
            self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def watching(cluster: Cluster, session: str) -> Iterator[None]:
    """Somebody views the session."""
    url = f"{cluster.registries}/v1/sessions/{session}/stream"
    with requests.get(url, headers=cluster.shown(cluster.registries), stream=True, timeout=10) as answer:
        assert answer.ok, answer.text
        yield


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    if shutil.which("mosquitto") is None:
        if os.environ.get("CI"):
            pytest.fail("no mosquitto in CI: ./fogline test installs it")
        pytest.skip("no mosquitto on this machine: ./fogline test installs it where it may")
    made = Mosquitto(tmp_path_factory.mktemp("broker"))
    yield made
    made.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Cluster]:
    """A locked mesh in which a session that nobody views ends after five seconds: of a viewer who comes the registry is
    told up to a second later."""
    locked = ("--access", "locked")
    with Cluster(tmp_path_factory.mktemp("mesh"), models) as made:
        words = ("--redis", "memory:", "--announce", "off", "--idle-seconds", "5")
        made.registry("registry", *words, *locked).running.ready()
        made.camera("line-3", "--name", "hall/line+3", *locked)
        made.compute("hall-1", *locked)
        wait_for(lambda: made.states() == {"hall/line+3": "ready", "hall-1": "ready"}, 30, "ready nodes")
        yield made


def test_the_mesh_is_told_and_told_again_after_everything_that_can_break(
    cluster: Cluster, broker: Mosquitto, tmp_path: Path
) -> None:
    """States stand, detections of a pinned session flow; kill -9 of the broker, the end of a session, the registry's
    absence and the bridge's own end show as such, and nothing of earlier days stays."""
    shown = cluster.shown(cluster.registries)
    key = cluster.post("/v1/keys", {"name": "mqtt", "scopes": ["view"]})["secret"]
    session = cluster.open("hall/line+3", pinned=True)["session_id"]
    heard = Subscriber(broker)
    wait_for(heard.client.is_connected, 10, "connection of the subscriber")
    heard.client.publish("fogline/sessions/of-yesterday/state", "{}", retain=True)
    bridge = Bridge(cluster.registries, key, broker, tmp_path)
    try:
        heard.waits("fogline/bridge/registry", state="online")
        heard.waits("fogline/nodes/hall-1/state", state="ready", kind="compute", name="hall-1")
        heard.waits("fogline/cameras/hall_line_3/state", signal=True, reason="", name="hall/line+3")
        told = heard.waits(f"fogline/sessions/{session}/state", state="running", pinned=True)
        assert told["detections"] == "fogline/cameras/hall_line_3/echo/detections"
        found = heard.hears(told["detections"])
        assert (found["session"], found["algorithm"]) == (session, "echo")
        assert heard.standing["fogline/bridge/state"] == "online"
        wait_for(lambda: "fogline/sessions/of-yesterday/state" not in heard.standing, 5, "emptied topic")

        broker.kill()  # all that stood there is gone with it
        heard.standing.clear()
        other = cluster.open("hall/line+3", width=160, pinned=True)["session_id"]
        broker.start()
        heard.waits(f"fogline/sessions/{other}/state", state="running")
        heard.waits(f"fogline/sessions/{session}/state", state="running")
        heard.waits("fogline/nodes/hall-1/state", state="ready")
        heard.hears(told["detections"])

        # Who views a session has its detections on the broker, which keeps no session alive.
        viewed = cluster.open("hall/line+3", width=240)["session_id"]
        with watching(cluster, viewed):
            wait_for(lambda: heard.hears(told["detections"])["session"] == viewed, 10, "detections of what is viewed")
            for one in (session, other):
                requests.delete(f"{cluster.registries}/v1/sessions/{one}", headers=shown, timeout=5).raise_for_status()
            wait_for(lambda: not {session, other}.intersection(heard.sessions()), 5, "end of the pinned sessions")
            heard.hears(told["detections"])
        wait_for(lambda: not heard.sessions(), 30, "end of the session that nobody views")

        cluster.services["registry"].kill()
        heard.waits("fogline/bridge/registry", state="away")
        # While its processes end one after the other the words may be others.
        wait_for(lambda: "connection refused" in heard.json("fogline/bridge/registry")["reason"], 15, "reason")
        assert "fogline/nodes/hall-1/state" in heard.standing
        assert heard.standing["fogline/bridge/state"] == "online"
        bridge.process.kill()  # it says no goodbye
        wait_for(lambda: heard.standing["fogline/bridge/state"] == "offline", 10, "last will")
        assert PASSWORD not in bridge.log()
        assert key not in bridge.log()
    finally:
        bridge.process.kill()
        bridge.process.wait(5)
        heard.close()


def test_it_ends_politely_and_says_what_it_was_told_wrong(broker: Mosquitto, tmp_path: Path) -> None:
    """SIGTERM is a goodbye, with no registry about; a wrong address is refused without repeating its password."""
    heard = Subscriber(broker)
    bridge = Bridge(f"http://127.0.0.1:{free_port()}", "", broker, tmp_path)
    try:
        wait_for(lambda: heard.standing.get("fogline/bridge/state") == "online", 15, "bridge")
        assert "connection refused" in heard.waits("fogline/bridge/registry", state="away")["reason"]
        bridge.process.terminate()
        assert bridge.process.wait(6) == 0
        wait_for(lambda: heard.standing["fogline/bridge/state"] == "offline", 5, "goodbye")
    finally:
        bridge.process.kill()
        bridge.process.wait(5)
        heard.close()
    for words in ("mqtt://me:secret@", "http://me:secret@host", "mqtt://me:secret@host:99999", "me:secret@host"):
        with pytest.raises(SetupProblem, match="write it as mqtt://HOST") as problem:
            Address.of(words)
        assert "secret" not in problem.value.detail, words
    good = Address.of("mqtts://me%40here:s%2Fcret@broker")
    assert (good.host, good.port, good.secure, good.user, good.password) == ("broker", 8883, True, "me@here", "s/cret")
    assert "cret" not in repr(good)
    for words in ("", "a//b", "a/+", "#", "$SYS", "/a"):
        with pytest.raises(SetupProblem, match="--topic"):
            prefix_of(words)


def test_nothing_piles_up_before_a_broker_that_takes_nothing(broker: Mosquitto) -> None:
    """Of each topic the newest waits, the rest is counted, also when it is killed then; a wrong password is said."""
    heard = Subscriber(broker)
    address = Address.of(f"mqtt://fogline@127.0.0.1:{broker.port}", PASSWORD)
    one = Broker(address, "test/state", ())
    stranger = Broker(replace(address, password="wrong"), "test/stranger", ())
    one.start()
    stranger.start()
    try:
        wait_for(lambda: heard.standing.get("test/state") == "online", 10, "connection")
        broker.process.send_signal(signal.SIGSTOP)
        text = json.dumps({"padding": "x" * 100_000})
        for number in range(300):
            one.send("a/detections", text.encode())
            one.retain("b", b"%d" % number)
            time.sleep(0.001)
        assert one.dropped > 300
        broker.process.send_signal(signal.SIGCONT)
        wait_for(lambda: heard.standing.get("b") == "299", 10, "the newest")
        assert 0 < len(heard.told["a/detections"]) < 290
        broker.process.send_signal(signal.SIGSTOP)
        for number in range(300):
            one.send("a/detections", text.encode())
            one.retain("b", b"again %d" % number)
            time.sleep(0.001)
        broker.kill()  # while a message waits to be sent
        broker.start()
        wait_for(lambda: heard.standing.get("b") == "again 299", 10, "the newest, after a crash")
        wait_for(lambda: "Not authorized" in stranger.problem, 10, "refusal")
        assert not stranger.connected
    finally:
        broker.process.send_signal(signal.SIGCONT)
        for client in (one, stranger):
            client.stop()
        heard.close()


def test_by_tls_only_a_broker_that_can_be_trusted_is_told_anything(broker: Mosquitto) -> None:
    """One with a certificate of the given authority is; the system's authorities know nothing of it."""
    address = Address("127.0.0.1", broker.secure_port, True, "fogline", PASSWORD)
    good = Broker(address, "tls/state", (), broker.authority)
    bad = Broker(address, "tls/stranger", ())
    for one in (good, bad):
        one.start()
    try:
        wait_for(lambda: good.connected, 10, f"connection: {good.problem}")
        wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in bad.problem, 10, "refusal")
        assert not bad.connected
    finally:
        for one in (good, bad):
            one.stop()
    with pytest.raises(SetupProblem, match="--mqtt-ca"):
        Broker(address, "tls/state", (), broker.authority.parent / "none.pem")


def test_a_name_is_one_level_and_belongs_to_the_living_node_that_has_it() -> None:
    """Wildcards, slashes and what brokers refuse are gone; two living nodes of one name are told apart by their ids."""
    assert level("a/b+c#d\0e\ufffff\x7fg h") == "a_b_c_d_e_f_g h"
    assert level("") == "_"
    names = Names()
    assert names.put("1", "hall/1", alive=True) == {"1"}
    assert names.of("1") == "hall_1"
    assert names.put("2", "hall+1", alive=True) == {"1", "2"}
    assert (names.of("1"), names.of("2")) == ("hall_1.1", "hall_1.2")
    assert names.put("1", "hall/1", alive=False) == {"2"}
    assert (names.of("1"), names.of("2")) == ("hall_1.1", "hall_1")
    assert names.put("2", "other", alive=True) == {"1", "2"}
    assert (names.of("1"), names.of("2")) == ("hall_1", "other")
    assert names.remove("1") == {"1"}
    assert names.of("1") is None
