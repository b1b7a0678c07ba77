"""HTTP connections to addresses that were looked at, whatever the name in the URL means a moment later."""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from camera_node.sources.url import CONNECT_TIMEOUT
from mesh.networks import Networks


class PinnedAdapter(HTTPAdapter):
    """For a requests session: connects within `networks` only. Host header, SNI and the check of a certificate keep the
    URL's name. Requests raise mesh.networks.Outside besides."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        networks = self._networks

        def connected(connection: HTTPConnection) -> socket.socket:
            return networks.connect(connection.host, connection.port, CONNECT_TIMEOUT)

        plain = type("Plain", (HTTPConnection,), {"_new_conn": connected})
        secured = type("Secured", (HTTPSConnection,), {"_new_conn": connected})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecuredPool", (HTTPSConnectionPool,), {"ConnectionCls": secured}),
        }
