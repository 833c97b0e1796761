"""Promises of stager.mirrors."""

from __future__ import annotations

from stager.errors import BusyServerError, ConnectionFailedError, NotFoundError
from stager.mirrors import Mirrors
from stager.retry import RetryPolicy

POLICY = RetryPolicy(attempts=3, base=2.0, cap=100.0, retry_after_cap=60.0, progress=1000)
BROKEN = ConnectionFailedError("u", "refused")
GONE = NotFoundError("u", 404, "no")


def mirrors(count: int) -> Mirrors:
    return Mirrors(count, POLICY, lambda: 0.0)


def test_the_next_mirror_is_asked_at_once_and_the_first_again_after_a_pause() -> None:
    route = mirrors(2)
    assert (route.failed(BROKEN, 0), route.current) == (0.0, 1)
    assert (route.failed(BROKEN, 0), route.current) == (1.0, 0)
    assert (route.failed(BROKEN, 0), route.current) == (0.0, 1)
    assert (route.failed(BROKEN, 0), route.current) == (2.0, 0)
    assert (route.failed(BROKEN, 0), route.current) == (0.0, 1)
    assert route.failed(BROKEN, 0) is None
    assert route.causes == {0: BROKEN, 1: BROKEN}
    assert route.recoverable


def test_a_mirror_that_fails_for_good_is_not_asked_again() -> None:
    route = mirrors(2)
    assert (route.failed(GONE, 0), route.current) == (0.0, 1)
    assert (route.failed(BROKEN, 0), route.current) == (1.0, 1)
    assert route.failed(GONE, 0) is None
    assert route.causes == {0: GONE, 1: GONE}
    assert not route.recoverable


def test_one_mirror_that_fails_for_good_ends_it() -> None:
    assert mirrors(1).failed(GONE, 0) is None


def test_progress_starts_the_count_anew() -> None:
    route = mirrors(1)
    for megabyte in range(1, 50):
        assert route.failed(BROKEN, megabyte * 1000) == 1.0
    assert route.failed(BROKEN, 49_999) == 2.0
    assert route.failed(BROKEN, 49_999) is None


def test_fetching_the_same_bytes_again_is_no_progress() -> None:
    route = mirrors(1)
    pauses = [route.failed(BROKEN, at) for at in (5000, 0, 5000)]
    assert pauses == [1.0, 2.0, None]


def test_kept_bytes_get_their_mirror_one_more_chance_before_the_others() -> None:
    route = mirrors(2)
    assert (route.failed(BROKEN, 500), route.current) == (1.0, 0)
    assert (route.failed(BROKEN, 500), route.current) == (0.0, 1)


def test_the_longest_retry_after_of_a_round_is_kept_to() -> None:
    route = mirrors(2)
    assert route.failed(BusyServerError("u", 429, "", retry_after=30.0), 0) == 0.0
    assert route.failed(BusyServerError("u", 429, "", retry_after=10.0), 0) == 30.0
    assert route.failed(BROKEN, 0) == 0.0
    assert route.failed(BROKEN, 0) == 2.0


def test_a_mirror_that_wants_us_back_tomorrow_is_left_and_the_others_are_not() -> None:
    route = mirrors(2)
    assert (route.failed(BusyServerError("u", 503, "", retry_after=9e4), 0), route.current) == (
        0,
        1,
    )
    assert (route.failed(BROKEN, 0), route.current) == (1.0, 1)
