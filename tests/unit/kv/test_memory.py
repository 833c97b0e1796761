"""Promises of fscache.kv.memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.kv.memory import Memory, stamp
from tests.support.processes import in_child

if TYPE_CHECKING:
    from fscache.kv.memory import Known


def known(value: object, weight: int = 1000) -> Known:
    return ("/path", 1, 2, 3, b"s", value, True, None, weight)


def test_what_was_kept_is_known_until_dropped() -> None:
    memory = Memory(10_000)
    memory.keep("a", known(1))
    assert memory.get("a") == known(1)
    memory.drop("a")
    assert memory.get("a") is None
    memory.drop("a")


def test_memory_is_bounded_by_weight() -> None:
    memory = Memory(100_000)
    for number in range(1000):
        memory.keep(str(number), known(number))
    held = [number for number in range(1000) if memory.get(str(number)) is not None]
    assert 40 <= len(held) <= 100


def test_what_is_asked_for_stays() -> None:
    memory = Memory(100_000)
    memory.keep("favourite", known(0))
    for number in range(1000):
        memory.keep(str(number), known(number))
        assert memory.get("favourite") is not None


def test_what_weighs_too_much_is_not_kept_and_not_left_stale() -> None:
    memory = Memory(10_000)
    memory.keep("a", known("old"))
    memory.keep("a", known("new", weight=6_000))
    assert memory.get("a") is None


def test_a_limit_of_nothing_keeps_nothing() -> None:
    memory = Memory(0)
    memory.keep("a", known(1))
    assert memory.get("a") is None


def test_stamps_differ_under_a_clock_that_stands_still() -> None:
    stamps = [stamp(1_700_000_000.5) for _ in range(1000)]
    assert len(set(stamps)) == 1000
    assert all(abs(each - 1_700_000_000_500_000_000) < 2_000_000 for each in stamps)


def test_a_forked_child_makes_other_stamps_than_its_parent() -> None:
    theirs = in_child(lambda: [stamp(5.0) for _ in range(100)])
    ours = [stamp(5.0) for _ in range(100)]
    assert not set(theirs) & set(ours)
