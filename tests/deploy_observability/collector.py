"""A real Prometheus on a mesh, with our configuration: only addresses, the key's place and times are changed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.deploy_observability.boards import OBSERVABILITY, Json
from tests.processes import free_port, wait_for


class Prometheus:
    """Answers queries."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer. Raises AssertionError with Prometheus's words for a query that it does not take."""
        answer = self._session.get(f"{self._url}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.ok, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def query(self, text: str) -> list[Json]:
        """The series that a query gives now."""
        found = self.ask("query", query=text)
        result: list[Json] = found["result"] if found["resultType"] == "vector" else [found]
        return result

    def targets(self) -> list[Json]:
        """What is scraped for the job fogline."""
        return [one for one in self.ask("targets")["activeTargets"] if one["labels"]["job"] == "fogline"]

    def firing(self) -> dict[str, Json]:
        """The labels of the alerts that fire, by the alert's name."""
        found = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"]: one["labels"] for one in found if one["state"] == "firing"}


@contextmanager
def prometheus(program: str, folder: Path, registry: str, key: Path) -> Iterator[Prometheus]:
    """It scrapes each second, and its alerts wait for five seconds, for a busy machine misses one.

    key: the file that the registry made.
    """
    config: Json = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    fogline = next(job for job in config["scrape_configs"] if job["job_name"] == "fogline")
    (discovery,) = fogline["http_sd_configs"]
    assert discovery["url"] == "http://registry:5050/v1/targets"
    discovery |= {"url": f"{registry}/v1/targets", "refresh_interval": "1s"}
    fogline["scrape_timeout"] = "1s"
    for where in (fogline, discovery):
        where["authorization"]["credentials_file"] = str(key)
    port = free_port()
    itself = next(job for job in config["scrape_configs"] if job["job_name"] == "prometheus")
    itself["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    (folder / "rules").mkdir(parents=True)
    rules = (OBSERVABILITY / "rules" / "fogline.yml").read_text()
    (folder / "rules" / "fogline.yml").write_text(re.sub(r"(?m)^(\s+for:) \w+$", r"\1 5s", rules))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *options], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"

            def ready() -> bool:
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                return requests.get(f"{url}/-/ready", timeout=2).ok

            wait_for(ready, 20, "Prometheus")
            yield Prometheus(url)
        finally:
            process.terminate()
            process.wait(10)
