"""Promises of fscache.objects.purge: the plan takes the right objects, and enough of them."""

from __future__ import annotations

import pytest

from fscache.objects.purge import (
    GONE,
    LEASED,
    PINNED,
    YOUNG,
    Candidate,
    Policy,
    Purger,
    Room,
    choose,
    needed,
)

NOW = 1_000_000.0
HOUR = 3600.0


def candidates(*ages: float, size: int = 100) -> list[Candidate]:
    """Return candidates of these ages in hours, oldest first."""
    return [
        Candidate(f"{index:020x}", size, size, NOW - age * HOUR) for index, age in enumerate(ages)
    ]


def plan(
    policy: Policy,
    offered: list[Candidate],
    *,
    objects: int = 0,
    disk: int = 0,
    look: dict[str, Candidate | str] | None = None,
) -> tuple[list[int], Purger]:
    purger = Purger(policy, NOW, objects, disk)
    seen = look or {}
    taken = list(choose(purger, offered, lambda each: seen.get(each.address, each)))
    return [int(each.address, 16) for each in taken], purger


def test_age_alone_takes_all_that_is_older() -> None:
    taken, purger = plan(Policy(older_than=10 * HOUR), candidates(30, 20, 10, 9, 2))
    assert taken == [0, 1, 2]
    assert (purger.taken, purger.freed, purger.spared) == (3, 300, {})


def test_room_takes_the_least_recently_used_and_no_more_than_needed() -> None:
    taken, purger = plan(Policy(max_size=1), candidates(30, 20, 10, 9, 2), objects=201)
    assert taken == [0, 1, 2]
    assert not purger.short


def test_room_on_the_disk_counts_blocks_not_bytes() -> None:
    offered = [Candidate(f"{n:020x}", 100, 4096 if n else 0, NOW - 50 * HOUR + n) for n in range(4)]
    taken, _ = plan(Policy(min_free=1), offered, disk=5000)
    assert taken == [0, 1, 2]


def test_both_reasons_together_take_what_either_would() -> None:
    policy = Policy(older_than=15 * HOUR, max_size=1)
    assert plan(policy, candidates(30, 20, 10, 9, 2), objects=250)[0] == [0, 1, 2]
    assert plan(policy, candidates(30, 20, 10, 9, 2), objects=50)[0] == [0, 1]


def test_nothing_is_taken_without_a_reason() -> None:
    assert plan(Policy(), candidates(1000, 2))[0] == []
    assert plan(Policy(max_size=10, min_free=10), candidates(1000, 2))[0] == []


def test_the_young_are_spared_whatever_the_need() -> None:
    taken, purger = plan(Policy(max_size=1), candidates(30, 0.9, 0.5), objects=10**9)
    assert taken == [0]
    assert purger.short
    assert purger.spared == {YOUNG: 1}  # and nobody looks at those after it
    assert plan(Policy(older_than=0.0), candidates(30, 0.9))[0] == [0]
    assert plan(Policy(older_than=0.0, grace=0.0), candidates(30, 0.9))[0] == [0, 1]


def test_the_pinned_leased_and_gone_are_spared() -> None:
    offered = candidates(30, 20, 10, 5)
    seen: dict[str, Candidate | str] = {
        offered[0].address: offered[0]._replace(pinned=True),
        offered[1].address: LEASED,
        offered[2].address: GONE,
    }
    taken, purger = plan(Policy(max_size=1), offered, objects=100, look=seen)
    assert taken == [3]
    assert purger.spared == {PINNED: 1, LEASED: 1, GONE: 1}


def test_what_was_asked_for_meanwhile_waits_for_its_turn() -> None:
    offered = candidates(30, 20, 10)
    seen: dict[str, Candidate | str] = {
        offered[0].address: offered[0]._replace(accessed=NOW - 15 * HOUR)
    }
    assert plan(Policy(max_size=1), offered, objects=100, look=seen)[0] == [1]
    assert plan(Policy(max_size=1), offered, objects=101, look=seen)[0] == [1, 0]
    assert plan(Policy(max_size=1), offered, objects=999, look=seen)[0] == [1, 0, 2]
    seen[offered[0].address] = offered[0]._replace(accessed=NOW)
    taken, purger = plan(Policy(max_size=1), offered, objects=999, look=seen)
    assert taken == [1, 2]
    assert purger.spared == {YOUNG: 1}


def test_nobody_is_looked_at_beyond_what_is_needed() -> None:
    looked = []

    def look(candidate: Candidate) -> Candidate:
        looked.append(candidate)
        return candidate

    offered = candidates(*range(1000, 500, -1))
    purger = Purger(Policy(max_size=1), NOW, 250, 0)
    assert len(list(choose(purger, offered, look))) == 3
    assert len(looked) == 3


def test_what_is_given_back_is_needed_again() -> None:
    purger = Purger(Policy(max_size=1), NOW, 100, 50)
    (candidate,) = candidates(30)
    purger.take(candidate)
    assert (purger.taken, purger.freed, purger.short) == (1, 100, False)
    purger.give_back(candidate)
    assert (purger.taken, purger.freed, purger.short) == (0, 0, True)
    assert (purger.objects_needed, purger.disk_needed) == (100, 50)


GIB = 1 << 30


@pytest.mark.parametrize(
    ("policy", "used", "incoming", "expected"),
    [
        (Policy(max_size=100), 100, 0, (0, 0)),
        (Policy(max_size=100), 101, 0, (1, 0)),
        (Policy(max_size=100), 60, 41, (1, 0)),
        (Policy(max_size=100, low_water=0.9), 100, 0, (0, 0)),
        (Policy(max_size=100, low_water=0.9), 101, 0, (11, 0)),
        (Policy(max_size=100, low_water=0.9), 60, 41, (11, 0)),
        (Policy(min_free=100), 0, 0, (0, 0)),
        (Policy(min_free=400), 0, 0, (0, 0)),
        (Policy(min_free=401), 0, 0, (0, 1)),
        (Policy(min_free=400), 0, 1, (0, 1)),
        (Policy(min_free=500, low_water=0.5), 0, 0, (0, 350)),
        (Policy(max_size=50, min_free=500), 60, 0, (10, 100)),
        (Policy(older_than=1.0), 10**9, 0, (0, 0)),
    ],
)
def test_limits_say_how_much_is_needed(
    policy: Policy, used: int, incoming: int, expected: tuple[int, int]
) -> None:
    assert needed(policy, Room(used=used, free=400, total=1000, incoming=incoming)) == expected
