"""Exit with 0 when the service of this container is alive: `python deploy/healthcheck.py PORT`."""

import sys
import urllib.request

with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/healthz", timeout=2) as answer:
    sys.exit(0 if answer.status == 200 else 1)
