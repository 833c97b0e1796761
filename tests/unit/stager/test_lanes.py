"""Promises of stager.lanes."""

from __future__ import annotations

from typing import Any

from stager.lanes import Lanes

A, B, FTP = ("http", "a", 80), ("http", "b", 80), ("ftp", "a", 21)
ANY = (True, False)


def lanes(per_host: int = 2, rate: float | None = None) -> Lanes[Any]:
    return Lanes(per_host, rate, lambda scheme: scheme == "http")


def pop(queue: Lanes[Any], now: float = 0, kinds: tuple[bool, ...] = ANY) -> Any:
    taken = queue.pop(now, kinds)
    return None if taken is None else taken[1]


def test_hosts_take_turns() -> None:
    queue = lanes()
    for item in ("a1", "a2", "a3"):
        queue.push(A, item)
    queue.push(B, "b1")
    assert [pop(queue, 0, ANY) for _ in range(4)] == ["a1", "b1", "a2", None]


def test_a_host_gets_no_more_than_its_slots_and_a_freed_one_goes_on() -> None:
    queue = lanes(per_host=1)
    queue.push(A, 1)
    queue.push(A, 2)
    assert queue.pop(0, ANY) == (A, 1)
    assert pop(queue, 0, ANY) is None
    queue.release(A)
    assert pop(queue, 0, ANY) == 2


def test_what_can_be_taken_is_counted_at_every_step() -> None:
    queue = lanes(per_host=2)
    taken = 0
    for step in range(200):
        if step % 3:
            queue.push(A if step % 2 else B, step)
        elif pop(queue) is not None:
            taken += 1
        elif taken:
            for origin in (A, B):
                while origin in queue._lanes and queue._lanes[origin].active:
                    queue.release(origin)
            taken = 0
        free = sum(min(len(lane.queue), 2 - lane.active) for lane in queue._lanes.values())
        assert queue.takeable == {True: free, False: 0}
        assert queue.ready[True] == sum(len(lane.queue) for lane in queue._lanes.values())


def test_what_has_begun_goes_first() -> None:
    queue = lanes()
    queue.push(A, "new")
    queue.push(A, "begun", first=True)
    assert pop(queue, 0, ANY) == "begun"


def test_kinds_are_taken_and_counted_apart() -> None:
    queue = lanes()
    queue.push(A, "http")
    queue.push(FTP, "ftp")
    assert queue.ready == {True: 1, False: 1}
    assert pop(queue, 0, (False,)) == "ftp"
    assert pop(queue, 0, (False,)) is None
    assert queue.ready == {True: 1, False: 0}
    assert pop(queue, 0, (True,)) == "http"


def test_what_is_due_later_comes_when_it_is_due() -> None:
    queue = lanes()
    queue.push_later(5.0, A, "five")
    queue.push_later(3.0, A, "three")
    assert (queue.next_due(), pop(queue, 2.0, ANY)) == (3.0, None)
    queue.wake(4.0)
    assert [pop(queue, 4.0, ANY), pop(queue, 4.0, ANY), queue.next_due()] == ["three", None, 5.0]
    queue.wake(5.0)
    assert (pop(queue, 5.0, ANY), queue.next_due()) == ("five", None)


def test_a_rate_spaces_what_begins_with_one_host_and_not_with_another() -> None:
    queue = lanes(per_host=9, rate=2.0)
    for item in (1, 2, 3):
        queue.push(A, item)
    queue.push(B, "b")
    assert [pop(queue, 0.0, ANY) for _ in range(3)] == [1, "b", None]
    assert queue.next_due() == 0.5
    queue.wake(0.5)
    assert [pop(queue, 0.5, ANY), pop(queue, 0.5, ANY)] == [2, None]
    queue.release(A)
    queue.wake(0.7)
    assert pop(queue, 0.7, ANY) is None
    queue.wake(1.0)
    assert pop(queue, 1.0, ANY) == 3


def test_hosts_without_work_are_forgotten() -> None:
    queue = lanes()
    for host in range(100):
        origin = ("http", f"h{host}", 80)
        queue.push(origin, host)
        assert pop(queue, 0, ANY) == host
        queue.release(origin)
    assert not queue._lanes


def test_a_host_without_a_free_slot_or_before_its_moment_is_not_open() -> None:
    queue = lanes(per_host=1)
    queue.push(A, 1)
    queue.push(A, 2)
    assert queue.has_open(many=True)
    queue.pop(0, ANY)
    assert not queue.has_open(many=True)
    paced = lanes(per_host=9, rate=1.0)
    paced.push(A, 1)
    paced.push(A, 2)
    paced.pop(0, ANY)
    assert paced.pop(0.5, ANY) is None
    assert not paced.has_open(many=True)
    paced.wake(1.0)
    assert paced.has_open(many=True)


def test_a_hosts_own_limit_holds_from_then_on_and_for_no_other() -> None:
    queue = lanes(per_host=4)
    for item in range(8):
        queue.push(A, item)
    assert [pop(queue) for _ in range(4)] == [0, 1, 2, 3]
    queue.limit(A, 2)
    assert pop(queue) is None
    for _ in range(2):
        queue.release(A)
        assert queue.takeable[True] == 0
        assert pop(queue) is None
    queue.release(A)
    assert queue.takeable[True] == 1
    assert pop(queue) == 4
    assert pop(queue) is None
    queue.limit(A, 3)
    assert queue.takeable[True] == 1
    assert [pop(queue) for _ in range(2)] == [5, None]
    for item in range(8):
        queue.push(B, item)
    assert queue.takeable[True] == 4
    queue.limit(A, None)
    assert queue.takeable[True] == 5


def test_a_limit_is_kept_for_a_host_that_has_nothing_to_do() -> None:
    queue = lanes(per_host=2)
    queue.limit(A, 1)
    for item in range(3):
        queue.push(A, item)
    assert [pop(queue) for _ in range(2)] == [0, None]
    queue.limit(A, None)
    assert [pop(queue) for _ in range(2)] == [1, None]


def test_what_can_be_taken_is_counted_under_changing_limits() -> None:
    queue = lanes()
    active = 0
    for step in range(400):
        if step % 7 == 0:
            queue.limit(A, step % 5 + 1)
        if step % 3:
            queue.push(A, step)
        elif pop(queue) is not None:
            active += 1
        elif active:
            queue.release(A)
            active -= 1
        free = sum(
            min(len(lane.queue), max(0, queue._limits[A] - lane.active))
            for lane in queue._lanes.values()
        )
        assert queue.takeable == {True: free, False: 0}
