"""Exit with 0 when the service of this container answers: `python deploy/healthcheck.py PORT`.

FOGLINE_PORT goes before PORT, as it does for the service. A service that hangs does not answer in time.
"""

import os
import socket
import ssl
import sys

SECONDS = 2.0  # for an answer; containers' own limit is 3 s
# A bare socket: an HTTP client costs ten times as much to import, every five seconds in every container.
REQUEST = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"

port = int(os.environ.get("FOGLINE_PORT") or sys.argv[1])
with socket.create_connection(("127.0.0.1", port), SECONDS) as plain:
    connection = plain
    if os.environ.get("FOGLINE_TLS", "").lower() in ("1", "true", "yes", "on"):
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE  # it is this container's own
        connection = unchecked.wrap_socket(plain)
    connection.sendall(REQUEST)
    sys.exit(0 if connection.recv(64).split()[1:2] == [b"200"] else 1)
