"""What `Admin` is given, checked before anything is done: a negative size would purge everything."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def check_numbers(most: float = float("inf"), **numbers: object) -> None:
    """Check numbers from 0 to `most`; None is left out.

    Raises:
        TypeError: something is no number.
        ValueError: it is negative, more than `most`, or NaN.
    """
    for name, value in numbers.items():
        if value is None:
            continue
        from numbers import Real  # NumPy's numbers are known to it

        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} is a number, not {value!r:.80}")
        if not 0 <= float(value) <= most:
            upwards = "on" if most == float("inf") else f"to {most:g}"
            raise ValueError(f"{name} is a number from 0 {upwards}, not {value!r}")


def check_texts(**texts: object) -> None:
    """Check texts; None is left out. Raises TypeError."""
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} is text, not {value!r:.80}")


def check_filters(filters: Iterable[str]) -> list[str]:
    """Return filters as a list; raises TypeError where they are none, as a single text."""
    if isinstance(filters, str):
        raise TypeError(f"filters are a list: [{filters!r:.80}]")
    found = list(filters)
    for each in found:
        check_texts(filter=each)
    return found
