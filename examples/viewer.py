"""A viewer that survives the death of the node that serves it: viewer.py REGISTRY SESSION_ID [--key API_KEY]

The rule: open the registry's address, again whenever the stream ends; after a second without pictures ask for another
node. Where the mesh is locked, an API key (also FOGLINE_API_KEY) goes to the registry, never to a node: the address to
which the registry leads is signed. `mesh.follow.Follower` does the same with more patience for slow cameras.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import requests

arguments = argparse.ArgumentParser()
arguments.add_argument("registry")
arguments.add_argument("session_id")
arguments.add_argument("--key", default=os.environ.get("FOGLINE_API_KEY", ""))
given = arguments.parse_args()
shown = {"Authorization": f"Bearer {given.key}"} if given.key else {}
stable = f"{given.registry.rstrip('/')}/v1/sessions/{given.session_id}"
node, token, frames, seen_at = "", 0, 0, time.monotonic()
while True:
    try:
        led = requests.get(f"{stable}/stream", headers=shown, timeout=2, allow_redirects=False)
        if led.status_code in (401, 403):
            sys.exit(led.json()["detail"])
        led.raise_for_status()
        place = urlsplit(led.headers.get("Location", ""))
        token = int(parse_qs(place.query).get("token", ["0"])[0])
        with requests.get(place.geturl(), stream=True, timeout=(0.5, 1)) as answer:
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
            requests.post(f"{stable}/failover", headers=shown, json={"token": token}, timeout=2)
