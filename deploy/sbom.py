"""Make the images' bills of materials: `python deploy/sbom.py [FOLDER]` writes FOLDER/sbom-ROLE.cdx.json (dist/ when
missing), CycloneDX JSON.

They name what the lists of exact versions name (deploy/requirements-ROLE.txt), each with its hashes; the dashboard's
also its libraries from npm, by ui/package-lock.json. The base image's own packages are its publisher's to name. The
same lists give the same bill. It needs cyclonedx-bom (requirements-dev.txt), and no network.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.lock import ROLES, file_of  # noqa: E402
from mesh.version import VERSION  # noqa: E402

OPTIONS = ("--output-format", "JSON", "--output-reproducible", "--output-file", "-")
Json = dict[str, Any]


def bills() -> dict[str, Json]:
    """What each role's image holds, as a CycloneDX document. Raises CalledProcessError."""
    entries = {role: _entries(file_of(role).read_text()) for role in ROLES}
    # All in one go: the tool takes seconds to start.
    everything = "\n".join({entry: None for listed in entries.values() for entry in listed.values()})
    done = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", "requirements", *OPTIONS, "-"],
        check=True,
        capture_output=True,
        input=everything.encode(),
    )
    document: Json = json.loads(done.stdout)
    for tool in document["metadata"]["tools"]["components"]:
        tool.pop("externalReferences", None)
    known = {(one["name"], one["version"]): _of_the_list(one) for one in document["components"]}
    return {role: _bill(document, role, [known[pin] for pin in listed]) for role, listed in entries.items()}


def _entries(text: str) -> dict[tuple[str, str], str]:
    """The entries of a list by name and version."""
    return {(found[1], found[2]): found[0] for found in re.finditer(r"^([\w.-]+)==([^ \n]+).*(?:\n +.*)*", text, re.M)}


def _bill(document: Json, role: str, found: list[Json]) -> Json:
    if role == "ui":
        found += npm_components(ROOT / "ui" / "package-lock.json")
    image = {
        "type": "container",
        "bom-ref": f"fogline/{role}",
        "name": f"fogline/{role}",
        "version": VERSION,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    refs = sorted(one["bom-ref"] for one in found)
    return {
        **document,
        "metadata": {**document["metadata"], "component": image},
        "components": found,
        "dependencies": [{"ref": f"fogline/{role}", "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }


def _of_the_list(component: Json) -> Json:
    """A component as cyclonedx-py reads it from a list, told by what it is and not by where this machine got it."""
    files = [{**one, "url": component["purl"]} for one in component["externalReferences"]]
    return {
        "type": component["type"],
        "bom-ref": component["purl"],
        "name": component["name"],
        "version": component["version"],
        "purl": component["purl"],
        "externalReferences": files,
    }


def npm_components(lock: Path) -> list[Json]:
    """The libraries of a package-lock.json that are served, without those that only tests need."""
    components = []
    for path, package in sorted(json.loads(lock.read_text())["packages"].items()):
        name = path.rpartition("node_modules/")[2]
        if not name or package.get("dev"):
            continue
        purl = f"pkg:npm/{quote(name, safe='/')}@{package['version']}"
        algorithm, _, digest = package["integrity"].partition("-")
        components.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": package["version"],
                "purl": purl,
                "licenses": [{"expression": package["license"]}],
                "hashes": [{"alg": f"SHA-{algorithm[3:]}", "content": base64.b64decode(digest).hex()}],
            }
        )
    return components


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    for role, made in bills().items():
        file = folder / f"sbom-{role}.cdx.json"
        file.write_text(json.dumps(made, indent=2) + "\n")
        sys.stdout.write(f"{file}\n")
