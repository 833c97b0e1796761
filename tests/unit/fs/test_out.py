"""Promises of fscache.fs.out."""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from fscache.fs import out
from tests.support.listing import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def _unsupported(*_arguments: object) -> int:
    raise OSError(errno.EXDEV, "across file systems")


def _gives_up_after_some(source: int, target: int, count: int) -> int:
    done = os.lseek(target, 0, os.SEEK_CUR)
    if done:
        raise OSError(errno.EINVAL, "no more")
    return os.write(target, os.pread(source, min(count, 1000), 0))


@pytest.mark.parametrize("copy", [None, _unsupported, _gives_up_after_some])
@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_a_copy_has_the_bytes_a_file_of_its_own_and_a_mode_by_the_umask(
    tmp_path: Path,
    umask: int,
    size: int,
    copy: Callable[..., int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if copy is not None:
        monkeypatch.setattr(os, "copy_file_range", copy)
    source, final = tmp_path / "source", tmp_path / "final"
    data = os.urandom(size)
    source.write_bytes(data)
    os.chmod(source, 0o444)
    final.write_bytes(b"replaced")
    out.copy_out(str(source), str(final))
    assert final.read_bytes() == data
    assert mode(final) == 0o666 & ~umask
    assert os.stat(final).st_ino != os.stat(source).st_ino
    assert files(str(tmp_path)) == ["final", "source"]


def test_a_copy_may_have_the_longest_name_there_is(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"bytes")
    final = tmp_path / ("n" * 255)
    out.copy_out(str(tmp_path / "source"), str(final))
    assert final.read_bytes() == b"bytes"


def test_a_copy_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "final").write_bytes(b"old")
    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="full"):
        out.copy_out(str(tmp_path / "source"), str(tmp_path / "final"))
    with pytest.raises(FileNotFoundError):
        out.copy_out(str(tmp_path / "nowhere"), str(tmp_path / "final"))
    assert (tmp_path / "final").read_bytes() == b"old"
    assert files(str(tmp_path)) == ["final", "source"]


def test_a_copy_into_a_pipe_or_device_goes_through_it_and_does_not_replace_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "source").write_bytes(b"bytes")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    out.copy_out(str(tmp_path / "source"), str(pipe))
    assert os.read(fd, 100) == b"bytes"
    os.close(fd)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


@pytest.mark.parametrize("how", [os.O_TRUNC, os.O_APPEND])
@pytest.mark.parametrize("path", ["/proc/self/fd/{}", "/dev/fd/{}", "link"])
def test_an_open_file_by_its_number_is_written_on_and_not_replaced(
    tmp_path: Path, path: str, how: int
) -> None:
    (tmp_path / "source").write_bytes(b"bytes")
    fd = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT | how)
    link = tmp_path / "link"
    link.symlink_to(f"/proc/self/fd/{fd}")  # as /dev/stdout is
    final = str(link) if path == "link" else path.format(fd)
    os.write(fd, b"before ")
    out.copy_out(str(tmp_path / "source"), final)
    out.write_out(final, [b" and", b" more"])
    os.close(fd)
    assert (tmp_path / "output").read_bytes() == b"before bytes and more"
    assert link.is_symlink()


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    source, missing, long = tmp_path / "source", tmp_path / "no" / "f", tmp_path / ("n" * 300)
    source.write_bytes(b"bytes")
    for final, named in (
        ("/dev/full", "/dev/full"),
        (str(long), str(long)),
        (str(missing), str(missing.parent)),
    ):
        for write in (
            lambda to: out.copy_out(str(source), to),
            lambda to: out.write_out(to, [b"bytes"]),
        ):
            with pytest.raises(OSError, match=re.escape(named)) as caught:
                write(final)
            assert caught.value.filename == named
    assert os.listdir(tmp_path) == ["source"]


def test_a_file_without_a_name_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="without a name"):
        out.write_out("", [b"bytes"])


def test_a_copy_does_not_replace_a_directory(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"bytes")
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        out.copy_out(str(tmp_path / "source"), str(tmp_path / "directory"))
    assert files(str(tmp_path)) == ["source"]
