"""The one table of who may call what. Every route of every service is here; tests go through it door by door.

Scopes: viewers have `view`; operators `detect` and `operate` besides; admins everything. `metrics` is for programs that
collect figures, and is contained in `view`. See mesh.access.Door.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mesh.access import Door, NodeKind

NODES: Final[frozenset[NodeKind]] = frozenset({"camera", "compute"})
UI: Final[frozenset[NodeKind]] = frozenset({"ui"})
ALL: Final[frozenset[NodeKind]] = NODES | UI

PUBLIC: Final = Door(public=True)
VIEW: Final = Door(scope="view")
OPERATE: Final = Door(scope="operate")
ADMIN: Final = Door(scope="admin")
METRICS: Final = Door(scope="metrics")
READ: Final = Door(scope="view", nodes=ALL)  # the mesh as it is: people, and nodes which have to know

COMMON: Final[Mapping[str, Door]] = {
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": METRICS,
    "GET /openapi.json": VIEW,
    "GET /docs": VIEW,
}

REGISTRY: Final[Mapping[str, Door]] = {
    **COMMON,
    # The mesh
    "POST /v1/nodes": Door(nodes=NODES),  # whose id the manifest gives is looked at by the handler
    "GET /v1/nodes": READ,
    "GET /v1/nodes/<node_id>": READ,
    "DELETE /v1/nodes/<node_id>": Door(scope="admin", nodes=NODES, own="node_id"),
    "POST /v1/nodes/<node_id>/heartbeat": Door(nodes=NODES, own="node_id"),
    "POST /v1/nodes/<node_id>/cameras": Door(nodes=frozenset({"camera"}), own="node_id"),
    "POST /v1/nodes/<node_id>/drain": Door(scope="operate", nodes=NODES, own="node_id"),
    "POST /v1/nodes/<node_id>/undrain": Door(scope="operate", nodes=NODES, own="node_id"),
    "GET /v1/algorithms": READ,
    "GET /v1/targets": METRICS,
    "POST /v1/targets": Door(nodes=UI),  # a dashboard says where it is
    "POST /v1/sessions": OPERATE,
    "GET /v1/sessions": READ,
    "GET /v1/sessions/<session_id>": READ,
    "DELETE /v1/sessions/<session_id>": OPERATE,
    "POST /v1/sessions/<session_id>/failover": VIEW,
    "GET /v1/sessions/<session_id>/stream": VIEW,
    "GET /v1/sessions/<session_id>/snapshot": VIEW,
    "GET /v1/sessions/<session_id>/detections": VIEW,
    "GET /v1/sessions/<session_id>/stats": VIEW,
    "POST /v1/tickets": VIEW,
    "GET /v1/events": READ,
    "GET /v1/discovered": OPERATE,
    "POST /v1/cameras": OPERATE,
    "GET /v1/cameras": READ,
    "GET /v1/cameras/<camera_id>": READ,
    "PATCH /v1/cameras/<camera_id>": OPERATE,
    "DELETE /v1/cameras/<camera_id>": OPERATE,
    # The original's calls
    "POST /cam": Door(scope="operate", original=True),
    "GET /cam": Door(scope="view", original=True),
    "POST /device": Door(scope="operate", original=True),
    "GET /device": Door(scope="view", original=True),
    "GET /": Door(scope="view", original=True),
    # People
    "GET /v1/setup": PUBLIC,
    "POST /v1/setup": PUBLIC,  # takes a one-time link's token
    "POST /v1/sign-in": PUBLIC,
    "GET /v1/me": Door(scope="view", nodes=ALL),
    "POST /v1/me/password": VIEW,
    "POST /v1/sign-out": VIEW,
    "DELETE /v1/me/sign-ins": VIEW,
    "GET /v1/users": ADMIN,
    "POST /v1/users": ADMIN,
    "PATCH /v1/users/<name>": ADMIN,
    "DELETE /v1/users/<name>": ADMIN,
    "POST /v1/users/<name>/link": ADMIN,
    "DELETE /v1/users/<name>/sign-ins": ADMIN,
    "GET /v1/keys": ADMIN,
    "POST /v1/keys": ADMIN,
    "DELETE /v1/keys/<key_id>": ADMIN,
    "GET /v1/audit": ADMIN,
    # Nodes' own keys
    "GET /v1/ca": PUBLIC,  # a certificate is no secret; who joins compares its fingerprint
    "POST /v1/join": PUBLIC,  # takes a join token
    "POST /v1/introspect": Door(nodes=ALL),
    "GET /v1/trust": Door(scope="view", nodes=ALL),
    "POST /v1/enrolments/<node_id>/certificate": Door(nodes=ALL, own="node_id"),
    "GET /v1/enrolments": ADMIN,
    "DELETE /v1/enrolments/<node_id>": ADMIN,
    "POST /v1/signing-keys": ADMIN,
    "GET /v1/join-tokens": ADMIN,
    "POST /v1/join-tokens": ADMIN,
    "DELETE /v1/join-tokens/<token_id>": ADMIN,
}

_FRAMES: Final = Door(scope="view", nodes=frozenset({"compute", "camera", "ui"}), ticket=True, original=True)
CAMERA: Final[Mapping[str, Door]] = {
    **COMMON,
    "GET /image.jpg": _FRAMES,
    "GET /stream.jpg": _FRAMES,
    "GET /": VIEW,
}

_WATCH: Final = Door(scope="view", nodes=UI, ticket=True)
COMPUTE: Final[Mapping[str, Door]] = {
    **COMMON,
    "GET /v1/sessions/<session_id>/stream": _WATCH,
    "GET /v1/sessions/<session_id>/snapshot": _WATCH,
    "GET /v1/sessions/<session_id>/detections": _WATCH,
    "GET /v1/sessions/<session_id>/stats": _WATCH,
    "POST /v1/detect/<algorithm>": Door(scope="detect"),
    "GET /<path:path>": Door(scope="detect", original=True),
    "GET /": VIEW,
}

DASHBOARD: Final[Mapping[str, Door]] = {
    **COMMON,
    # Pages; what a page may do is decided by the calls that it makes
    "GET /": VIEW,
    "GET /cameras": VIEW,
    "GET /nodes": VIEW,
    "GET /s/<session_id>": VIEW,
    "GET /about": VIEW,
    "GET /account": VIEW,
    "GET /access": ADMIN,
    "GET /audit": ADMIN,
    "GET /sign-in": PUBLIC,
    "GET /setup": PUBLIC,
    "GET /language/<language>": PUBLIC,
    "GET /assets/vendor/<name>": PUBLIC,
    "GET /assets/<stamp>/icons.svg": PUBLIC,
    "GET /assets/<stamp>/words/<language>.json": PUBLIC,
    "GET /assets/<stamp>/<path:path>": PUBLIC,
    "GET /favicon.ico": PUBLIC,
    # What pages call
    "POST /api/sign-in": PUBLIC,
    "POST /api/setup": PUBLIC,
    "POST /api/sign-out": VIEW,
    "GET /api/me": VIEW,
    "POST /api/me/password": VIEW,
    "DELETE /api/me/sign-ins": VIEW,
    "GET /api/overview": VIEW,
    "GET /api/events": VIEW,
    "POST /api/tickets": VIEW,
    "POST /api/sessions": OPERATE,
    "GET /api/sessions/<session_id>": VIEW,
    "DELETE /api/sessions/<session_id>": OPERATE,
    "POST /api/sessions/<session_id>/failover": VIEW,
    "POST /api/nodes/<node_id>/drain": OPERATE,
    "POST /api/nodes/<node_id>/undrain": OPERATE,
    "POST /api/cameras": OPERATE,
    "GET /api/cameras/<camera_id>": VIEW,
    "PATCH /api/cameras/<camera_id>": OPERATE,
    "DELETE /api/cameras/<camera_id>": OPERATE,
    "GET /api/discovered": OPERATE,
    "GET /api/users": ADMIN,
    "POST /api/users": ADMIN,
    "PATCH /api/users/<name>": ADMIN,
    "DELETE /api/users/<name>": ADMIN,
    "POST /api/users/<name>/link": ADMIN,
    "DELETE /api/users/<name>/sign-ins": ADMIN,
    "GET /api/keys": ADMIN,
    "POST /api/keys": ADMIN,
    "DELETE /api/keys/<key_id>": ADMIN,
    "GET /api/audit": ADMIN,
    "GET /api/enrolments": ADMIN,
    "DELETE /api/enrolments/<node_id>": ADMIN,
    "GET /api/join-tokens": ADMIN,
    "POST /api/join-tokens": ADMIN,
    "DELETE /api/join-tokens/<token_id>": ADMIN,
    # Where a session always is, and its pictures through this service for who cannot reach nodes
    "GET /sessions/<session_id>/stream": VIEW,
    "GET /sessions/<session_id>/snapshot": VIEW,
    "GET /sessions/<session_id>/detections": VIEW,
    "GET /sessions/<session_id>/stats": VIEW,
    "GET /relay/sessions/<session_id>/<view>": VIEW,
    "GET /relay/cameras/<camera_id>/<view>": VIEW,
}

SERVICES: Final[Mapping[str, Mapping[str, Door]]] = {
    "registry": REGISTRY,
    "camera": CAMERA,
    "compute": COMPUTE,
    "ui": DASHBOARD,
}
