"""Promises of fscache.fs.bring: the bytes come, shared where they can be, and the source stays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache.fs.atomic import Modes, Writer
from fscache.fs.bring import COPY, LINK, REFLINK, bring
from fscache.fs.lock import try_flock
from tests.support.processes import ALICE, in_child

if TYPE_CHECKING:
    from pathlib import Path

DATA = os.urandom(300_000)


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return str(path)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    (tmp_path / "partial").mkdir()
    return Writer(str(tmp_path / "partial"), Modes())


def content(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


@pytest.mark.parametrize("link", [True, False])
def test_the_bytes_come_and_the_source_stays(source: str, writer: Writer, link: bool) -> None:
    before = os.stat(source)
    fd, temp, how = bring(writer, source, link=link)
    assert how in ({REFLINK, LINK} if link else {REFLINK, COPY})
    assert (os.stat(temp).st_ino == before.st_ino) == (how == LINK)
    assert content(fd) == DATA
    after = os.stat(source)
    assert (before.st_mtime_ns, before.st_mode) == (after.st_mtime_ns, after.st_mode)


def test_a_link_under_way_is_not_swept_however_old_it_is(source: str, writer: Writer) -> None:
    os.utime(source, (0, 0))
    fd, temp, how = bring(writer, source)
    if how != LINK:
        os.close(fd)
        pytest.skip("this file system makes reflinks")
    other = os.open(temp, os.O_RDONLY)
    try:
        assert not try_flock(other)
        os.close(fd)
        assert try_flock(other)
    finally:
        os.close(other)


def test_another_file_system_gets_a_copy(source: str) -> None:
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(source).st_dev:
        pytest.skip("there is no second file system")
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        fd, temp, how = bring(Writer(directory, Modes()), source)
        assert how == COPY
        assert os.path.dirname(temp) == directory
        assert content(fd) == DATA


def test_no_link_is_followed(source: str, writer: Writer, tmp_path: Path) -> None:
    os.symlink(source, tmp_path / "link")
    with pytest.raises(OSError, match="symbolic"):
        bring(writer, str(tmp_path / "link"))
    assert os.listdir(writer.temp_dir) == []


@pytest.mark.usefixtures("users")
def test_another_users_file_is_never_linked(open_tmp: str) -> None:
    """Its owner could make it writable again, and edit the object."""

    def write() -> None:
        with open(f"{open_tmp}/theirs", "wb") as file:
            file.write(DATA)

    os.chmod(open_tmp, 0o777)
    in_child(write, uid=ALICE, umask=0o022)
    os.mkdir(f"{open_tmp}/partial")
    fd, _temp, how = bring(Writer(f"{open_tmp}/partial", Modes()), f"{open_tmp}/theirs")
    assert how in {REFLINK, COPY}
    assert content(fd) == DATA
