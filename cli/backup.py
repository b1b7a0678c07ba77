"""`./fogline backup` and `restore`: all of a registry that is worth keeping, as one file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.options import from_settings
from cli.settings import BackupSettings
from mesh.errors import SetupProblem
from mesh.keys import private_file
from registry.settings import IN_MEMORY, RegistrySettings

if TYPE_CHECKING:
    from registry.archive import Archive

# What only a registry has installed is imported when it is used: `fogline --help` runs on every machine.
# ruff: noqa: PLC0415
TIMEOUT: Final = 5.0  # seconds for one call to Redis: nobody waits for it, and a large mesh has a large book
STREAM: Final = "-"  # instead of a file: standard output or input


@click.command()
@click.argument("file", metavar="FILE|-")
@from_settings(BackupSettings)
def backup(settings: BackupSettings, file: str) -> None:
    """Writes all of the registry that is worth keeping to FILE: people, API keys, join tokens, the keys of nodes and of
    the registry, added cameras with their sources. The file holds secrets."""
    from registry import archive
    from registry.access.redis_book import RedisBook
    from registry.redis_connection import connection
    from registry.redis_store import RedisStore

    if file == STREAM and sys.stdout.isatty():
        raise SetupProblem("the backup holds secrets, and a terminal keeps what it shows: send it into a file")
    with _redis_of(settings, new=False) as opened:
        taken = archive.take(RedisBook(connection(opened)), RedisStore(opened), settings.data)
    document = archive.written(taken)
    if file == STREAM:
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    else:
        _write(Path(file), document)
    click.echo(f"Kept in {'the backup' if file == STREAM else file}: {_counted(taken)}.", err=True)
    click.echo(taken.warning, err=True)


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("--replace", is_flag=True, help="put the backup in the place of what the registry has now")
@from_settings(BackupSettings)
def restore(settings: BackupSettings, file: str, replace: bool) -> None:
    """Makes the registry have what is in the backup FILE. It looks through all of it before it changes anything; a
    registry that is not empty is refused without --replace. Registries may run meanwhile."""
    from registry import archive
    from registry.access.redis_book import RedisBook
    from registry.redis_connection import connection
    from registry.redis_store import RedisStore

    found = archive.read(_read(file))
    with _redis_of(settings, new=True) as opened:
        archive.restore(found, RedisBook(connection(opened)), RedisStore(opened), settings.data, instead=replace)
    click.echo(f"Restored from the backup of {found.made_at}, made by Fogline {found.made_by}: {_counted(found)}.")
    click.echo(
        "Registries that run take it up within half a minute, and nodes go on with the keys they have.", err=True
    )
    if found.authority is not None:
        click.echo("Start the registries anew: they take up the authority for TLS only then.", err=True)


@contextmanager
def _redis_of(settings: BackupSettings, *, new: bool) -> Iterator[RegistrySettings]:
    """The settings of a registry on the Redis that is meant. That of the data folder is run meanwhile, when no registry
    does so; new: also one that does not exist yet. Raises SetupProblem."""
    if settings.redis == IN_MEMORY:
        raise SetupProblem("a registry with --redis memory: keeps nothing that could be copied: give it a Redis")
    made = RegistrySettings(redis=settings.redis, redis_timeout=TIMEOUT, data=settings.data)
    if settings.redis:
        yield made
        return
    from registry.valkey import EmbeddedValkey, socket_of

    embedded = EmbeddedValkey(settings.data)
    if not new and not embedded.folder.exists():
        raise SetupProblem(
            f"no registry has kept anything in {settings.data}: name its folder with --data (FOGLINE_DATA), or its"
            " Redis with --redis (FOGLINE_REDIS)"
        )
    socket = socket_of(embedded.folder)
    if _answers(socket):
        yield RegistrySettings(redis=f"unix://{socket}", redis_timeout=TIMEOUT, data=settings.data)
        return
    embedded.start()
    try:
        yield RegistrySettings(redis=embedded.url, redis_timeout=TIMEOUT, data=settings.data)
    finally:
        embedded.stop()


def _answers(socket: Path) -> bool:
    import redis

    try:
        with redis.Redis(unix_socket_path=str(socket), socket_timeout=TIMEOUT) as client:
            return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STREAM else Path(file).read_bytes()
    except OSError as error:
        raise SetupProblem(f"cannot read {file}: {error.strerror}") from None


def _write(file: Path, document: bytes) -> None:
    """For this user alone, and whole or not at all. Raises SetupProblem."""
    if not file.parent.is_dir():
        raise SetupProblem(f"cannot write {file}: there is no folder {file.parent}")
    try:
        private_file(file, document)
    except SetupProblem as error:
        raise SetupProblem(error.detail.partition("; set --data")[0]) from None


def _counted(found: Archive) -> str:
    return ", ".join(f"{count} {words}" for words, count in found.counts().items() if count)
