"""The compute node's calls: parse, call, respond."""

from __future__ import annotations

import html
import time
from typing import Annotated, Any

import msgspec
from flask import Blueprint, Response, request

from compute_node import jpeg
from compute_node.algorithms.base import Options
from compute_node.cameras import Cameras
from compute_node.found import objects
from compute_node.metrics import Metrics
from compute_node.offer import Offer
from compute_node.pipeline import PipelineKey
from compute_node.pipelines import Pipelines
from compute_node.sessions import Session, Sessions
from compute_node.stills import Wanted
from compute_node.streams import Streams
from mesh import codec, multipart
from mesh.access_wire import TicketText
from mesh.errors import FoglineError, InvalidInput, NotFound
from mesh.limits import MAX_DOWNSAMPLE
from mesh.manifest import Side
from mesh.node_door import placement_of, right_of
from mesh.openapi import Answer, operation
from mesh.service import json_reply
from mesh.stills import Still
from mesh.wire import Detections, Fps, FrameStamp, Gate, Problem, StreamStats, Token

OPEN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "X-Timestamp, X-Frame, X-Inference-Ms, X-Age-Ms, X-Objects, X-Token, X-Gated, X-No-Signal"
    ),
    "Cache-Control": "no-store",
}
MJPEG = Answer("Annotated MJPEG, one part a frame", media="multipart/x-mixed-replace")
ELSEWHERE = {
    404: Answer("It is not served here: open the registry's address", Problem),
    409: Answer("It is placed anew: open the registry's address", Problem),
    503: Answer("This node has lost touch with the registry, or has no picture", Problem),
}
Reply = Any


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """camera: name, id or address of a registered camera. width, height: pixels that the picture fits into.
    downsample: divides the picture's sides. fps: frames a second at most. gate: `motion` to search only pictures in
    which something moved and to repeat the last result meanwhile."""

    camera: str
    width: Side | None = None
    height: Side | None = None
    downsample: Annotated[int, msgspec.Meta(ge=1, le=MAX_DOWNSAMPLE)] = 1
    fps: Fps | None = None
    gate: Gate | None = None


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """token: the placement that the registry's address leads to; any that is in force when missing. ticket: of a signed
    address, which is good for its own placement only."""

    token: Token | None = None
    ticket: TicketText | None = None


class WatchQuery(SessionQuery, frozen=True, kw_only=True):
    """fps: frames a second at most, for this viewer."""

    fps: Fps | None = None


class SnapshotQuery(SessionQuery, frozen=True, kw_only=True):
    """width, height: pixels that the picture fits into, its shape kept; it is never enlarged. quality: of the JPEG."""

    width: Side | None = None
    height: Side | None = None
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None


class DetectQuery(msgspec.Struct, frozen=True, kw_only=True):
    """confidence: least score, 0 to 1. labels: only these, separated by commas."""

    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    labels: str = ""


def session_routes(sessions: Sessions, streams: Streams) -> Blueprint:
    """The sessions that the registry gave this node."""
    routes = Blueprint("sessions", __name__, url_prefix="/v1/sessions/<session_id>")

    def found(session_id: str, query: SessionQuery) -> Session:
        return sessions.get(session_id, placement_of(request.environ, query.token))

    def asked(session_id: str) -> Session:
        return found(session_id, codec.from_query(request.args, SessionQuery))

    @routes.get("/stream")
    @operation("A session's annotated stream", {200: MJPEG, **ELSEWHERE}, query=WatchQuery, tag="sessions")
    def stream(session_id: str) -> Reply:
        """Ends when the session moves; the registry's address for it then leads to the new place."""
        watch = codec.from_query(request.args, WatchQuery)
        body = streams.of_session(found(session_id, watch), watch.fps, request.environ)
        return Response(body, content_type=multipart.CONTENT_TYPE, headers=OPEN, direct_passthrough=True)

    @routes.get("/snapshot")
    @operation(
        "A session's newest annotated picture",
        {200: Answer("An annotated picture", media="image/jpeg"), **ELSEWHERE},
        query=SnapshotQuery,
        tag="sessions",
    )
    def snapshot(session_id: str) -> Reply:
        """Who asks at least every three seconds counts as a viewer. A wall of small pictures is cheap: nothing is drawn
        for the frames between two of them."""
        query = codec.from_query(request.args, SnapshotQuery)
        session, right = found(session_id, query), right_of(request.environ)
        wanted = Wanted(query.width, query.height, query.quality)
        still = Still(streams.snapshot(session, wanted), lambda: streams.snapshots(session, wanted, right))
        headers = {**OPEN, **still.headers()}
        return Response(still, mimetype="image/jpeg", headers=headers, direct_passthrough=True)

    @routes.get("/detections")
    @operation(
        "A session's detections as server-sent events",
        {200: Answer("One event a frame", media="text/event-stream"), **ELSEWHERE},
        query=SessionQuery,
        tag="sessions",
    )
    def detections(session_id: str) -> Reply:
        """Ends when the session moves, as its stream does."""
        body = streams.events(asked(session_id), request.environ)
        return Response(body, content_type="text/event-stream; charset=utf-8", headers=OPEN, direct_passthrough=True)

    @routes.get("/stats")
    @operation(
        "How a session's frames fare on this node",
        {200: Answer("Rates, counts and times", StreamStats), **ELSEWHERE},
        query=SessionQuery,
        tag="sessions",
    )
    def stats(session_id: str) -> Reply:
        """Asking does not count as watching: 503 while nobody watches and nothing runs."""
        return json_reply(streams.stats(asked(session_id)), headers=OPEN)

    return routes


