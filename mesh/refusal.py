"""The whole answer to a request that is refused outside of the web framework, as bytes for its connection."""

from __future__ import annotations

from mesh.errors import FoglineError
from mesh.service import problem_reply
from mesh.stills import render


def refusal(error: FoglineError) -> bytes:
    body, status, headers = problem_reply(error)
    data = body.encode() if isinstance(body, str) else body
    pairs = [*headers.items(), ("X-Content-Type-Options", "nosniff"), ("Content-Length", str(len(data)))]
    return render(f"{status} {error.title}", pairs, keep=False) + data
