"""Promises of fscache.records.root."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from fscache.cache import Cache
from fscache.errors import (
    FormatError,
    NotACacheError,
    RootError,
    RootPermissionError,
    StoreError,
    StoreFullError,
)
from fscache.fs.atomic import Modes
from fscache.objects.layout import Split
from fscache.records.root import Root, translate, translated
from tests.support.listing import files, listing
from tests.support.mounts import with_read_only
from tests.support.processes import ALICE, BOB, LAB, fork, in_child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Clock

FORMAT = b"1\nobjects 4+4+12\nentries 2+18\n"
TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of fscache.\n"


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# -- made -------------------------------------------------------------------------------------


def test_the_bytes_that_mark_a_root_are_pinned(root: Root) -> None:
    assert read(f"{root.path}/FORMAT") == FORMAT
    assert read(f"{root.path}/CACHEDIR.TAG") == TAG


def test_a_root_has_its_directories_from_the_start(root: Root) -> None:
    names = {name for name in os.listdir(root.path) if os.path.isdir(f"{root.path}/{name}")}
    assert names >= {"objects", "urls", "kv", "tasks", "journal", "pins", "locks", "quarantine"}
    assert files(f"{root.path}/partial") == []


def test_opening_writes_nothing_whether_it_is_there_or_not(root_path: str, clock: Clock) -> None:
    assert not Root(root_path, now=clock).exists
    assert not os.path.exists(root_path)
    made = Root(root_path, now=clock)
    made.ensure()
    before = listing(root_path)
    assert Root(root_path, now=clock).exists
    assert listing(root_path) == before


def test_making_it_again_changes_nothing(root: Root, clock: Clock) -> None:
    before = listing(root.path)
    root.ensure()
    Root(root.path, now=clock).ensure()
    assert listing(root.path) == before


def test_an_empty_directory_becomes_a_root_and_keeps_its_mode(root_path: str, clock: Clock) -> None:
    os.mkdir(root_path, 0o750)
    os.mkdir(f"{root_path}/lost+found")
    Root(root_path, now=clock).ensure()
    assert stat.S_IMODE(os.stat(root_path).st_mode) == 0o750
    assert Root(root_path, now=clock).exists


def test_one_that_was_made_half_is_finished(root: Root, clock: Clock) -> None:
    os.unlink(f"{root.path}/FORMAT")
    os.rmdir(f"{root.path}/quarantine")
    again = Root(root.path, now=clock)
    assert not again.exists
    again.ensure()
    assert read(f"{root.path}/FORMAT") == FORMAT
    assert os.path.isdir(f"{root.path}/quarantine")


def test_many_processes_make_one_root(root_path: str, clock: Clock) -> None:
    read_end, write_end = os.pipe()
    children = []
    for _ in range(8):
        pid = fork()
        if pid == 0:
            status = 1
            try:
                os.close(write_end)
                os.read(read_end, 1)  # all at once: when the parent closes its end
                made = Root(root_path, now=clock)
                made.ensure()
                made.objects().put_bytes(b"bytes")
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    os.close(read_end)
    os.close(write_end)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8
    assert read(f"{root_path}/FORMAT") == FORMAT
    assert len(files(f"{root_path}/objects")) == 1
    assert files(f"{root_path}/partial") == []


def test_a_root_that_is_made_between_two_looks_is_no_foreign_directory(
    root: Root, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(f"{root.path}/FORMAT", f"{root.path}.FORMAT")
    look = os.listdir

    def made_meanwhile(path: str) -> list[str]:
        os.rename(f"{root.path}.FORMAT", f"{root.path}/FORMAT")
        return look(path)

    monkeypatch.setattr(os, "listdir", made_meanwhile)
    exists = Root(root.path, now=clock).exists
    monkeypatch.undo()
    assert exists


def test_a_root_says_itself_how_it_splits_addresses(root_path: str, clock: Clock) -> None:
    Root(root_path, now=clock, object_split=Split(2, 18)).ensure()
    assert read(f"{root_path}/FORMAT") == b"1\nobjects 2+18\nentries 2+18\n"
    again = Root(root_path, now=clock)
    assert again.object_split == Split(2, 18)
    stored = again.objects().put_bytes(b"bytes")
    assert stored.path == f"{root_path}/objects/{stored.address[:2]}/{stored.address[2:]}"


@pytest.mark.parametrize("there", [Split(4, 4, 12), Split(2, 18), Split(20)])
@pytest.mark.parametrize("asked", [Split(4, 4, 12), Split(2, 18)])
def test_what_is_asked_for_is_of_no_account_where_a_root_is(
    root_path: str, clock: Clock, there: Split, asked: Split
) -> None:
    Root(root_path, now=clock, object_split=there).ensure()
    again = Root(root_path, now=clock, object_split=asked)
    assert again.object_split == there
    stored = again.objects().put_bytes(b"bytes")
    assert stored.path == f"{root_path}/objects/{there.relative(stored.address)}"


def test_stores_opened_before_the_root_was_made_follow_its_splits(
    root_path: str, clock: Clock
) -> None:
    early = Root(root_path, now=clock)
    objects = early.objects()
    entries = early.entries("urls", b"url")
    Root(root_path, now=clock, object_split=Split(2, 18)).ensure()
    early.ensure()
    assert objects.split == Split(2, 18)
    stored = objects.put_bytes(b"bytes")
    assert len(os.path.relpath(stored.path, f"{root_path}/objects").split("/")) == 2
    assert entries.split == early.entry_split


@pytest.mark.parametrize("below", ["", "/below"])
def test_nothing_is_written_where_the_root_has_vanished(
    root_path: str, clock: Clock, below: str
) -> None:
    """As an unmounted file system does: what is written below its mount point is found by nobody."""
    path = root_path + below
    root = Root(path, now=clock)
    root.ensure()
    os.rename(root_path, f"{root_path}-elsewhere")
    if not below:
        os.mkdir(root_path)  # the mount point
    with pytest.raises(FileNotFoundError):
        root.objects().put_bytes(b"bytes")
    with pytest.raises(FileNotFoundError):
        root.entries("urls", b"url").write(b"name", b"payload")
    assert not os.path.exists(root_path) or os.listdir(root_path) == []


def test_who_made_it_first_decides_on_the_split(root_path: str, clock: Clock) -> None:
    late = Root(root_path, now=clock)
    Root(root_path, now=clock, object_split=Split(2, 18)).ensure()
    late.ensure()
    assert late.object_split == Split(2, 18)
    again = Root(root_path, now=clock)
    os.unlink(f"{root_path}/FORMAT")
    assert again.exists  # as far as this process knows


# -- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"2", b"2\n", b"10\nobjects 4+4+12\n", b"2\nnothing we know"])
def test_a_newer_format_is_refused_by_name(root: Root, clock: Clock, content: bytes) -> None:
    os.unlink(f"{root.path}/FORMAT")
    with open(f"{root.path}/FORMAT", "wb") as file:
        file.write(content)
    before = listing(root.path)
    with pytest.raises(FormatError, match="newer") as caught:
        Root(root.path, now=clock)
    assert caught.value.path == root.path
    assert listing(root.path) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"1",
        b"1\nobjects\n",
        b"1\nobjects 4+4\nentries 2+18\n",
        b"1\nobjects 4+4+12\n",
        b"0\nobjects 4+4+12\nentries 2+18\n",
        b"01\nobjects 4+4+12\nentries 2+18\n",
        b"-1\nobjects 4+4+12\nentries 2+18\n",
        b"9" * 5000,
        b"\xff\xfe\x00garbage",
        bytes(100_000),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_format_that_cannot_be_read_is_refused(root: Root, clock: Clock, content: bytes) -> None:
    os.unlink(f"{root.path}/FORMAT")
    with open(f"{root.path}/FORMAT", "wb") as file:
        file.write(content)
    with pytest.raises(FormatError, match="cannot be read"):
        Root(root.path, now=clock)


def test_what_a_later_version_adds_to_format_1_is_passed_over(root: Root, clock: Clock) -> None:
    os.unlink(f"{root.path}/FORMAT")
    with open(f"{root.path}/FORMAT", "wb") as file:
        file.write(FORMAT + b"made_by somebody else\n")
    assert Root(root.path, now=clock).exists


@pytest.mark.parametrize("name", ["thesis.tex", ".bashrc", "src"])
def test_somebody_elses_directory_is_refused_and_stays_as_it_is(
    root_path: str, clock: Clock, name: str
) -> None:
    os.mkdir(root_path)
    os.mkdir(f"{root_path}/{name}")
    with pytest.raises(NotACacheError) as caught:
        Root(root_path, now=clock)
    assert caught.value.path == root_path
    assert os.listdir(root_path) == [name]


def test_a_directory_that_fills_up_before_it_becomes_a_root_is_refused(
    root_path: str, clock: Clock
) -> None:
    late = Root(root_path, now=clock)
    os.mkdir(root_path)
    os.mkdir(f"{root_path}/thesis")
    with pytest.raises(NotACacheError):
        late.ensure()
    assert os.listdir(root_path) == ["thesis"]


def test_a_file_is_no_root(root_path: str, clock: Clock) -> None:
    with open(root_path, "wb"):
        pass
    for path in (root_path, f"{root_path}/below"):
        with pytest.raises(NotACacheError, match="not a directory"):
            Root(path, now=clock)


@pytest.mark.parametrize("below", ["", "/cache", "/two/down"])
def test_a_link_to_what_is_not_there_is_named_and_its_target_not_made(
    tmp_path: Path, clock: Clock, below: str
) -> None:
    link, target = tmp_path / "link", tmp_path / "mount"
    link.symlink_to(target)
    root = Root(f"{link}{below}", now=clock)
    assert not root.exists
    with pytest.raises(RootError) as caught:
        root.ensure()
    assert str(caught.value) == f"{link}: a link to {target}, which is not there"
    assert not target.exists()
    target.mkdir()
    root.ensure()
    assert root.exists


def test_where_no_directory_can_be_made_is_a_typed_error() -> None:
    with Cache("/proc/nothing") as cache:
        for ask in (
            lambda: cache.put(b"bytes"),
            lambda: cache.kv.put("key", "value"),
            lambda: cache.get("http://localhost:1/"),
        ):
            with pytest.raises(StoreError, match="No such file or directory"):
                ask()


def test_a_format_that_is_a_directory_is_a_typed_error(root: Root, clock: Clock) -> None:
    os.unlink(f"{root.path}/FORMAT")
    os.mkdir(f"{root.path}/FORMAT")
    with pytest.raises(StoreError):
        Root(root.path, now=clock)


# -- users, modes -----------------------------------------------------------------------------


@pytest.mark.parametrize(("world", "mode"), [(True, 0o2775), (False, 0o2770)])
def test_directories_of_a_shared_root_belong_to_the_group(
    root_path: str, clock: Clock, world: bool, mode: int
) -> None:
    gid = LAB if os.geteuid() == 0 else os.getgid()
    root = Root(root_path, now=clock, modes=Modes(gid, world_readable=world))

    def make() -> None:
        root.ensure()
        root.objects().put_bytes(b"bytes")

    in_child(make, umask=0o077)
    for directory, _names, _files in os.walk(root_path):
        status = os.stat(directory)
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (mode, gid), directory
    assert stat.S_IMODE(os.stat(f"{root_path}/FORMAT").st_mode) == (0o444 if world else 0o440)


@pytest.mark.usefixtures("users")
def test_a_root_that_may_not_be_looked_into_is_a_typed_error(open_tmp: str, clock: Clock) -> None:
    os.mkdir(f"{open_tmp}/cache", 0o700)
    with pytest.raises(RootPermissionError) as caught:
        in_child(lambda: Root(f"{open_tmp}/cache", now=clock), uid=ALICE)
    assert caught.value.path == f"{open_tmp}/cache"
    assert isinstance(caught.value, PermissionError)


@pytest.mark.usefixtures("users")
def test_a_group_the_user_is_not_in_is_a_typed_error_and_leaves_no_open_root(
    open_tmp: str, clock: Clock
) -> None:
    os.chown(open_tmp, ALICE, ALICE)

    def make() -> None:
        root = Root(f"{open_tmp}/cache", now=clock, modes=Modes(LAB))
        with translated(root.path):
            root.ensure()

    with pytest.raises(RootPermissionError):
        in_child(make, uid=ALICE)
    assert files(open_tmp) == []


@pytest.mark.usefixtures("mounts")
def test_a_read_only_file_system_is_read_and_a_write_is_a_typed_error(root: Root) -> None:
    stored = root.objects().put_bytes(b"bytes")
    before = listing(root.path)

    def use() -> tuple[bytes, str]:
        opened = Root(root.path, now=root.now)
        opened.ensure()
        try:
            with translated(opened.path):
                opened.objects().put_bytes(b"other")
        except RootPermissionError as exc:
            return read(stored.path), exc.why
        return b"", ""

    assert with_read_only(root.path, use) == (b"bytes", "Read-only file system")
    assert listing(root.path) == before


@pytest.mark.usefixtures("users")
def test_users_share_the_locks_of_a_root(open_tmp: str, clock: Clock) -> None:
    os.chown(open_tmp, 0, LAB)
    os.chmod(open_tmp, 0o2775)

    def use() -> None:
        root = Root(f"{open_tmp}/cache", now=clock, modes=Modes(LAB))
        root.ensure()
        with root.shared:
            pass
        with root.exclusive(timeout=20):
            pass

    for uid in (ALICE, BOB, ALICE):
        in_child(use, uid=uid, groups=[LAB], umask=0o077)


# -- translated -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.EACCES, RootPermissionError),
        (errno.EPERM, RootPermissionError),
        (errno.EROFS, RootPermissionError),
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EFBIG, StoreFullError),
        (errno.EIO, StoreError),
        (errno.EMFILE, StoreError),
    ],
)
def test_what_the_system_says_becomes_one_of_our_errors(code: int, error: type[StoreError]) -> None:
    with pytest.raises(StoreError) as caught, translated("/root"):
        raise OSError(code, os.strerror(code))
    assert type(caught.value) is error
    assert caught.value.path == "/root"
    assert caught.value.why == os.strerror(code)
    assert isinstance(caught.value.__cause__, OSError)


def test_the_file_that_could_not_be_used_is_named() -> None:
    assert translate(OSError(errno.EIO, "broken", "/root/file"), "/root").path == "/root/file"
    assert translate(OSError("no number"), "/root").why == "no number"


def test_our_errors_and_others_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(KeyError), translated("/root"):
        raise KeyError
    ours = RootPermissionError(path="/a", why="b")
    with pytest.raises(RootPermissionError) as caught, translated("/root"):
        raise ours
    assert caught.value is ours
