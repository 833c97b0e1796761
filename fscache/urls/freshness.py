"""Whether a cached URL may be handed out as it is. Pure.

A cached URL stays good until asked otherwise: origins' cache headers are about browsers, and a job
that ran yesterday must get yesterday's bytes today.
"""

from __future__ import annotations

HIT = "hit"
REVALIDATE = "revalidate"
FETCH = "fetch"
REFUSE = "refuse"


def decide(
    *,
    cached: bool,
    checked_at: float,
    now: float,
    max_age: float | None,
    revalidate: bool,
    offline: bool,
) -> str:
    """Return what to do about a URL: HIT, REVALIDATE, FETCH or REFUSE.

    Args:
        cached: Its object is here and is trusted.
        checked_at: When the origin last said that it is current, seconds since the epoch.
        now: Seconds since the epoch.
        max_age: The oldest check that still does, in seconds; None for any.
        revalidate: Ask the origin in any case.
        offline: Never ask: an old object is then better than none.
    """
    if offline:
        return HIT if cached else REFUSE
    if not cached:
        return FETCH
    # A check in the future (a clock was set back) says nothing about its age: ask.
    stale = max_age is not None and not 0 <= now - checked_at <= max_age
    return REVALIDATE if revalidate or stale else HIT