def detect_routes(offer: Offer, metrics: Metrics) -> Blueprint:
    """One picture at a time."""
    routes = Blueprint("detect", __name__)

    @routes.post("/v1/detect/<algorithm>")
    @operation(
        "Search one picture",
        {
            200: Answer("What was found", Detections),
            413: Answer("Too large", Problem),
            415: Answer("No picture", Problem),
        },
        query=DetectQuery,
        body=("image/jpeg", "image/png", "multipart/form-data"),
        tag="detect",
    )
    def detect(algorithm: str) -> Reply:
        """The picture is the body itself, or the field `image` of a form. Boxes are in pixels of the picture as it is
        stored: an orientation tag is not applied."""
        asked = codec.from_query(request.args, DetectQuery)
        runner = offer.get(algorithm)
        labels = frozenset(label.strip() for label in asked.labels.split(",") if label.strip())
        unknown = labels.difference(runner.info.labels) if runner.info.labels else ()
        if unknown:
            raise InvalidInput(
                f"labels: {algorithm} does not know {', '.join(sorted(unknown))}; `known` lists what it does",
                field="labels",
                known=list(runner.info.labels),
            )
        received = time.time()
        try:
            image = jpeg.decode(_uploaded())
        except FoglineError:
            metrics.refused.inc()
            raise
        began = time.perf_counter()
        found = runner.detector()(image, Options(asked.confidence, labels))
        return json_reply(
            Detections(
                algorithm=algorithm,
                model=runner.info.model,
                inference_ms=round((time.perf_counter() - began) * 1000, 2),
                frame=FrameStamp(sequence=0, captured_at=received, width=image.shape[1], height=image.shape[0]),
                objects=objects(found),
            ),
            headers=OPEN,
        )

    return routes


def original_routes(offer: Offer, pipelines: Pipelines, cameras: Cameras, streams: Streams) -> Blueprint:
    """What the original cluster's pages and devices call, and a page to read."""
    routes = Blueprint("original", __name__)

    @routes.get("/<path:path>")
    @operation("The original's annotated stream", {200: MJPEG}, query=StreamQuery, tag="the original's calls")
    def stream(path: str) -> Reply:
        """`/{path}?camera=…` with the path of an algorithm as the manifest lists it, such as `yolo/image.jpg`."""
        paths = {entry.path: entry.id for entry in offer.entries()}
        name = paths.get(path.strip("/"))
        if name is None:
            raise NotFound.among("path", path, paths)
        asked = codec.from_query(request.args, StreamQuery)
        camera = cameras.find(asked.camera)
        key = PipelineKey(camera, name, asked.width, asked.height, asked.downsample, asked.fps, gate=asked.gate)
        body = streams.of_pipeline(key, request.environ)
        return Response(body, content_type=multipart.CONTENT_TYPE, headers=OPEN, direct_passthrough=True)

    @routes.get("/")
    @operation("This node, to read", {200: Answer("A page", media="text/html")})
    def home() -> Reply:
        return Response(_page(offer, pipelines), mimetype="text/html")

    return routes


def _uploaded() -> bytes:
    if request.mimetype != "multipart/form-data":
        return request.get_data(cache=False)
    upload = request.files.get("image")
    if upload is None:
        raise InvalidInput("image: missing; send the picture as the form field `image`", field="image")
    data: bytes = upload.read()
    return data


def _page(offer: Offer, pipelines: Pipelines) -> str:
    e = html.escape
    rows = "".join(
        f"<tr><td><code>{e(a.path)}</code><td>{e(a.model or '–')}<td>{e(a.engine or '')}<td>{a.fps}</tr>"
        for a in offer.entries()
    )
    failed = "".join(f"<li>{e(name)} is not offered: {e(why)}</li>" for name, why in offer.failed.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Fogline compute node</title><link rel=icon href='data:,'>"
        "<style>:root{color-scheme:light dark;font:16px/1.5 system-ui}"
        "body{max-width:50rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding-right:1.5rem}</style>"
        "<h1>Fogline compute node</h1>"
        f"<p>{len(pipelines.running())} of {pipelines.slots} slots are in use. <a href=docs>Its calls</a>.</p>"
        f"<table><tr><th>Path<th>Model<th>Engine<th>Frames a second</tr>{rows}</table><ul>{failed}</ul>"
    )
