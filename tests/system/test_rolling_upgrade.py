"""A mesh of one version becomes one of the next, service by service, while people watch; and goes back."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from cli.main import fogline
from mesh.version import VERSION
from tests.cluster import Cluster, Json
from tests.gaps import Viewer
from tests.previous import previous
from tests.processes import ROOT, wait_for
from tests.registry.servers import Server
from tests.viewers import watch

LOCKED = ("--access", "locked")
REGISTRIES, COMPUTES = ("registry-1", "registry-2"), ("hall-1", "hall-2", "hall-3")
ADDED = {"source": "demo:", "width": 320, "height": 180, "fps": 2}  # of which nobody takes pictures
PASSWORD = "a long enough password"
PAUSE = 0.2  # seconds between two questions
MOST_GAP = 1.0  # seconds: pictures come every 0.05, moves take 0.1, and the machine may be busy with other tests


class Asking:
    """Asks for the lists again and again, as programs do: the first registry that answers, and the dashboard. `answers`
    counts the statuses, and `nobody` where no registry answered."""

    def __init__(self, cluster: Cluster, key: str) -> None:
        self._registries = cluster.registries.split(",")
        self._dashboard = cluster.services["dashboard"].url
        self._shown = {"Authorization": f"Bearer {key}"}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: Counter[str] = Counter()

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._thread.join(20)

    @property
    def failures(self) -> dict[str, int]:
        return {status: count for status, count in self.answers.items() if not status.startswith(("2", "dashboard 2"))}

    def _run(self) -> None:
        for path in itertools.cycle(("/v1/nodes", "/v1/sessions", "/v1/cameras", "/v1/algorithms")):
            if self._stopping.wait(PAUSE):
                return
            answers = (self._ask(url + path) for url in self._registries)
            self.answers[next((status for status in answers if status), "nobody")] += 1
            if seen := self._ask(f"{self._dashboard}/api/overview"):
                self.answers[f"dashboard {seen}"] += 1

    def _ask(self, url: str) -> str:
        """The status; empty when nothing listens there."""
        try:
            return str(requests.get(url, headers=self._shown, timeout=10).status_code)
        except requests.ConnectionError:
            return ""


class Mesh:
    """Two registries on one Redis, a dashboard, a camera that hosts another one, and three compute nodes; each of these
    has a session that somebody watches through the registries."""

    def __init__(self, stack: ExitStack, folder: Path, models: Path, tree: Path) -> None:
        redis = stack.enter_context(Server(folder))
        self.cluster = cluster = stack.enter_context(Cluster(folder, models, tree))
        for name in REGISTRIES:
            cluster.registry(name, "--redis", redis.url, "--announce", "off", *LOCKED)
        cluster.dashboard("dashboard", *LOCKED)
        cluster.camera("line-3", "--host-cameras", "2", *LOCKED)
        for name in COMPUTES:
            cluster.compute(name, *LOCKED)
        for name in (*REGISTRIES, "dashboard"):
            cluster.services[name].running.ready(60)
        wait_for(lambda: self.ready(*COMPUTES, "line-3"), 60, "nodes")
        self.key = str(cluster.post("/v1/keys", {"name": "viewers", "scopes": ["view"]})["secret"])
        cluster.post("/v1/users", {"name": "anna", "role": "admin", "password": PASSWORD})
        self.added = cluster.post("/v1/cameras", {"name": "yard", "source": "demo:", "width": 320, "fps": 5})[
            "camera_id"
        ]
        self.sessions = [cluster.open("line-3", width=width, pinned=True) for width in (200, 210, 220)]
        self.viewers = [
            stack.enter_context(Viewer(cluster.registries, one["session_id"], key=self.key)) for one in self.sessions
        ]
        for viewer in self.viewers:
            viewer.runs()
        assert len({cluster.serving(one["session_id"]) for one in self.sessions}) == len(COMPUTES)
        self.asking = stack.enter_context(Asking(cluster, self.key))
        self.gaps: dict[str, float] = {}

    def ready(self, *names: str) -> bool:
        states = self.cluster.states()
        return all(states.get(name) == "ready" for name in names)

    @contextmanager
    def measured(self, what: str) -> Iterator[None]:
        """Note the longest time without a picture that any viewer had meanwhile, and for a moment after."""
        began = time.monotonic()
        yield
        time.sleep(0.3)
        self.gaps[what] = max(self.gaps.get(what, 0.0), *(viewer.gap(began) for viewer in self.viewers))

    def registries(self, tree: Path) -> None:
        """One after the other: there is always one."""
        for name in REGISTRIES:
            self.cluster.services[name].replace(tree)
            self.cluster.services[name].running.ready()

    def call(self, *words: str) -> None:
        where = ("--registry", self.cluster.registries, "--data", self.cluster.services["registry-1"].words[1])
        done = CliRunner().invoke(fogline, ["node", *words, *where])
        assert done.exit_code == 0, (done.output, done.exception)

    def compute(self, name: str, tree: Path) -> None:
        """As the documentation says: drain, stop, start. It takes sessions again by itself."""
        self.call("drain", name, "--wait", "20")
        self.cluster.services[name].replace(tree)
        wait_for(lambda: self.ready(name), 30, f"{name} again")

    def kept(self) -> None:
        """What was there is there: the sessions run, the key is good, every node is listed, the added camera too."""
        for one in self.sessions:
            self.cluster.settled(one["session_id"])
        for url in self.cluster.registries.split(","):
            assert requests.get(f"{url}/v1/me", headers={"Authorization": f"Bearer {self.key}"}, timeout=5).ok
        wait_for(lambda: self.ready("yard", "line-3", *COMPUTES), 30, "all nodes")

    def signs_in(self) -> bool:
        words = {"name": "anna", "password": PASSWORD}
        return requests.post(f"{self.cluster.services['registry-1'].url}/v1/sign-in", json=words, timeout=10).ok

    def nodes(self) -> dict[str, Json]:
        return {one["name"]: one for one in self.cluster.get("/v1/nodes")["nodes"]}


@pytest.mark.timeout(240)  # sixteen services start: half a minute on a machine that does nothing else
def test_streams_go_on_through_an_upgrade_and_back(models: Path, tmp_path: Path) -> None:
    """Registries, dashboard, compute nodes, camera, in this order, on the data that the version before left; then the
    registry and a compute node are of that version again, on what this one has left."""
    old = previous(tmp_path / "previous")
    with ExitStack() as stack:
        mesh = Mesh(stack, tmp_path, models, old)
        mesh.kept()
        ids = {name: one["node_id"] for name, one in mesh.nodes().items()}
        assert {one["version"] for one in mesh.nodes().values()}.isdisjoint({VERSION})
        with mesh.measured("registries"):
            mesh.registries(ROOT)
        mesh.kept()
        assert mesh.signs_in()
        with mesh.measured("dashboard"):
            mesh.cluster.services["dashboard"].replace(ROOT)
        for name in COMPUTES:
            with mesh.measured("compute nodes"):
                mesh.compute(name, ROOT)
        with mesh.measured("camera"):
            mesh.cluster.services["line-3"].replace(ROOT)
            for viewer in mesh.viewers:
                viewer.runs()
        mesh.kept()
        found = mesh.nodes()
        assert {name: one["node_id"] for name, one in found.items()} == ids
        assert {one["version"] for one in found.values()} == {VERSION}

        later = mesh.cluster.post("/v1/keys", {"name": "later", "scopes": ["view", "metrics"]})["secret"]
        mesh.cluster.post("/v1/cameras", {"name": "gate", **ADDED})
        with mesh.measured("registry, back"):
            mesh.cluster.services["registry-1"].replace(old)
            mesh.cluster.services["registry-1"].running.ready()
            mesh.cluster.services.pop("registry-2").running.stop()
        mesh.kept()
        assert mesh.signs_in()
        with mesh.measured("compute node, back"):
            mesh.compute("hall-1", old)
        mesh.kept()
        wait_for(lambda: mesh.ready("gate"), 20, "camera that was added by the later version")
        assert mesh.nodes()["hall-1"]["version"] != VERSION
        shown = {"Authorization": f"Bearer {later}"}
        other = mesh.cluster.open("line-3", node=ids["hall-1"], width=230)
        registry = mesh.cluster.services["registry-1"].url
        assert watch(f"{registry}/v1/sessions/{other['session_id']}/stream", 3, shown=shown)
        said(mesh)
        assert not mesh.asking.failures
        assert mesh.asking.answers["200"] > 50
        camera = mesh.gaps.pop("camera")
        assert camera < 15
        assert {what: gap for what, gap in mesh.gaps.items() if gap > MOST_GAP} == {}


def said(mesh: Mesh) -> None:
    """The figures, for who runs the test with -s."""
    for what, gap in mesh.gaps.items():
        print(f"{what}: longest time without a picture {gap * 1000:.0f} ms")  # noqa: T201
    print(f"answers to lists: {dict(mesh.asking.answers)}")  # noqa: T201
