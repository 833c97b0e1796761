"""Promises of stager.retry."""

from __future__ import annotations

import pytest

from stager.errors import (
    AuthenticationError,
    BusyServerError,
    ChecksumError,
    ConnectionFailedError,
    HTTPStatusError,
    LengthError,
    NoSpaceError,
    NotFoundError,
    RedirectError,
    StalledError,
    TargetRefusedError,
)
from stager.retry import RetryPolicy, is_transient_status, parse_retry_after

POLICY = RetryPolicy(attempts=4, base=1.0, cap=3.0, retry_after_cap=60.0)


def test_pauses_double_up_to_the_cap_and_end_with_the_attempts() -> None:
    assert [POLICY.pause(failures, None, 1.0) for failures in (1, 2, 3, 4)] == [1.0, 2.0, 3.0, None]


def test_jitter_spreads_a_pause_over_its_upper_half() -> None:
    assert POLICY.pause(2, None, 0.0) == 1.0
    assert POLICY.pause(2, None, 0.5) == 1.5


def test_many_failures_overflow_nothing() -> None:
    assert RetryPolicy(attempts=10**6).pause(5000, None, 1.0) == 30.0


def test_retry_after_lengthens_a_pause_and_never_shortens_it() -> None:
    assert POLICY.pause(1, 17.0, 0.5) == 17.0
    assert POLICY.pause(1, 0.0, 1.0) == 1.0


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionFailedError("u", "refused"), True),
        (StalledError("u", "silent"), True),
        (ConnectionFailedError("u", "no such host", lasting=True), False),
        (LengthError("u", 2, 1), True),
        (BusyServerError("u", 503, "busy"), True),
        (BusyServerError("u", 503, "busy", retry_after=60.0), True),
        (BusyServerError("u", 503, "come back tomorrow", retry_after=86400.0), False),
        (HTTPStatusError("u", 400, "bad"), False),
        (NotFoundError("u", 404, "no"), False),
        (AuthenticationError("u", 401, "no"), False),
        (ChecksumError("u", "md5", "0", "1"), False),
        (RedirectError("u", "loop"), False),
        (TargetRefusedError("u", "private"), False),
        (NoSpaceError("u", "full", 1, 0), False),
        (OSError(5, "broken disk"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, transient: bool) -> None:
    assert POLICY.is_transient(error) is transient


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        *[(408, True), (425, True), (429, True), (500, True), (503, True), (599, True)],
        *[(200, False), (400, False), (401, False), (403, False), (404, False), (410, False)],
    ],
)
def test_statuses_that_mean_not_now(status: int, transient: bool) -> None:
    assert is_transient_status(status) is transient


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("9" * 400, 999999999.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, "Thu, 01 Jan 1970 00:01:40 GMT") == seconds


def test_a_moment_without_a_date_to_compare_it_with_says_nothing() -> None:
    assert parse_retry_after("Thu, 01 Jan 1970 00:02:00 GMT", None) is None
