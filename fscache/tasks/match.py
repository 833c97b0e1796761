"""Task queries: which records match. Pure.

A query is a mapping of conditions that must all hold. A condition's key is a record's key, with dots
for what lies inside (`header.msg_type`), or `$and`, `$or`, `$nor` with a list of queries. Its value
is what the record's must equal or, where it is a mapping, operators that must all hold:

    $eq $ne $in $nin     as ==, !=, in, not in
    $lt $lte $gt $gte    as <, <=, >, >=
    $ge $le              as > and <: what the table in IPython's documentation says
    $glob $regex         text that matches a shell pattern (case counts), or has a match in it
    $exists              whether it is not None
    $mod [d, r]          a number that leaves r when divided by d
    $all [...]           a list that holds all of them
    $not {...}           the operators do not all hold

Values compare as Python compares them, times as instants. None satisfies no range; values that
cannot be compared do not match, and never raise. One of the four date keys is compared with a
datetime, its text by ISO 8601 or None, and with nothing else. What is wrong with a query itself (an
unknown key or operator, an operand that cannot be used) is an error, whether or not there are records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fscache.errors import InvalidQueryError, UnknownOperatorError
from fscache.tasks import model
from fscache.tasks.operators import COMPARED, LISTED, OPERATORS, Accepts


class Test:
    """One condition on one field."""

    __slots__ = ("accepts", "equals", "field", "low", "path", "present", "upper")

    def __init__(self, field: str, path: tuple[str, ...], accepts: Accepts) -> None:
        """Describe a condition.

        Args:
            field: The record's key.
            path: Keys to follow inside its value.
            accepts: Whether the value matches; for a date field it is given the instant or None.
        """
        self.field = field
        self.path = path
        self.accepts = accepts
        self.equals: list[object] | None = None
        """Where the value must be one of a few: which; for an index to look up."""
        self.present: bool | None = None
        """Where all that counts is whether there is a value: whether there must be one."""
        self.low: int | None = None
        self.upper: int | None = None
        """Where the value must lie in a range of instants: from `low` to `upper`, both included."""

    def accepts_field(self, value: object) -> bool:
        """Whether a field's value, as the record holds it, matches."""
        for key in self.path:
            value = _inside(value, key)
        return self.accepts(value)


class Query:
    """A query that has been checked; `conditions` must all hold."""

    __slots__ = ("conditions",)

    def __init__(self, conditions: list[Test | Branch]) -> None:
        self.conditions = conditions

    def matches(self, record: Mapping[str, object]) -> bool:
        """Whether a record matches; a key it lacks counts as None."""
        for condition in self.conditions:
            if isinstance(condition, Branch):
                if not condition.matches(record):
                    return False
                continue
            value = record.get(condition.field)
            if condition.field in model.DATES and isinstance(value, datetime):
                value = model.to_instant(value)
            if not condition.accepts_field(value):
                return False
        return True


class Branch:
    """`$or` of queries, or `$nor`."""

    __slots__ = ("negated", "queries")

    def __init__(self, queries: list[Query], *, negated: bool) -> None:
        self.queries = queries
        self.negated = negated

    def matches(self, record: Mapping[str, object]) -> bool:
        """Whether any of the queries, or none of them, matches."""
        return any(query.matches(record) for query in self.queries) is not self.negated


def compile_query(query: Mapping[str, object], known: Iterable[str] = model.FIELDS) -> Query:
    """Check a query and make it ready.

    Args:
        query: The conditions.
        known: The keys that records have.

    Raises:
        UnknownFieldError: no record has such a key.
        UnknownOperatorError: there is no such operator.
        InvalidQueryError: an operator cannot take the operand it was given.
    """
    if not isinstance(query, Mapping):
        raise InvalidQueryError(f"expected a mapping, not {query!r:.80}")
    names = frozenset(known)
    conditions: list[Test | Branch] = []
    for key, value in query.items():
        if key == "$and":
            for each in _queries(key, value, names):
                conditions += each.conditions
        elif key in ("$or", "$nor"):
            conditions.append(Branch(_queries(key, value, names), negated=key == "$nor"))
        elif isinstance(key, str) and key.startswith("$"):
            raise _unknown_operator(key, ("$and", "$or", "$nor"))
        else:
            conditions += _tests(key, value, names)
    return Query(conditions)


