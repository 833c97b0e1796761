"""Several processes on one destination, and processes that are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from stager.service import FetchService
from stager.transports import default_transports
from tests.support.origin import Origin, Page
from tests.unit.stager.directory import DirectoryDestination
from tests.unit.stager.test_fetching import BODY, ranges, read, sha256, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

# multiprocessing keeps descriptors of its own until the interpreter ends.
pytestmark = pytest.mark.leaks

SPAWN = multiprocessing.get_context("spawn")


def fetch_in_threads(root: str, url: str, barrier: Any, answers: Any) -> None:
    paths: list[str] = []
    with FetchService(DirectoryDestination(root), default_transports(), user_agent="x") as service:
        barrier.wait()
        threads = [
            threading.Thread(target=lambda: paths.append(service.submit(url).result(60)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answers.put(paths)


def fetch(root: str, url: str) -> None:
    service = FetchService(DirectoryDestination(root), default_transports(), user_agent="x")
    service.submit(url, sha256(BODY)).result(60)


def test_four_processes_of_eight_threads_fetch_once(
    origin: Origin, destination: DirectoryDestination
) -> None:
    url = origin.add("/a", Page(BODY, gate=origin.release.wait))
    barrier, answers = SPAWN.Barrier(5), SPAWN.SimpleQueue()
    arguments = (destination.root, url, barrier, answers)
    processes = [SPAWN.Process(target=fetch_in_threads, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    barrier.wait(60)
    origin.wait_seen("/a")
    origin.release.set()
    paths = [path for _ in processes for path in answers.get()]
    for process in processes:
        process.join()
        process.close()
    assert len(paths) == 32
    (path,) = set(paths)
    with open(path, "rb") as file:
        assert file.read() == BODY
    assert len(origin.seen("/a")) == 1
    answers.close()


def test_what_a_killed_process_left_is_resumed(
    origin: Origin, destination: DirectoryDestination, make_service: Callable[..., FetchService]
) -> None:
    for at in (1_000_000, 2_345_678):
        path = f"/{at}"
        url = origin.add(path, Page(BODY, stall_at=at), BODY)
        process = SPAWN.Process(target=fetch, args=(destination.root, url))
        process.start()
        partial = f"{destination.root}/{destination.name(url)}.part"
        wait_for(lambda: os.path.exists(partial) and os.path.getsize(partial) == at)  # noqa: B023
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        process.close()
        assert read(make_service().submit(url, sha256(BODY))) == BODY
        assert ranges(origin, path) == [None, f"bytes={at}-"]
    assert destination.leftovers() == []


def test_killed_at_any_moment_the_next_fetch_is_right(
    origin: Origin, destination: DirectoryDestination, make_service: Callable[..., FetchService]
) -> None:
    dice = random.Random(7)
    service = make_service()
    for attempt in range(6):
        url = origin.add(f"/{attempt}", BODY)
        process = SPAWN.Process(target=fetch, args=(destination.root, url))
        process.start()
        origin.wait_seen(f"/{attempt}")
        process.join(dice.random() * 0.02)
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        process.close()
        assert read(service.submit(url, sha256(BODY))) == BODY
    assert destination.leftovers() == []
