"""Promises of fscache.urls.lease."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from fscache.fs.lock import try_flock
from fscache.urls.lease import leased, open_leased

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "object"
    path.write_bytes(b"bytes")
    path.chmod(0o444)
    return path


@pytest.fixture
def purgeable(path: Path) -> Callable[[], bool]:
    """Whether a purge may take the object: it can have the lock for itself."""

    def look() -> bool:
        fd = os.open(path, os.O_RDONLY)
        try:
            return try_flock(fd)
        finally:
            os.close(fd)

    return look


def test_an_object_is_not_purgeable_while_it_is_leased(
    path: Path, purgeable: Callable[[], bool]
) -> None:
    assert purgeable()
    with leased(lambda: path) as leased_path:
        assert leased_path == path
        assert not purgeable()
        with leased(lambda: path):
            assert not purgeable()
        assert not purgeable()
    assert purgeable()


def test_a_lease_ends_also_by_an_exception(path: Path, purgeable: Callable[[], bool]) -> None:
    with pytest.raises(KeyError), leased(lambda: path):
        raise KeyError
    assert purgeable()


def test_an_open_object_is_leased_until_it_is_closed(
    path: Path, purgeable: Callable[[], bool]
) -> None:
    with open_leased(lambda: path) as file:
        assert not purgeable()
        assert file.read(2) == b"by"
        assert file.seek(0) == 0
        assert file.read() == b"bytes"
        assert not file.writable()
    assert purgeable()


def test_an_object_that_is_purged_before_it_is_open_is_asked_for_again(path: Path) -> None:
    answers = iter([path.with_name("purged"), path.with_name("purged"), path])
    with open_leased(lambda: next(answers)) as file:
        assert file.read() == b"bytes"


@pytest.mark.parametrize("replaced", [False, True])
def test_an_object_that_is_purged_before_it_is_leased_is_asked_for_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    asked = []

    def get() -> Path:
        asked.append(path)
        if not path.exists():
            path.write_bytes(b"fetched again")
        return path

    real = fcntl.flock

    def purge(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        os.unlink(path)
        if replaced:
            path.write_bytes(b"fetched again")
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", purge)
    with open_leased(get) as file:
        assert file.read() == b"fetched again"
    assert len(asked) == 2


def test_what_cannot_be_had_raises_and_leaves_nothing_open(path: Path) -> None:
    def fails() -> Path:
        raise LookupError

    with pytest.raises(LookupError):
        open_leased(fails)
    with pytest.raises(LookupError), leased(fails):
        pytest.fail("there is nothing to lease")


def test_where_there_are_no_locks_it_is_open_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_fd: int, _how: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no locks here")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with open_leased(lambda: path) as file:
        assert file.read() == b"bytes"


def test_an_interrupt_while_waiting_leaves_nothing_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_fd: int, _how: int) -> None:
        raise KeyboardInterrupt

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(fcntl, "flock", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_leased(lambda: path)
    assert len(os.listdir("/proc/self/fd")) == before