def _queries(operator: str, value: object, known: frozenset[str]) -> list[Query]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidQueryError(f"{operator} takes a list of queries, not {value!r:.80}")
    return [compile_query(each, known) for each in value]


def _tests(key: object, value: object, known: frozenset[str]) -> list[Test | Branch]:
    name, *path = str(key).split(".")
    field = model.ALIASES.get(name, name)
    if key in known:  # a key of a record's own may have dots in it
        field, path = str(key), []
    elif field not in known:
        raise model.unknown_field(name, known)
    is_date = field in model.DATES and not path
    operators = value if isinstance(value, Mapping) else {"$eq": value}
    tests: list[Test | Branch] = []
    for operator, given in operators.items():
        operand = _operand(operator, given, is_date=is_date)
        test = Test(field, tuple(path), _accepts(operator, operand, is_date=is_date))
        if not path:
            _hint(test, operator, operand, is_date=is_date)
        tests.append(test)
    return tests


def _accepts(operator: str, operand: Any, *, is_date: bool) -> Accepts:
    if operator == "$not":
        inner = [
            _accepts(name, _operand(name, each, is_date=is_date), is_date=is_date)
            for name, each in operand.items()
        ]
        return lambda value: not all(accepts(value) for accepts in inner)
    accepts = OPERATORS[operator](operand)
    if is_date and operator == "$mod":
        return lambda _value: False  # an instant is a number to us, but to nobody else
    return accepts


def _operand(operator: object, value: Any, *, is_date: bool) -> Any:
    """Return the operand as `accepts` compares it; the operator is checked as well."""
    if operator == "$not":
        if not isinstance(value, Mapping):
            raise InvalidQueryError(f"$not takes operators, not {value!r:.80}")
        return value
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise _unknown_operator(str(operator), (*OPERATORS, "$not"))
    if operator in LISTED:
        # Any iterable: IPython's documentation passes a `map`. But no text: DictDB looks for it as a
        # part, SQLiteDB as a whole, MongoDB refuses it.
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise InvalidQueryError(f"{operator} takes a list, not {value!r:.80}")
        return [_comparable(operator, each, is_date=is_date) for each in value]
    if operator in COMPARED:
        return _comparable(operator, value, is_date=is_date)
    return value


def _comparable(operator: str, value: object, *, is_date: bool) -> object:
    if is_date and isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            pass  # refused below
    if isinstance(value, datetime):
        try:
            instant = model.to_instant(value)
        except ValueError as exc:
            raise InvalidQueryError(str(exc)) from exc
        return instant if is_date else model.to_datetime(instant)
    if is_date and value is not None:
        why = "a datetime, or its text by ISO 8601"
        raise InvalidQueryError(f"{operator} of a time takes {why}, not {value!r:.80}")
    return value


def _unknown_operator(name: str, known: Iterable[str]) -> UnknownOperatorError:
    """Return the error for an operator that there is not, with the known one most like it."""
    # Without the sign that all have, or $foo would be taken for $not.
    found = model.nearest(name.removeprefix("$"), [each[1:] for each in known])
    return UnknownOperatorError(name, found and f"${found}")


def _hint(test: Test, operator: str, operand: Any, *, is_date: bool) -> None:
    """Note what an index can use; `accepts` alone decides."""
    if operator in ("$eq", "$ne") and operand is None:
        test.present = operator == "$ne"
    elif operator == "$exists":
        test.present = bool(operand)
    if operator == "$eq":
        test.equals = [operand]
    elif operator == "$in":
        test.equals = operand
    elif is_date and isinstance(operand, int):
        if operator in ("$gt", "$ge", "$gte"):
            test.low = operand if operator == "$gte" else operand + 1
        elif operator in ("$lt", "$le", "$lte"):
            test.upper = operand if operator == "$lte" else operand - 1


def _inside(value: object, key: str) -> object:
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list | tuple) and key.isdecimal() and int(key) < len(value):
        found: object = value[int(key)]
        return found
    return None
