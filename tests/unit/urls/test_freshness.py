"""Promises of fscache.urls.freshness: a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.urls.freshness import FETCH, HIT, REFUSE, REVALIDATE, decide

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("age", "max_age", "revalidate", "expected"),
    [
        (0, None, False, HIT),
        (10**9, None, False, HIT),
        (10, 60, False, HIT),
        (60, 60, False, HIT),
        (60.001, 60, False, REVALIDATE),
        (0, 0, False, HIT),
        (0.001, 0, False, REVALIDATE),
        (-1, 60, False, REVALIDATE),
        (-1, None, False, HIT),
        (0, None, True, REVALIDATE),
        (0, 60, True, REVALIDATE),
        (float("nan"), 60, False, REVALIDATE),
        (float("inf"), 60, False, REVALIDATE),
    ],
)
def test_what_is_here(age: float, max_age: float | None, revalidate: bool, expected: str) -> None:
    options = {"checked_at": NOW - age, "now": NOW, "max_age": max_age, "revalidate": revalidate}
    assert decide(cached=True, offline=False, **options) == expected
    assert decide(cached=True, offline=True, **options) == HIT
    assert decide(cached=False, offline=False, **options) == FETCH
    assert decide(cached=False, offline=True, **options) == REFUSE


@given(
    cached=st.booleans(),
    checked_at=st.floats(),
    now=st.floats(),
    max_age=st.none() | st.floats(),
    revalidate=st.booleans(),
    offline=st.booleans(),
)
def test_the_network_is_never_asked_offline_and_old_bytes_are_never_made_up(
    *,
    cached: bool,
    checked_at: float,
    now: float,
    max_age: float | None,
    revalidate: bool,
    offline: bool,
) -> None:
    action = decide(
        cached=cached,
        checked_at=checked_at,
        now=now,
        max_age=max_age,
        revalidate=revalidate,
        offline=offline,
    )
    assert action in ({HIT, REFUSE} if offline else {HIT, REVALIDATE, FETCH})
    assert (action in {HIT, REVALIDATE}) <= cached
