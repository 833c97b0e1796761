"""Promises of fscache.fs.stripes."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from fscache.errors import LockTimeoutError, StoreError
from fscache.fs.stripes import NUMBERS, Stripes
from tests.support.processes import ALICE, LAB, fork, in_child

if TYPE_CHECKING:
    from pathlib import Path


def stripes(path: str, timeout: float = 20.0, mode: int = 0o600) -> Stripes:
    return Stripes(path, mode=mode, make=partial(os.makedirs, exist_ok=True), timeout=timeout)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "locks" / "kv")


def is_taken(path: str, number: int) -> bool:
    """Ask from another process: what this one holds, it would get."""

    def ask() -> bool:
        try:
            with stripes(path, timeout=0.0).held(number):
                return False
        except LockTimeoutError:
            return True

    taken: bool = in_child(ask)
    return taken


def test_a_number_is_held_by_one_process_and_free_afterwards(path: str) -> None:
    with stripes(path).held(5):
        assert is_taken(path, 5)
    assert not is_taken(path, 5)


def test_other_numbers_are_free(path: str) -> None:
    with stripes(path).held(5):
        assert not is_taken(path, 4)
        assert not is_taken(path, 6)
        assert not is_taken(path, NUMBERS - 1)


def test_several_numbers_are_held_at_once(path: str) -> None:
    locks = stripes(path)
    with locks.held(1):
        with locks.held(2):
            assert is_taken(path, 1)
        assert is_taken(path, 1)
        assert not is_taken(path, 2)


def test_threads_of_one_process_exclude_each_other(path: str) -> None:
    locks = stripes(path)
    count = 0

    def work() -> None:
        nonlocal count
        for _ in range(300):
            with locks.held(7):
                seen = count
                os.stat("/")  # lets go of the interpreter's lock
                count = seen + 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == 1200


def test_processes_exclude_each_other(path: str, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def work() -> None:
        locks = stripes(path)
        for _ in range(200):
            with locks.held(7):
                seen = int(counter.read_text())
                counter.write_text(str(seen + 1))

    pids = []
    for _ in range(4):
        pid = fork()
        if pid == 0:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert counter.read_text() == "800"


def test_a_killed_holder_lets_go(path: str) -> None:
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        with stripes(path).held(3):
            os.write(write, b"!")
            signal.pause()
        os._exit(1)
    os.read(read, 1)
    try:
        assert is_taken(path, 3)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
    with stripes(path, timeout=20).held(3):
        pass


def test_a_wait_ends_with_a_typed_error(path: str) -> None:
    other = stripes(path)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with other.held(3):
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(20)
    try:
        why = r"locked by another process for 0\.01 s"
        with pytest.raises(LockTimeoutError, match=why), stripes(path, timeout=0.01).held(3):
            pass
    finally:
        leave.set()
        thread.join()


def test_a_child_forked_inside_neither_holds_nor_frees_its_parents_lock(path: str) -> None:
    locks = stripes(path)

    def child() -> None:
        with pytest.raises(LockTimeoutError), stripes(path, timeout=0.0).held(3):
            pass

    with locks.held(3):
        in_child(child)
        pid = fork()
        if pid == 0:
            return_code = 1
            try:
                held = locks.held(3)
                held._fd, held._pid = 0, os.getppid()
                held.__exit__(None, None, None)
                return_code = 0
            finally:
                os._exit(return_code)
        assert os.waitpid(pid, 0)[1] == 0
        assert is_taken(path, 3)


@pytest.mark.usefixtures("users")
def test_the_lock_file_can_be_opened_by_the_group_whatever_the_umask(open_tmp: str) -> None:
    os.chmod(open_tmp, 0o2775)
    os.chown(open_tmp, -1, LAB)
    path = f"{open_tmp}/kv"

    def take() -> None:
        with stripes(path, mode=0o660).held(1):
            pass

    in_child(take, umask=0o077)
    os.chown(path, -1, LAB)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    in_child(take, uid=ALICE, groups=[LAB])


class NoLocks:
    """A file system without locks, as some parallel ones are mounted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(fd: int, command: int, argument: object = 0) -> object:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "fcntl", refuse)


def test_without_locks_a_writer_goes_on_and_a_read_modify_write_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    NoLocks(monkeypatch)
    locks = stripes(path)
    with locks.held(1):
        pass
    with pytest.raises(StoreError, match="has no locks"), locks.held(1, needed=True):
        pass


def test_what_the_system_says_otherwise_is_raised(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, command: int, argument: object = 0) -> object:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "fcntl", fail)
    with pytest.raises(OSError, match="Input/output"), stripes(path).held(1):
        pass
