"""Promises of fscache.fs.atomic."""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from fscache.fs import atomic
from tests.support.listing import files
from tests.support.processes import ALICE, BOB, LAB, in_child

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def writer(tmp_path: Path) -> atomic.Writer:
    os.mkdir(tmp_path / "partial")
    return atomic.Writer(str(tmp_path / "partial"), atomic.Modes())


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are synced, in order."""
    paths: list[str] = []
    fsync = os.fsync

    def record(fd: int) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", record)
    return paths


# -- write ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x", b"bytes" * 100_000])
def test_a_written_file_has_its_bytes_is_read_only_and_leaves_no_temporary_one(
    writer: atomic.Writer, tmp_path: Path, data: bytes
) -> None:
    final = tmp_path / "made" / "on the way" / "file"
    assert writer.write(str(final), data)
    assert final.read_bytes() == data
    assert mode(final) == 0o444
    assert files(writer.temp_dir) == []


def test_replacing_gives_the_name_to_a_new_file_and_leaves_the_old_one_to_its_readers(
    writer: atomic.Writer, tmp_path: Path
) -> None:
    final = str(tmp_path / "file")
    writer.write(final, b"old")
    with open(final, "rb") as reader:
        assert writer.write(final, b"new", replace=True)
        assert reader.read() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"


def test_without_replacing_a_taken_name_stays_as_it_is(
    writer: atomic.Writer, tmp_path: Path
) -> None:
    final = tmp_path / "file"
    writer.write(str(final), b"first")
    before = os.stat(final)
    assert not writer.write(str(final), b"second", replace=False)
    assert final.read_bytes() == b"first"
    assert os.stat(final) == before
    assert files(writer.temp_dir) == []


def test_a_dangling_link_counts_as_a_taken_name(writer: atomic.Writer, tmp_path: Path) -> None:
    final = tmp_path / "file"
    final.symlink_to(tmp_path / "nowhere")
    assert not writer.write(str(final), b"bytes", replace=False)
    assert final.is_symlink()


def test_a_write_that_fails_leaves_neither_name_nor_temporary_file(
    writer: atomic.Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="full"):
        writer.write(str(tmp_path / "file"), b"bytes")
    assert files(str(tmp_path)) == []


def test_a_name_that_cannot_be_given_leaves_no_temporary_file(
    writer: atomic.Writer, tmp_path: Path
) -> None:
    (tmp_path / "in the way").write_bytes(b"a file, not a directory")
    with pytest.raises(NotADirectoryError):
        writer.write(str(tmp_path / "in the way" / "file"), b"bytes")
    assert files(writer.temp_dir) == []


def test_a_write_that_the_kernel_takes_piece_by_piece_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data)[:3]))
    data = bytes(range(256))
    with open(tmp_path / "file", "wb", buffering=0) as file:
        atomic.write_all(file.fileno(), data)
    assert (tmp_path / "file").read_bytes() == data


# -- modes ------------------------------------------------------------------------------------


def test_without_a_group_files_are_read_only_and_directories_follow_the_umask(
    writer: atomic.Writer, tmp_path: Path, umask: int
) -> None:
    writer.write(str(tmp_path / "directory" / "file"), b"bytes")
    assert mode(tmp_path / "directory" / "file") == 0o444
    assert mode(tmp_path / "directory") == 0o777 & ~umask


@pytest.mark.parametrize(
    ("world_readable", "file_mode", "directory_mode"),
    [(True, 0o444, 0o2775), (False, 0o440, 0o2770)],
)
def test_with_a_group_modes_are_the_same_under_every_umask(
    tmp_path: Path, umask: int, world_readable: bool, file_mode: int, directory_mode: int
) -> None:
    gid = LAB if os.geteuid() == 0 else os.getgid()
    modes = atomic.Modes(gid, world_readable=world_readable)
    writer = atomic.Writer(str(tmp_path / "a" / "partial"), modes)
    writer.write(str(tmp_path / "a" / "b" / "c" / "file"), b"bytes")
    for name in ("a", "a/partial", "a/b", "a/b/c"):
        assert mode(tmp_path / name) == directory_mode, name
        assert os.stat(tmp_path / name).st_gid == gid, name
    assert mode(tmp_path / "a" / "b" / "c" / "file") == file_mode
    assert os.stat(tmp_path / "a" / "b" / "c" / "file").st_gid == gid  # by the setgid bit


def test_a_file_under_way_is_for_its_writers_only(tmp_path: Path, umask: int) -> None:
    for gid, expected in ((None, 0o600 & ~umask), (os.getgid(), 0o660)):
        writer = atomic.Writer(str(tmp_path / f"partial {gid}"), atomic.Modes(gid))
        fd, path = writer.create_temp()
        os.close(fd)
        assert mode(path) == expected


@pytest.mark.usefixtures("users")
def test_a_directory_made_by_one_user_of_the_group_is_open_to_the_other(open_tmp: str) -> None:
    os.chown(open_tmp, 0, LAB)
    os.chmod(open_tmp, 0o2775)

    def write(name: str) -> None:
        writer = atomic.Writer(f"{open_tmp}/partial", atomic.Modes(LAB))
        writer.write(f"{open_tmp}/a/b/{name}", b"")

    for uid, name in ((ALICE, "alice"), (BOB, "bob")):
        in_child(write, name, uid=uid, groups=[LAB], umask=0o077)
    assert files(open_tmp) == ["a/b/alice", "a/b/bob"]


# -- create and publish -----------------------------------------------------------------------


def test_creating_a_file_takes_neither_an_existing_name_nor_a_link(
    writer: atomic.Writer, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("taken", "link"):
        with pytest.raises(FileExistsError):
            writer.create(str(tmp_path / name))
    assert not (tmp_path / "elsewhere").exists()


def test_a_created_file_is_not_inherited_by_programs(writer: atomic.Writer) -> None:
    fd, _path = writer.create_temp()
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_taken_temporary_name_is_passed_over(writer: atomic.Writer) -> None:
    fd, path = writer.create_temp()
    os.close(fd)
    head, _, count = path.rpartition(".")
    with open(f"{head}.{int(count, 16) + 1:x}", "wb") as other:
        fd, path = writer.create_temp()
        os.close(fd)
    assert path != other.name
    assert os.path.getsize(path) == 0


def test_a_child_after_fork_uses_other_temporary_names(writer: atomic.Writer) -> None:
    writer.temp_path()
    theirs = in_child(writer.temp_path)
    assert theirs != writer.temp_path()
    assert theirs.rpartition(".")[0] != writer.temp_path().rpartition(".")[0]


def test_a_sealed_file_cannot_be_opened_for_writing_by_name(writer: atomic.Writer) -> None:
    fd, path = writer.create_temp()
    writer.seal(fd)
    os.close(fd)
    assert mode(path) == 0o444
    assert atomic.is_sealed(os.stat(path))


def test_a_file_with_two_names_counts_as_sealed_whatever_its_mode(
    writer: atomic.Writer, tmp_path: Path
) -> None:
    fd, path = writer.create_temp()
    assert not atomic.is_sealed(os.fstat(fd))
    os.link(path, tmp_path / "second")
    assert atomic.is_sealed(os.fstat(fd))
    os.close(fd)


def test_publishing_is_the_end_of_the_temporary_name(writer: atomic.Writer, tmp_path: Path) -> None:
    for replace in (False, True):
        fd, temp = writer.create_temp()
        writer.seal(fd)
        os.close(fd)
        final = tmp_path / f"final {replace}"
        assert writer.publish(temp, str(final), replace=replace)
        assert not os.path.lexists(temp)
        assert os.stat(final).st_nlink == 1


def test_a_temporary_file_that_is_gone_is_an_error_and_no_name(
    writer: atomic.Writer, tmp_path: Path
) -> None:
    for replace in (False, True):
        with pytest.raises(FileNotFoundError):
            writer.publish(writer.temp_path(), str(tmp_path / "final"), replace=replace)
    assert files(str(tmp_path)) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_where_there_are_no_links_a_taken_name_still_stays(
    writer: atomic.Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_links(_source: str, _final: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)
    final = tmp_path / "file"
    assert writer.write(str(final), b"first", replace=False)
    assert not writer.write(str(final), b"second", replace=False)
    assert final.read_bytes() == b"first"
    assert files(writer.temp_dir) == []


def test_of_many_threads_that_publish_one_name_exactly_one_wins(
    writer: atomic.Writer, tmp_path: Path
) -> None:
    final = tmp_path / "deep" / "down" / "file"
    start = threading.Barrier(16)
    won: list[int] = []

    def run(number: int) -> None:
        start.wait()
        if writer.write(str(final), str(number).encode(), replace=False):
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert final.read_bytes() == str(won[0]).encode()
    assert len(won) == 1
    assert files(writer.temp_dir) == []


# -- durability -------------------------------------------------------------------------------


def test_nothing_is_synced_unless_durability_is_asked_for(
    writer: atomic.Writer, tmp_path: Path, synced: list[str]
) -> None:
    writer.write(str(tmp_path / "a" / "file"), b"bytes")
    assert synced == []


def test_a_durable_write_syncs_the_new_directories_the_bytes_and_then_the_name(
    tmp_path: Path, synced: list[str]
) -> None:
    os.mkdir(tmp_path / "partial")
    writer = atomic.Writer(str(tmp_path / "partial"), atomic.Modes(), durable=True)
    writer.write(str(tmp_path / "a" / "b" / "file"), b"bytes")
    assert os.path.dirname(synced[0]) == writer.temp_dir
    assert synced[1:] == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_a_directory_that_another_has_just_made_is_synced_too(
    tmp_path: Path, synced: list[str]
) -> None:
    writer = atomic.Writer(str(tmp_path), atomic.Modes(), durable=True)
    os.mkdir(tmp_path / "made")
    writer.make_directories(str(tmp_path / "made"))
    assert synced == [str(tmp_path)]


def test_a_durable_removal_is_synced(tmp_path: Path, synced: list[str]) -> None:
    writer = atomic.Writer(str(tmp_path), atomic.Modes(), durable=True)
    (tmp_path / "file").write_bytes(b"")
    assert writer.remove(str(tmp_path / "file"))
    assert synced == [str(tmp_path)]
    assert not writer.remove(str(tmp_path / "file"))


# -- directories, small things ----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/proc/x", "/proc/x/a/b", "/x"])
def test_where_no_directory_can_be_made_it_is_not_tried_for_ever(
    writer: atomic.Writer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    mkdir = os.mkdir

    def refuse(path: str) -> None:
        if path == "/x":  # as a root directory whose server has gone
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        mkdir(path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(FileNotFoundError):
        writer.make_directories(path)


@pytest.mark.parametrize("below", ["journal/x", "urls/ab/x", "objects/ab/cd/x"])
def test_a_root_that_is_gone_is_not_made_again_by_a_write(tmp_path: Path, below: str) -> None:
    top = tmp_path / "root"
    outside = tmp_path / "partial"
    outside.mkdir()
    writer = atomic.Writer(str(outside), atomic.Modes())
    writer.landmark = str(top / "FORMAT")  # which is on a file system that was unmounted
    with pytest.raises(FileNotFoundError):
        writer.write(str(top / below), b"bytes")
    assert os.listdir(tmp_path) == ["partial"]
    assert os.listdir(outside) == []


def test_a_root_that_another_thread_makes_between_two_looks_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "root"
    writer = atomic.Writer(str(top / "partial"), atomic.Modes())
    real = os.mkdir

    def late(path: str, *args: int) -> None:
        monkeypatch.undo()
        try:
            real(path, *args)
        finally:
            top.mkdir()
            (top / "FORMAT").touch()
            writer.landmark = str(top / "FORMAT")

    monkeypatch.setattr(os, "mkdir", late)
    writer.make_directories(writer.temp_dir)
    assert (top / "partial").is_dir()


def test_a_parent_that_a_purge_removes_is_made_again(
    writer: atomic.Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir
    removed = []

    def purged(path: str) -> None:
        mkdir(path)
        if path == str(tmp_path / "a") and len(removed) < 3:
            os.rmdir(path)
            removed.append(path)

    monkeypatch.setattr(os, "mkdir", purged)
    writer.make_directories(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()
    assert len(removed) == 3


def test_directories_are_made_by_many_at_once(writer: atomic.Writer, tmp_path: Path) -> None:
    start = threading.Barrier(8)
    errors: list[BaseException] = []

    def run() -> None:
        start.wait()
        try:
            for number in range(50):
                writer.make_directories(str(tmp_path / str(number) / "a" / "b"))
        except BaseException as exc:
            errors.append(exc)
            raise

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all((tmp_path / str(number) / "a" / "b").is_dir() for number in range(50))


def test_removing_says_whether_there_was_something(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert atomic.remove(str(tmp_path / "file"))
    assert not atomic.remove(str(tmp_path / "file"))


def test_moving_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    atomic.move(str(tmp_path / "a"), str(tmp_path / "b"))
    assert files(str(tmp_path)) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"a"


def test_the_access_time_is_set_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    os.chmod(path, 0o444)
    before = os.stat(path)
    assert atomic.set_access_time(str(path), before, 1_234_567_890.5)
    after = os.stat(path)
    assert after.st_atime == 1_234_567_890.5
    assert (after.st_mtime_ns, after.st_mode, after.st_size) == (
        before.st_mtime_ns,
        before.st_mode,
        before.st_size,
    )


def test_an_access_time_that_cannot_be_set_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    status = os.stat(path)
    path.unlink()
    assert not atomic.set_access_time(str(path), status, 0.0)


@pytest.mark.usefixtures("users")
def test_the_access_time_of_another_users_file_stays(open_tmp: str) -> None:
    path = f"{open_tmp}/file"
    with open(path, "wb"):
        pass
    os.chmod(path, 0o444)
    assert not in_child(atomic.set_access_time, path, os.stat(path), 1.0, uid=ALICE)
    assert in_child(atomic.set_access_time, path, os.stat(path), 1.0)
