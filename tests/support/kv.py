"""Values that any reader can judge, and writers that are killed."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from typing import TYPE_CHECKING

from xxhash import xxh3_64_hexdigest

from tests.support.processes import fork

if TYPE_CHECKING:
    from collections.abc import Callable


def described(key: str, writer: int, number: int, size: int) -> bytes:
    """Return a value that says whose it is, and whether it is whole."""
    head = f"{key}|{writer}|{number}|".encode()
    body = head + random.Random(number).randbytes(size)
    return body + xxh3_64_hexdigest(body).encode()


def judge(key: str, value: bytes) -> tuple[int, int]:
    """Return writer and number of a value; AssertionError if it is torn, or another key's."""
    body, checksum = value[:-16], value[-16:]
    assert xxh3_64_hexdigest(body).encode() == checksum, f"torn value of {key}: {value[:60]!r}"
    owner, writer, number, _ = body.split(b"|", 3)
    assert owner == key.encode(), f"{key} has the value of {owner!r}"
    return int(writer), int(number)


class Ledger:
    """What one writer intends and has had acknowledged, outside the root; survives its death."""

    def __init__(self, directory: str, writer: int) -> None:
        self.path = f"{directory}/{writer}"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, *words: object) -> None:
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())

    def lines(self) -> list[list[str]]:
        with open(self.path) as file:
            return [line.split() for line in file.read().splitlines()]

    def close(self) -> None:
        os.close(self._fd)


def start(work: Callable[[], None]) -> int:
    """Run `work` in a child until it is killed or fails; return its pid."""
    pid = fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the parent sees the status
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def kill_at_random(
    workers: list[Callable[[], None]], *, kills: int, seed: int, pause: float = 0.03
) -> None:
    """Run all workers at once; kill one after the other at random and start it anew."""
    choose = random.Random(seed)
    pids = [start(work) for work in workers]
    try:
        for _ in range(kills):
            time.sleep(choose.random() * pause * 2)
            index = choose.randrange(len(workers))
            reap(pids[index])
            pids[index] = start(workers[index])
        time.sleep(pause)
    finally:
        for pid in pids:
            reap(pid)


def reap(pid: int) -> None:
    """Kill a worker; AssertionError if it had ended by itself, which it does only in error."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"a worker failed by itself ({status})"
