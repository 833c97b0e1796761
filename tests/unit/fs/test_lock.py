"""Promises of fscache.fs.lock."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from fscache.errors import LockTimeoutError
from fscache.fs.lock import SharedLock, exclusive, guard, try_flock
from tests.support.processes import ALICE, BOB, LAB, fork, in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 0.0  # a timeout: do not wait


@pytest.fixture
def locks(tmp_path: Path) -> str:
    os.mkdir(tmp_path / "locks")
    return str(tmp_path / "locks")


def shared_lock(directory: str, mode: int = 0o600) -> SharedLock:
    return SharedLock(directory, mode, os.makedirs)


def is_free(locks: str) -> bool:
    try:
        with exclusive(locks, timeout=NOW):
            return True
    except LockTimeoutError:
        return False


@pytest.fixture
def thread() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    threads = []

    def start(function: Callable[[], object]) -> threading.Thread:
        threads.append(threading.Thread(target=function))
        threads[-1].start()
        return threads[-1]

    yield start
    for each in threads:
        each.join(20)


# -- shared and exclusive ---------------------------------------------------------------------


def test_a_shared_lock_keeps_the_exclusive_one_out_until_it_is_left(locks: str) -> None:
    shared = shared_lock(locks)
    assert is_free(locks)
    with shared:
        assert not is_free(locks)
    assert is_free(locks)


def test_it_is_left_also_by_an_exception(locks: str) -> None:
    with pytest.raises(KeyError), shared_lock(locks):
        raise KeyError
    assert is_free(locks)


def test_a_thread_may_take_it_again_and_holds_it_until_the_last_is_left(locks: str) -> None:
    shared = shared_lock(locks)
    with shared:
        with shared:
            pass
        assert not is_free(locks)
    assert is_free(locks)


def test_many_hold_it_at_once(
    locks: str, thread: Callable[[Callable[[], object]], threading.Thread]
) -> None:
    shared = shared_lock(locks)
    inside = threading.Barrier(5, timeout=20)

    def hold() -> None:
        with shared:
            inside.wait()

    for _ in range(4):
        thread(hold)
    with shared_lock(locks):
        inside.wait()


def test_a_thread_that_leaves_does_not_leave_for_the_others(
    locks: str, thread: Callable[[Callable[[], object]], threading.Thread]
) -> None:
    shared = shared_lock(locks)

    def turn() -> None:
        with shared:
            pass

    with shared:
        thread(turn).join()
        assert not is_free(locks)


def test_the_exclusive_holder_keeps_everyone_else_out(
    locks: str, thread: Callable[[Callable[[], object]], threading.Thread]
) -> None:
    entered = threading.Event()

    def enter() -> None:
        with shared_lock(locks):
            entered.set()

    with exclusive(locks, timeout=NOW):
        waiting = thread(enter)
        assert not is_free(locks)
        assert not entered.wait(0.1)
    waiting.join()
    assert entered.is_set()


def test_those_who_overlap_for_ever_cannot_keep_the_exclusive_one_out(
    locks: str, thread: Callable[[Callable[[], object]], threading.Thread]
) -> None:
    shared = shared_lock(locks)
    stop = threading.Event()
    turns = threading.Semaphore(0)

    def overlap() -> None:
        while not stop.is_set():
            with shared:
                turns.release()
                # The others enter before this one leaves, if they are let in.
                stop.wait(0.005)

    for _ in range(4):
        thread(overlap)
    for _ in range(20):
        assert turns.acquire(timeout=20)
    try:
        with exclusive(locks, timeout=20):
            pass
    finally:
        stop.set()


def test_waiting_in_vain_is_a_typed_error_that_names_the_lock(locks: str) -> None:
    with guard(f"{locks}/one", timeout=NOW):
        with pytest.raises(LockTimeoutError) as caught, guard(f"{locks}/one", timeout=NOW):
            pytest.fail("two hold one lock")
        assert caught.value.path == f"{locks}/one"
        assert isinstance(caught.value, TimeoutError)
    with guard(f"{locks}/one", timeout=NOW):
        pass


def test_different_guards_do_not_meet(locks: str) -> None:
    with guard(f"{locks}/one", timeout=NOW), guard(f"{locks}/two", timeout=NOW):
        pass


def test_a_guard_is_given_up_by_an_exception(locks: str) -> None:
    with pytest.raises(KeyError), guard(f"{locks}/one", timeout=NOW):
        raise KeyError
    with guard(f"{locks}/one", timeout=NOW):
        pass


# -- processes --------------------------------------------------------------------------------


def test_processes_exclude_each_other_and_a_killed_one_lets_go(locks: str) -> None:
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        with shared_lock(locks):
            os.write(write, b"!")
            signal.pause()
    os.read(read, 1)
    assert not is_free(locks)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert is_free(locks)
    os.close(read)
    os.close(write)


def test_a_child_after_fork_neither_holds_nor_gives_up_what_its_parent_holds(locks: str) -> None:
    shared = shared_lock(locks)

    def turn() -> None:
        with shared:
            pass

    with shared:
        in_child(turn)
        assert not is_free(locks)
    assert is_free(locks)


def test_a_child_forked_inside_does_not_give_up_the_lock_by_going_on(locks: str) -> None:
    shared = shared_lock(locks)
    with shared:
        pid = fork()
        if pid == 0:
            shared.__exit__(None, None, None)
            with shared:
                taken = not is_free(locks)
            os._exit(0 if taken else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert not is_free(locks)


# -- files and descriptors --------------------------------------------------------------------


def test_the_descriptors_of_a_thread_are_closed_when_it_ends(locks: str) -> None:
    shared = shared_lock(locks)

    def turn() -> None:
        with shared:
            pass

    turn()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        one = threading.Thread(target=turn)
        one.start()
        one.join()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_descriptors_of_a_lock_are_closed_when_nobody_uses_it_any_more(locks: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with shared_lock(locks):
            pass
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_lock_files_of_a_group_are_open_to_the_group_under_every_umask(
    locks: str, umask: int
) -> None:
    def use() -> None:
        with shared_lock(locks, 0o660):
            pass
        with exclusive(locks, timeout=NOW, mode=0o660):
            pass

    in_child(use, umask=umask)
    for name in ("gate", "root"):
        assert stat.S_IMODE(os.stat(f"{locks}/{name}").st_mode) == 0o660


@pytest.mark.usefixtures("users")
def test_users_of_one_group_take_each_others_locks(open_tmp: str) -> None:
    os.chown(open_tmp, 0, LAB)
    os.chmod(open_tmp, 0o2775)

    def use() -> None:
        with shared_lock(open_tmp, 0o660):
            pass
        with exclusive(open_tmp, timeout=20, mode=0o660):
            pass

    for uid in (ALICE, BOB, ALICE):
        in_child(use, uid=uid, groups=[LAB], umask=0o077)


def test_a_lock_directory_that_is_not_there_is_made(tmp_path: Path) -> None:
    with shared_lock(str(tmp_path / "root" / "locks")):
        assert not is_free(str(tmp_path / "root" / "locks"))


# -- file systems without flock ---------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_where_there_are_no_locks_work_goes_on_without(
    locks: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_locks(_fd: int, _how: int) -> None:
        raise OSError(code, os.strerror(code))

    shared = shared_lock(locks)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with shared, shared:
        pass
    monkeypatch.undo()
    with shared:
        assert not is_free(locks)


def test_an_open_file_is_locked_at_once_or_not_at_all(tmp_path: Path) -> None:
    first = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    second = os.open(tmp_path / "file", os.O_RDONLY)
    assert try_flock(first)
    assert try_flock(first)
    assert not try_flock(second)
    os.close(first)
    assert try_flock(second)
    os.close(second)
