"""A registry of dictionaries, which a test changes as it likes."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from tests.ui.fakes import FakeCamera, FakeCompute, FakeServer, Handler, Json

IDS = {"node": "node_id", "session": "session_id"}


class FakeRegistry(FakeServer):
    """Lists what it is told, tells its watchers when that has changed, and makes sessions on the first free node.

    stale: seconds for which its Redis has been away. watchers: connections to /v1/events now. mute: they hear nothing.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Json] = {}
        self.sessions: dict[str, Json] = {}
        self.cameras: dict[str, Json] = {}
        self.stale: float | None = None
        self.watchers = 0
        self.mute = False
        super().__init__()

    def reset(self) -> None:
        """As it was in the beginning, at the same address."""
        self.nodes.clear()
        self.sessions.clear()
        self.cameras.clear()
        self.requests.clear()
        self.stale = None
        self.mute = False
        if not self.runs:
            self.up()

    # --- what it knows

    def add_camera(self, camera: FakeCamera, name: str, **more: Any) -> str:
        node_id = str(uuid.uuid4())
        self.nodes[node_id] = {
            **{"schema": "fogline/1", "node_id": node_id, "kind": "camera", "name": name, "host_name": "host"},
            **{"type": "Camera", "source": "demo", "width": 640, "height": 360, "fps": 12.0, "version": "0.1.0"},
            **{"state": "ready", "state_reason": "", "url": camera.url, "sessions": 0, "load": {"fps": 12.0}},
            **more,
        }
        return node_id

    def add_compute(self, node: FakeCompute, name: str, *, slots: int = 4, **more: Any) -> str:
        node_id = str(uuid.uuid4())
        entries: list[Json] = [
            {"id": "yolo", "name": "Object detection (YOLO)", "category": "objectdetection", "model": "yolov3-tiny"},
            {"id": "haar", "name": "Faces (Haar)", "category": "facialrecognition", "model": None},
        ]
        self.nodes[node_id] = {
            **{"schema": "fogline/1", "node_id": node_id, "kind": "compute", "name": name, "FriendlyName": name},
            **{"host_name": "host", "ram": "16gb", "cpu": "Intel(R) Xeon(R)", "cores": 8, "version": "0.1.0"},
            **{"accelerators": ["openvino:cpu"], "slots": slots, "url": node.url, "sessions": 0, "load": {}},
            **{"algorithm": [{**e, "fps": fps} for e, fps in zip(entries, (36.1, 80.0), strict=True)]},
            **{"state": "ready", "state_reason": ""},
            **more,
        }
        return node_id

    def add_session(self, camera: str, algorithm: str, node_id: str | None, **more: Any) -> Json:
        node = self.nodes[node_id] if node_id else None
        session_id = str(uuid.uuid4())
        base = f"{node['url']}/v1/sessions/{session_id}" if node else None
        session: Json = {
            **{"session_id": session_id, "state": "running" if node else "requested", "state_reason": ""},
            **{"camera": camera, "camera_name": self.nodes[camera]["name"], "algorithm": algorithm, "token": 1},
            **{"node": node_id, "node_name": node and node["name"], "node_url": node and node["url"]},
            **{f"{view}_url": base and f"{base}/{view}" for view in ("stream", "snapshot", "detections", "stats")},
            **{"why": "it had the most room: 4 of 4 slots free", "pinned": False, "viewers": 1, "fps": 12.0},
            **{"created_at": time.time()},
            **more,
        }
        self.sessions[session_id] = session
        if node:
            node["sessions"] += 1
        return session

    def free(self, node: Json) -> int:
        return max(0, node["slots"] - node["sessions"]) if node["state"] == "ready" else 0

    def algorithms(self) -> list[Json]:
        found: dict[str, Json] = {}
        for node in list(self.nodes.values()):
            for entry in node.get("algorithm", ()):
                one = found.setdefault(entry["id"], {**entry, "free_slots": 0, "nodes": []})
                one["free_slots"] += self.free(node)
                one["nodes"].append(
                    {
                        **{"id": node["node_id"], "name": node["name"], "fps": entry["fps"], "model": entry["model"]},
                        **{"free_slots": self.free(node), "state": node["state"]},
                        **{"state_reason": node["state_reason"], "original": False},
                    }
                )
        return list(found.values())

    # --- its calls

    def route(self, request: Handler, method: str, path: str) -> None:
        name, _, rest = path.removeprefix("/v1/").partition("/")
        ident, _, act = rest.partition("/")
        if path == "/v1/events":
            self.watch(request)
        elif name == "cameras":
            self.change_cameras(request, method, ident)
        elif method == "GET" and not ident and name in ("nodes", "sessions", "algorithms"):
            stale = {"stale": self.stale is not None, "next_cursor": None}
            age = {"age_seconds": self.stale} if self.stale else {}
            request.send_json({name: self.listed(name), **stale, **age})
        elif method == "POST" and path == "/v1/tickets":
            request.send_json(self.tickets(request.body()))
        elif method == "POST" and path == "/v1/sessions":
            self.open(request, request.body())
        elif name == "nodes" and ident in self.nodes and act in ("drain", "undrain"):
            self.nodes[ident] |= {"state": "draining" if act == "drain" else "ready", "draining": act == "drain"}
            request.send_json(self.nodes[ident])
        elif name == "sessions" and ident in self.sessions:
            if method == "DELETE":
                self.end(ident)
                request.send(204, "application/json", b"")
            else:
                request.send_json(self.sessions[ident])
        elif path == "/v1/discovered":
            request.send_json({"cameras": [], "registries": [], "seconds": 0, "problems": {}})
        else:
            request.problem(404, "Not found", f"unknown {name} {ident!r}")

    def listed(self, name: str) -> list[Json]:
        if name == "nodes":
            return [{**node, "last_seen": time.time()} for node in list(self.nodes.values())]
        if name == "sessions":
            return [session for session in list(self.sessions.values()) if session["state"] != "ended"]
        return self.algorithms()

    def watch(self, request: Handler) -> None:
        """Whatever a test changes is told at once: what is known is looked at all the time."""
        server = self._server
        self.watchers += 1
        try:
            request.begin("text/event-stream")
            known = self.documents()
            kinds = {kind: [json.loads(text) for (one, _), text in known.items() if one == kind] for kind in IDS}
            snapshot = {f"{kind}s": documents for kind, documents in kinds.items()}
            request.event("snapshot", {**snapshot, "stale": self.stale is not None, "preserving": False})
            quiet = 0
            while self._server is server:
                now = known if self.mute else self.documents()
                for (kind, ident), text in now.items():
                    if known.get((kind, ident)) != text:
                        request.event(kind, json.loads(text))
                for kind, ident in known.keys() - now.keys():
                    request.event(kind, {IDS[kind]: ident, "state": "gone"})
                known = now
                quiet += 1
                if quiet % 10 == 0:
                    request.part(b": nothing new\n\n")
                time.sleep(0.03)
        finally:
            self.watchers -= 1

    def documents(self) -> dict[tuple[str, str], str]:
        """As they are compared and told: a load moves without events."""
        nodes = {("node", ident): json.dumps({**one, "load": {}}) for ident, one in list(self.nodes.items())}
        return nodes | {("session", ident): json.dumps(one) for ident, one in list(self.sessions.items())}

    def change_cameras(self, request: Handler, method: str, ident: str) -> None:
        if method == "POST":
            made = {**request.body(), "camera_id": str(uuid.uuid4()), "revision": 1, "host": None, "host_name": None}
            made |= {"state": "waiting", "state_reason": "no camera host is there", "url": None}
            self.cameras[made["camera_id"]] = made
            request.send_json(made, 201)
        elif method == "GET" and not ident:
            request.send_json({"cameras": list(self.cameras.values()), "hosts": [], "stale": self.stale is not None})
        elif ident not in self.cameras:
            request.problem(404, "Not found", f"unknown camera {ident!r}")
        elif method == "DELETE":
            del self.cameras[ident]
            request.send(204, "application/json", b"")
        else:
            self.cameras[ident] |= request.body() if method == "PATCH" else {}
            request.send_json(self.cameras[ident])

    def tickets(self, wish: Json) -> Json:
        """Where sessions and cameras are; nothing is signed in an open mesh."""
        views = ("stream_url", "snapshot_url", "detections_url", "stats_url")
        sessions = [one for ident in wish["sessions"] if (one := self.sessions.get(ident)) and one["node"]]
        cameras = [one for ident in wish["cameras"] if (one := self.nodes.get(ident)) and one["url"]]
        return {
            "sessions": {
                one["session_id"]: {name: one[name] for name in ("token", "node", *views)} for one in sessions
            },
            "cameras": {
                one["node_id"]: {"image_url": f"{one['url']}/image.jpg", "stream_url": f"{one['url']}/stream.jpg"}
                for one in cameras
            },
            "seconds": None,
            "stream_seconds": None,
        }

    def open(self, request: Handler, wish: Json) -> None:
        able = [
            n
            for n in list(self.nodes.values())
            if any(e["id"] == wish["algorithm"] for e in n.get("algorithm", ()))
            and wish.get("node") in (None, n["node_id"], n["name"])
            and self.free(n)
        ]
        if not able:
            request.problem(503, "No free slot", f"no free slot for {wish['algorithm']}: every node is full")
            return
        request.send_json(self.add_session(wish["camera"], wish["algorithm"], able[0]["node_id"]), 201)

    def end(self, session_id: str) -> None:
        session = self.sessions[session_id]
        if session["node"] and session["state"] != "ended":
            self.nodes[session["node"]]["sessions"] -= 1
        session |= {"state": "ended", "state_reason": "ended by request"}
