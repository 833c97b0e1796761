"""Promises of fscache.fs.ahead: results in order, some in advance, none lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from fscache.fs.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_results_come_in_order(count: int) -> None:
    assert list(ahead(lambda number: number * 2, range(count), 4)) == [2 * n for n in range(count)]


def test_so_many_are_at_work_at_once() -> None:
    meeting = threading.Barrier(4, timeout=20)

    def work(number: int) -> int:
        if number < 4:
            meeting.wait()
        return number

    assert list(ahead(work, range(10), 4)) == list(range(10))


def test_no_more_than_twice_as_many_are_begun() -> None:
    begun = []

    def items() -> Iterator[int]:
        for number in range(1000):
            begun.append(number)
            yield number

    results = ahead(lambda number: number, items(), 4)
    assert next(results) == 0
    assert len(begun) <= 9
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 9


def test_an_exception_comes_in_the_place_of_its_result() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = ahead(work, range(10), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_one_piece_needs_no_thread() -> None:
    assert list(ahead(lambda _: threading.current_thread(), [1])) == [threading.current_thread()]
