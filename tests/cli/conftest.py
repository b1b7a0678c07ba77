"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.locked import Locked, locked


@pytest.fixture(scope="package")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """A locked registry for all tests of the command line: each makes its own people, keys and tokens in it."""
    yield from locked(tmp_path_factory.mktemp("locked"))


@pytest.fixture
def new_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """A locked registry at which nobody has signed in yet."""
    yield from locked(tmp_path_factory.mktemp("new"))
