"""The dashboard behind the proxy that `docker compose --profile tls up` runs: the same Caddyfile, in a real Caddy."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from mesh.multipart import Part, Reader, boundary_of
from tests.processes import ROOT, Running, free_port, wait_for
from tests.ui.locked_mesh import PASSWORD, Locked, locked_mesh


@dataclass
class Proxied:
    """url: the dashboard's as people open it. authority: the file of Caddy's own."""

    mesh: Locked
    url: str
    authority: str

    def browser(self, role: str) -> requests.Session:
        """One in which somebody with this role has signed in through the proxy."""
        browser = requests.Session()
        browser.trust_env = False
        browser.verify = self.authority
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        body = {"name": self.mesh.person(role), "password": PASSWORD}
        answer = browser.post(f"{self.url}/api/sign-in", json=body, timeout=10)
        assert answer.ok, answer.text
        return browser


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Proxied]:
    program = shutil.which("caddy")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("Caddy is missing: ./fogline test installs Debian's package where it may")
        pytest.skip("Caddy is not installed (Debian's package caddy)")
    folder = tmp_path_factory.mktemp("caddy")
    (folder / "data").mkdir()
    (folder / "data" / "media").symlink_to(models / "media")
    port = free_port()
    with ExitStack() as stack:
        mesh = stack.enter_context(locked_mesh(folder, "--trusted-proxies", "1"))
        join = ("--access", "locked", "--data", str(mesh.data), "--registry", mesh.registry.url)
        small = ("--source", "demo:", "--width", "320", "--height", "180")
        for role, words in (("camera", small), ("compute", ("--algorithms", "echo"))):
            log = folder / f"{role}.log"
            stack.enter_context(Running(role, *join, *words, port=free_port(), log=log))
        caddy = subprocess.Popen(
            [program, "run", "--config", str(ROOT / "deploy" / "Caddyfile"), "--adapter", "caddyfile"],
            env={
                "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder),
                "FOGLINE_ADDRESS": "localhost", "FOGLINE_TLS_PORT": str(port),
                "FOGLINE_UPSTREAM": mesh.ui.removeprefix("http://"),
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(caddy.wait, 10)
        stack.callback(caddy.terminate)
        authority = str(folder / "caddy" / "pki" / "authorities" / "local" / "root.crt")
        url = f"https://localhost:{port}"
        wait_for(lambda: Path(authority).exists(), 15, "Caddy's authority")
        wait_for(lambda: requests.get(f"{url}/healthz", verify=authority, timeout=5).ok, 15, "the dashboard by https")
        yield Proxied(mesh, url, authority)


def test_a_sign_in_through_the_proxy_is_kept_for_https_alone(proxied: Proxied) -> None:
    """The cookie is Secure and bound to the host, and browsers are told to come by https from now on."""
    answer = requests.post(
        f"{proxied.url}/api/sign-in",
        json={"name": proxied.mesh.person("viewer"), "password": PASSWORD},
        headers={"Sec-Fetch-Site": "same-origin"}, verify=proxied.authority, timeout=10,
    )  # fmt: skip
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-fogline=")
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert answer.headers["Strict-Transport-Security"]


def test_the_audit_has_the_browsers_address(proxied: Proxied) -> None:
    """Not the proxy's word alone: it is believed because one proxy is trusted, and no more than one."""
    forged = {"X-Forwarded-For": "203.0.113.9", "Sec-Fetch-Site": "same-origin"}
    requests.post(
        f"{proxied.url}/api/sign-in",
        json={"name": "nobody-here", "password": "x"}, headers=forged, verify=proxied.authority, timeout=10,
    )  # fmt: skip
    entries = proxied.mesh.ask("GET", "/v1/audit")["entries"]
    refused = next(one for one in entries if one["action"] == "sign-in refused")  # nodes may be joining meanwhile
    assert refused["address"] in ("127.0.0.1", "::1")


def test_pictures_come_through_the_proxy(proxied: Proxied) -> None:
    """A browser that reaches nothing but the proxy gets relayed pictures, one after the other as they come."""

    def ready() -> bool:
        return len(proxied.mesh.ask("GET", "/v1/nodes?state=ready")["nodes"]) == 2

    wait_for(ready, 30, "both nodes")
    browser = proxied.browser("operator")
    started = browser.post(f"{proxied.url}/api/sessions", json={"camera": "demo", "algorithm": "echo"}, timeout=10)
    assert started.status_code == 201, started.text
    session_id = started.json()["session_id"]
    tickets = browser.post(f"{proxied.url}/api/tickets", json={"sessions": [session_id]}, timeout=10).json()
    address = tickets["sessions"][session_id]["stream_url"]
    assert "127.0.0.1" not in address
    with browser.get(f"{proxied.url}/{address.lstrip('/')}", stream=True, timeout=15) as answer:
        assert answer.ok, answer.text
        reader = Reader(boundary_of(answer.headers["Content-Type"]))
        parts: list[Part] = []
        for data in answer.iter_content(65536):
            parts += reader.feed(data)
            if len(parts) >= 5:
                break
    assert all(part.body.startswith(b"\xff\xd8") for part in parts)
