"""The original tutorial's registry, written anew for comparison: `python -m bench.programs.original_registry …`.

Flask's own server with a thread a request. A node is one key, its host's name, with its document as JSON and fifteen
minutes to live; a list walks over all keys and gets each by itself. Nothing else is remembered, and nobody beats.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import redis
from flask import Flask, jsonify, request

KEPT_SECONDS = 900


def make(address: str) -> Flask:
    """The application on the Redis at `address`; devices in its database 0, cameras in 1."""
    app = Flask(__name__)
    for route, number in (("device", 0), ("cam", 1)):
        _add(app, route, redis.Redis.from_url(address, db=number))
    return app


def _add(app: Flask, route: str, store: redis.Redis) -> None:
    def post() -> Any:
        document = request.get_json()
        store.setex(document["host_name"], KEPT_SECONDS, json.dumps(document))
        return jsonify(document)

    def get() -> Any:
        documents = []
        for key in store.scan_iter():
            value = store.get(key)
            if value is not None:
                documents.append(json.loads(str(value, "utf-8") if isinstance(value, bytes) else str(value)))
        return jsonify(documents)

    app.add_url_rule(f"/{route}", f"post_{route}", post, methods=["POST"])
    app.add_url_rule(f"/{route}", f"get_{route}", get, methods=["GET"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", required=True, help="address of a Redis of its own")
    given = parser.parse_args()
    make(given.redis).run("127.0.0.1", given.port, threaded=True)


if __name__ == "__main__":
    main()
