"""The operators of task queries: each takes an operand and gives a test for values. Pure.

What they mean is said in `fscache.tasks.match`. The tests never raise; an operand that cannot be used
does, at once.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from operator import ge, gt, le, lt
from typing import Any

from fscache.errors import InvalidQueryError

Accepts = Callable[[object], bool]


def _equal(operand: object) -> Accepts:
    return lambda value: bool(value == operand)


def _among(operand: list[object]) -> Accepts:
    try:
        quick = frozenset(operand)
    except TypeError:  # not all hashable
        return lambda value: any(value == each for each in operand)

    def accepts(value: object) -> bool:
        try:
            return value in quick
        except TypeError:
            return any(value == each for each in operand)

    return accepts


def _not(make: Callable[[Any], Accepts]) -> Callable[[Any], Accepts]:
    def negated(operand: Any) -> Accepts:
        accepts = make(operand)
        return lambda value: not accepts(value)

    return negated


def _ordered(compare: Callable[[Any, Any], object]) -> Callable[[Any], Accepts]:
    def make(operand: Any) -> Accepts:
        def accepts(value: object) -> bool:
            try:
                return value is not None and bool(compare(value, operand))
            except TypeError:
                return False

        return accepts

    return make


def _glob(operand: object) -> Accepts:
    if not isinstance(operand, str):
        raise InvalidQueryError(f"$glob takes a pattern, not {operand!r:.80}")
    # fnmatch.fnmatchcase without its cache of 256 patterns: the same set on every system
    return _searched(re.compile(fnmatch.translate(operand)).match)


def _regex(operand: object) -> Accepts:
    if not isinstance(operand, str | re.Pattern) or isinstance(
        getattr(operand, "pattern", None), bytes
    ):
        raise InvalidQueryError(f"$regex takes a pattern, not {operand!r:.80}")
    try:
        return _searched(re.compile(operand).search)
    except re.error as exc:
        raise InvalidQueryError(f"$regex {operand!r:.80}: {exc}") from exc


def _searched(search: Callable[[str], object]) -> Accepts:
    return lambda value: isinstance(value, str) and search(value) is not None


def _exists(operand: object) -> Accepts:
    wanted = bool(operand)
    return lambda value: (value is not None) is wanted


def _mod(operand: object) -> Accepts:
    if not isinstance(operand, list | tuple) or len(operand) != 2:
        raise InvalidQueryError(f"$mod takes a divisor and a remainder, not {operand!r:.80}")
    divisor, remainder = operand
    if not (_is_number(divisor) and _is_number(remainder) and divisor):
        raise InvalidQueryError(f"$mod takes two numbers, the first not 0, not {operand!r:.80}")
    return lambda value: _is_number(value) and value % divisor == remainder


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all(operand: list[object]) -> Accepts:
    def accepts(value: object) -> bool:
        held = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return bool(operand) and all(any(each == one for one in held) for each in operand)

    return accepts


OPERATORS: dict[str, Callable[[Any], Accepts]] = {
    "$eq": _equal,
    "$ne": _not(_equal),
    "$in": _among,
    "$nin": _not(_among),
    "$lt": _ordered(lt),
    "$le": _ordered(lt),
    "$lte": _ordered(le),
    "$gt": _ordered(gt),
    "$ge": _ordered(gt),
    "$gte": _ordered(ge),
    "$glob": _glob,
    "$regex": _regex,
    "$exists": _exists,
    "$mod": _mod,
    "$all": _all,
}
LISTED = frozenset({"$in", "$nin", "$all"})
COMPARED = frozenset({"$eq", "$ne", "$lt", "$le", "$lte", "$gt", "$ge", "$gte"})
