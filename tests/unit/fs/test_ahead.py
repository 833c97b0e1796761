"""Promises of fscache.fs.ahead: results in order, some in advance, none lost."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from fscache.fs.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_results_come_in_order(count: int) -> None:
    assert list(ahead(lambda number: number * 2, range(count), 4)) == [2 * n for n in range(count)]


def as_from_a_cold_disk(number: int) -> int:
    """The first piece waits, as one that is not in memory does."""
    if number == 0:
        time.sleep(0.1)
    return number


def test_after_a_piece_that_waited_so_many_are_at_work_at_once() -> None:
    meeting = threading.Barrier(4, timeout=20)

    def work(number: int) -> int:
        if 1 <= number <= 4:
            meeting.wait()
        return as_from_a_cold_disk(number)

    assert list(ahead(work, range(10), 4)) == list(range(10))


def test_what_does_not_wait_is_done_in_this_thread() -> None:
    done = list(ahead(lambda _: threading.current_thread(), range(100), 4))
    assert set(done) == {threading.current_thread()}


def test_no_more_than_twice_as_many_are_begun() -> None:
    begun = []

    def items() -> Iterator[int]:
        for number in range(1000):
            begun.append(number)
            yield number

    results = ahead(as_from_a_cold_disk, items(), 4)
    assert [next(results), next(results)] == [0, 1]
    assert len(begun) <= 10
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 10


def test_another_is_tried_alone_after_a_stretch() -> None:
    threads: list[threading.Thread] = []

    def work(number: int) -> int:
        threads.append(threading.current_thread())
        return as_from_a_cold_disk(number)

    assert list(ahead(work, range(600), 4)) == list(range(600))
    assert threads[1] is not threading.current_thread()
    assert threads[-1] is threading.current_thread()


def test_an_exception_comes_in_the_place_of_its_result() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = ahead(work, range(10), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
