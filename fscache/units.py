"""Sizes and durations as people write them: `500GiB`, `10%`, `30d`. Pure.

Sizes: bytes, with K/M/G/T/P for powers of 1000 and Ki/Mi/Gi/Ti/Pi for powers of 1024; a `B` may
follow. Durations: seconds, with s, m, h, d, w behind.
"""

from __future__ import annotations

_SIZE_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGTP", 1):
    for _suffix in ("", "B"):
        _SIZE_UNITS[_letter + _suffix] = 1000**_power
        _SIZE_UNITS[_letter + "I" + _suffix] = 1024**_power
_TIME_UNITS = {"": 1, "S": 1, "M": 60, "H": 3600, "D": 86400, "W": 604800}


def parse_size(text: str) -> int:
    """Return a size in bytes; raises ValueError that names what was given."""
    return int(_parse(text, _SIZE_UNITS, "size, such as 500GiB"))


def parse_share(text: str, whole: int) -> int:
    """Return a size in bytes, given as one or as a percentage of `whole`; raises ValueError."""
    if not text.endswith("%"):
        return parse_size(text)
    try:
        share = float(text[:-1])
    except ValueError:
        share = -1.0
    if not 0 <= share <= 100:  # also refuses nan
        raise ValueError(f"not a percentage from 0% to 100%: {text!r}")
    return int(whole * share / 100)


def parse_duration(text: str) -> float:
    """Return a duration in seconds; raises ValueError that names what was given."""
    return _parse(text, _TIME_UNITS, "duration, such as 30d or 12h")


def format_size(size: float) -> str:
    """Return a size for people: `1.4 GiB`."""
    value = float(size)
    units = iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while abs(value) >= 1024 and unit != "PiB":
        value /= 1024
        unit = next(units)
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a duration for people, its largest unit only: `3 d`, `250 µs`."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if abs(seconds) >= length:
            return f"{_three_digits(seconds / length)} {unit}"
    return f"{_three_digits(seconds * 1e6)} µs"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _parse(text: str, units: dict[str, int], what: str) -> float:
    stripped = text.strip()
    number = stripped.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = stripped[len(number) :].strip().upper()
    try:
        value = float(number) * units[unit]
    except (ValueError, KeyError):
        raise ValueError(f"not a {what}: {text!r}") from None
    if not 0 <= value < 2**63:  # also refuses nan and inf
        raise ValueError(f"not a {what}, out of range: {text!r}")
    return value
