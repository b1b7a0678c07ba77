"""How much is tried by the tests that make up their own input, and what no answer may be.

FOGLINE_FUZZ_CASES is the number of cases of each such file; each case is another one with each run when it is given,
and the same ones when it is not, so that a test run does not depend on luck.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import requests
from hypothesis import HealthCheck, Phase
from hypothesis.configuration import set_hypothesis_home_dir
from urllib3.exceptions import HTTPError

GIVEN = int(os.environ.get("FOGLINE_FUZZ_CASES", "0"))
CASES = GIVEN or 400  # of one file
SECONDS = max(120, CASES // 2)  # after which a test counts as hanging
ANSWER = 20.0  # seconds in which every call is answered: a relay waits 15 for a first picture
LOOKED_AT = 64 * 1024  # bytes of an answer; a stream has no end
INSIDE = re.compile(r"Traceback|File \"|/site-packages/|\.py\b|werkzeug|gunicorn|msgspec\.|\bat 0x[0-9a-f]{6}")
ENDLESS = ("multipart/", "text/event-stream")
UNREAD = (400, 414, 431)  # of the server itself, which could not make a request of what came

# Nothing is kept between two runs.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "fogline-hypothesis")


def trying(share: float) -> hypothesis.settings:
    """The settings of a test that has this share of its file's cases."""
    return hypothesis.settings(
        max_examples=max(1, round(CASES * share)),
        database=None,
        deadline=None,
        derandomize=not GIVEN,
        phases=(Phase.explicit, Phase.generate),  # a case says what it sent: a smaller one is not worth the wait
        suppress_health_check=list(HealthCheck),
    )


@dataclass
class Tally:
    """What came of the cases of one service."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0

    @property
    def cases(self) -> int:
        return self.statuses.total()

    def __str__(self) -> str:
        return f"{self.cases} cases, {dict(sorted(self.statuses.items()))}, slowest {self.slowest:.2f} s"


def look_at(answer: requests.Response, what: str) -> bytes:
    """The beginning of what was answered, looked through. Fails for what no caller may ever see."""
    kind = answer.headers.get("Content-Type", "")
    body = b""
    try:
        if not kind.startswith(ENDLESS):
            body = answer.raw.read(LOOKED_AT, decode_content=True)
    except HTTPError as error:
        raise AssertionError(f"{what}: {error}") from None
    finally:
        answer.close()
    status = answer.status_code
    words = body.decode("utf-8", "replace")
    assert status < 500 or status == 503, (what, status, words[:500])
    assert "Traceback" not in words, (what, words[:500])
    if status >= 400 and not (status in UNREAD and kind == "text/html"):
        assert kind.startswith("application/problem+json"), (what, status, kind, words[:500])
        problem = json.loads(body)
        assert problem["status"] == status, (what, words[:500])
        # What is quoted is the caller's own.
        said = re.sub(r"'[^']*'|\"[^\"]*\"", "", f"{problem['title']} {problem['detail']}")
        assert not INSIDE.search(said), (what, words[:500])
    return body


class Caller:
    """Asks one service over a connection that is kept, and counts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tally = Tally()
        self._session = requests.Session()
        self._session.trust_env = False

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> requests.Response:
        """target: path and query, encoded; it goes out as it is."""
        # Prepared by hand: requests would tidy up what is to arrive as it was made.
        asked = requests.Request(method, self.url, headers=headers, data=body or None).prepare()
        asked.url = self.url + target
        began = time.monotonic()
        try:
            answer = self._session.send(asked, timeout=ANSWER, stream=True, allow_redirects=False)
        except requests.Timeout as error:
            raise AssertionError(f"{method} {target:.500} {body[:500]!r}: {error}") from None
        took = time.monotonic() - began
        self.tally.slowest = max(self.tally.slowest, took)
        assert took < ANSWER, (method, target, took)
        self.tally.statuses[answer.status_code] += 1
        return answer

    def is_there(self) -> None:
        """The service answers as ever."""
        assert requests.get(f"{self.url}/readyz", timeout=ANSWER).ok
