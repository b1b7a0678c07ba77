"""The camera node's calls: parse, call, respond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from flask import Blueprint, Response, request

from camera_node.page import Facts, page
from camera_node.streams import Streams
from camera_node.variants import Variants, Wanted
from mesh import codec, multipart
from mesh.access_wire import TicketText
from mesh.errors import SourceLost
from mesh.frame import Frame
from mesh.limits import MAX_DOWNSAMPLE
from mesh.manifest import Side
from mesh.node_door import right_of
from mesh.openapi import Answer, operation
from mesh.stills import Still
from mesh.wire import Fps, Problem

OPEN = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
EXPOSED = {"Access-Control-Expose-Headers": "X-Timestamp, X-Frame, X-No-Signal"}
NOT_YET = Answer("No picture yet, or too many viewers", Problem)
WRONG = Answer("A parameter is wrong", Problem)
Quality = Annotated[int, msgspec.Meta(ge=1, le=100)]
Divisor = Annotated[int, msgspec.Meta(ge=1, le=MAX_DOWNSAMPLE)]


class PictureQuery(msgspec.Struct, frozen=True, kw_only=True):
    """width, height: pixels that the picture fits into, its shape kept; it is never enlarged. downsample: divides both
    sides after that. quality: of the JPEG. ticket: of a signed address."""

    width: Side | None = None
    height: Side | None = None
    downsample: Divisor = 1
    quality: Quality | None = None
    ticket: TicketText | None = None

    def wanted(self) -> Wanted:
        return Wanted(self.width, self.height, self.downsample, self.quality)


class StreamQuery(PictureQuery, frozen=True, kw_only=True):
    """fps: frames a second at most."""

    fps: Fps | None = None


def camera_routes(
    newest: Callable[[], Frame | None], variants: Variants, streams: Streams, describe: Callable[[], Facts]
) -> Blueprint:
    """newest: the newest frame; may encode. describe: what the page tells of the camera."""
    routes = Blueprint("camera", __name__)

    def first() -> Frame:
        frame = newest()
        if frame is None:
            raise SourceLost("no picture yet: the source is being opened", retry_after=1)
        return frame

    @routes.get("/image.jpg")
    @operation(
        "The newest picture",
        {200: Answer("A picture", media="image/jpeg"), 422: WRONG, 503: NOT_YET},
        query=PictureQuery,
        tag="camera",
    )
    def image() -> Response:
        """Without parameters the JPEG is the source's own, byte for byte. While the source is lost, a picture that
        says why; it carries `X-No-Signal`."""
        asked = codec.from_query(request.args, PictureQuery)
        wanted = asked.wanted()
        right = right_of(request.environ)
        still = Still(variants.get(first(), wanted), lambda: streams.stills(wanted, right))
        headers = {**OPEN, **EXPOSED, **still.headers()}
        return Response(still, mimetype="image/jpeg", headers=headers, direct_passthrough=True)

    @routes.get("/stream.jpg")
    @operation(
        "The live pictures",
        {200: Answer("MJPEG, one part a frame", media="multipart/x-mixed-replace"), 422: WRONG, 503: NOT_YET},
        query=StreamQuery,
        tag="camera",
    )
    def stream() -> Response:
        """Every part carries `X-Timestamp` and `X-Frame`. The newest frame wins: a slow viewer misses some."""
        asked = codec.from_query(request.args, StreamQuery)
        first()
        if request.method == "HEAD":
            return Response(content_type=multipart.CONTENT_TYPE, headers=OPEN)
        body = streams.open(asked.wanted(), asked.fps, request.environ)
        return Response(body, content_type=multipart.CONTENT_TYPE, headers=OPEN, direct_passthrough=True)

    @routes.get("/")
    @operation("This camera, to look at", {200: Answer("A page", media="text/html")}, tag="camera")
    def home() -> Response:
        return Response(page(describe()), mimetype="text/html")

    return routes
