"""Filters as administrators write them: `size>1GiB`, `accessed>7d`, `url~host/path`. Pure.

    filter := field operator value
    number fields  size disk hits          > >= < <= = !=      1GiB, 500MB, 3
    age fields     accessed stored         > >= < <= = !=      7d, 12h: *longer ago than* for `>`
    text fields    url name kind host by address               = != ~ !~   (~ contains)

Several filters must all hold.
"""

from __future__ import annotations

import re

from fscache.records.rows import bound
from fscache.units import parse_duration, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.errors import InvalidFilterError

_NUMBERS = ("size", "disk", "hits")
_AGES = ("accessed", "stored")
_TEXTS = ("url", "name", "kind", "host", "by", "address")
_FORM = re.compile(r"\s*([a-z]+)\s*(>=|<=|!=|!~|=|>|<|~)\s*(.*?)\s*", re.DOTALL)
# The longer ago, the smaller the time: an age turns the comparison round.
_TURNED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "=": "=", "!=": "!="}


class Condition:
    """One filter: `field` stands in `operator` to `value`."""

    __slots__ = ("field", "operator", "value")

    def __init__(self, field: str, operator: str, value: float | str) -> None:
        """Describe a filter; times are seconds before now, `operator` is as it was written."""
        self.field = field
        self.operator = operator
        self.value = value

    def sql(self, now: float) -> tuple[str, float | str | bytes]:
        """Return the condition on a column, and the value to bind."""
        if isinstance(self.value, str):
            value = bound(self.value)
            column = "name" if self.field == "url" else self.field
            if self.operator.endswith("~"):
                return f"instr({column}, ?) {'=' if self.operator == '!~' else '>'} 0", value
            return f"{column} {self.operator} ?", value
        if self.field in _AGES:
            return f"{self.field} {_TURNED[self.operator]} ?", now - self.value
        return f"{self.field} {self.operator} ?", self.value


def parse_filter(text: str) -> Condition:
    """Read one filter.

    Raises:
        InvalidFilterError: it says what was not understood.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise _invalid(text, "expected field, operator and value: size>1GiB")
    field, operator, value = match.groups()
    if field in _TEXTS:
        if operator not in ("=", "!=", "~", "!~"):
            raise _invalid(text, f"{field} is text: use =, !=, ~ or !~")
        if not value:
            raise _invalid(text, "there is no value")
        try:
            bound(value)
        except UnicodeEncodeError:
            raise _invalid(text, "a lone surrogate stands for no byte") from None
        if field == "kind" and operator in ("=", "!="):
            _check_kind(text, value)
        return Condition(field, operator, value)
    if field not in (*_NUMBERS, *_AGES):
        known = ", ".join((*_NUMBERS, *_AGES, *_TEXTS))
        raise _invalid(text, f"no field {field!r}; there are {known}")
    if operator.endswith("~"):
        raise _invalid(text, f"{field} is a number: use >, >=, <, <=, = or !=")
    try:
        number = parse_duration(value) if field in _AGES else float(parse_size(value))
    except ValueError as exc:
        raise _invalid(text, str(exc)) from exc
    return Condition(field, operator, number)


def _check_kind(text: str, value: str) -> None:
    from fscache.records.listing import KINDS  # which rests on this module

    if value not in KINDS:
        raise _invalid(text, f"no kind {value!r}; there are {', '.join(KINDS)}")


def _invalid(text: str, why: str) -> InvalidFilterError:
    from fscache.errors import InvalidFilterError  # only now: the tree costs more than a listing

    return InvalidFilterError(text=text, why=why)


def where(conditions: Iterable[Condition], now: float) -> tuple[str, list[float | str | bytes]]:
    """Return the SQL of all conditions together, empty if there are none, and what to bind."""
    pairs = [condition.sql(now) for condition in conditions]
    return " AND ".join(text for text, _ in pairs), [value for _, value in pairs]
