"""What the images install is exact, checked and named."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.advisories import report
from deploy.lock import LISTS, ROLES, file_of, needs, stamp
from tests.processes import ROOT

HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(role: str) -> list[tuple[Requirement, int]]:
    """What a list names, each with how many files of it are good."""
    text = re.sub(r"^#.*\n", "", file_of(role).read_text(), flags=re.MULTILINE)
    found = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry]
    return [(Requirement(entry.partition(" \\")[0]), len(HASH.findall(entry))) for entry in found]


@pytest.mark.parametrize("role", LISTS)
def test_every_list_is_exact_and_was_made_for_what_is_needed_now(role: str) -> None:
    """One version and its hashes for each package; made anew by `python deploy/lock.py` when pyproject.toml changes."""
    assert stamp(role) in file_of(role).read_text(), "run: python deploy/lock.py"
    listed = pins(role)
    assert all(hashes for _, hashes in listed)
    assert all(re.fullmatch(r"==[^=*,]+", str(one.specifier)) for one, _ in listed)
    for wanted in map(Requirement, needs(role)):
        same = [one for one, _ in listed if canonicalize_name(one.name) == canonicalize_name(wanted.name)]
        assert same, wanted.name
        for one in same:
            assert wanted.specifier.contains(str(one.specifier).removeprefix("==")), one


@pytest.mark.parametrize("role", LISTS)
def test_a_list_names_packages_and_not_where_they_come_from(role: str) -> None:
    """No index, no address, no option but the hashes."""
    words = set(re.findall(r"--[a-z-]+", file_of(role).read_text()))
    assert words == {"--hash"}
    assert "://" not in file_of(role).read_text()


def test_what_two_images_share_is_the_same_in_both() -> None:
    """A hole is mended in all of them or in none."""
    versions: dict[str, dict[str, set[str]]] = {}
    for role in ROLES:
        for one, _ in pins(role):
            versions.setdefault(one.name, {}).setdefault(role, set()).add(str(one.specifier))
    assert not {name: by for name, by in versions.items() if len({frozenset(pinned) for pinned in by.values()}) > 1}


def test_the_images_install_nothing_else() -> None:
    """Every install of the Dockerfile asks for hashes and for nothing that the list lacks."""
    files = (ROOT / "Dockerfile", ROOT / "deploy" / "install.sh")
    installs = [
        line for file in files for line in file.read_text().splitlines() if re.search(r"\bpip .*install\b", line)
    ]
    installs = [line for line in installs if "uninstall" not in line]
    assert len(installs) == 3
    assert all("--require-hashes --no-deps" in line for line in installs)


def test_the_dashboards_libraries_are_checked_by_their_hashes() -> None:
    """npm's lock has a SHA-512 for each, and they are installed by `npm ci`, which obeys it."""
    packages = json.loads((ROOT / "ui" / "package-lock.json").read_text())["packages"]
    listed = {path: package for path, package in packages.items() if path}
    assert listed
    for path, package in listed.items():
        kind, _, digest = package["integrity"].partition("-")
        assert (kind, len(base64.b64decode(digest))) == ("sha512", 64), path
    assert '"ci"' in (ROOT / "cli" / "prepare.py").read_text()


def test_every_image_has_a_valid_bill_of_materials(tmp_path: Path) -> None:
    """CycloneDX, by its own schema; it names all that the lists name, and the dashboard's libraries."""
    command = [sys.executable, str(ROOT / "deploy" / "sbom.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    for role in ROLES:
        text = (tmp_path / f"sbom-{role}.cdx.json").read_text()
        document = json.loads(text)
        version = SchemaVersion.from_version(document["specVersion"])
        assert JsonStrictValidator(version).validate_str(text) is None
        assert document["metadata"]["component"]["name"] == f"fogline/{role}"
        named = {(one["name"], one["version"]) for one in document["components"] if one["purl"].startswith("pkg:pypi/")}
        assert named == {(one.name, str(one.specifier).removeprefix("==")) for one, _ in pins(role)}
        libraries = [one["name"] for one in document["components"] if one["purl"].startswith("pkg:npm/")]
        assert bool(libraries) == (role == "ui")
        assert "simple/" not in text  # which index it came from is the builder's business


def test_no_answer_about_vulnerabilities_is_no_finding_and_a_known_one_is() -> None:
    """A check that turns red without a network would be switched off."""
    assert report(None)[1] == 0
    words, status = report([{"name": "a", "skip_reason": "not found"}])
    assert status == 0
    assert "not checked" in words
    good = {"name": "b", "version": "1.0", "vulns": []}
    assert report([good, {"name": "a", "skip_reason": "not found"}]) == (
        "known vulnerabilities: none in 1 packages; 1 unknown",
        0,
    )
    hole = {"name": "c", "version": "2.0", "vulns": [{"id": "CVE-2099-1", "fix_versions": ["2.1"]}]}
    words, status = report([good, hole])
    assert status == 1
    assert "c 2.0: CVE-2099-1, mended in 2.1" in words
