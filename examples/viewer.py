"""A viewer that survives the death of the node that serves it: viewer.py REGISTRY SESSION_ID

The rule: open the registry's address, again whenever the stream ends; after a second without pictures ask for another
node. `mesh.follow.Follower` does the same with more patience for slow cameras.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import requests

registry, session_id = sys.argv[1:3]
stable = f"{registry.rstrip('/')}/v1/sessions/{session_id}"
node, token, frames, seen_at = "", 0, 0, time.monotonic()
while True:
    try:
        with requests.get(f"{stable}/stream", stream=True, timeout=(0.5, 1)) as answer:
            place = urlsplit(answer.url)  # where the registry led
            token = int(parse_qs(place.query).get("token", ["0"])[0])
            answer.raise_for_status()
            if place.netloc != node:
                print(f"{frames} pictures so far; now from {place.netloc}", flush=True)  # noqa: T201
                node = place.netloc
            for chunk in answer.iter_content(2048):
                frames += chunk.count(b"X-Frame: ")
                seen_at = time.monotonic()
    except requests.RequestException:
        time.sleep(0.1)  # the node is gone, or silent for a second
    if time.monotonic() - seen_at > 1 and token:
        seen_at = time.monotonic()
        with suppress(requests.RequestException):  # the registry is away: what runs goes on
            requests.post(f"{stable}/failover", json={"token": token}, timeout=2)
