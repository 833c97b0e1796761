"""Which rows of an index a query matches.

The conditions that leave fewest rows come first: an id, what is pending, a range of submission times.
Then those that columns answer; what only the records themselves can answer comes last, for the rows
that are left.
"""

from __future__ import annotations

from itertools import filterfalse

from fscache.tasks.columns import ELSEWHERE_CODE
from fscache.tasks.living import COMPLETED
from fscache.tasks.match import Branch, Query, Test
from fscache.tasks.model import DATES, FIELDS, INTS, NULL, TEXTS
from fscache.tasks.plans import OTHER_FIELDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.tasks.index import Index
    from fscache.tasks.model import Record

    Load = Callable[[int, Sequence[str]], Record]


def select(index: Index, query: Query, load: Load) -> Sequence[int]:
    """Return the rows that match, in the order in which their records were added.

    Args:
        index: The records.
        query: The conditions.
        load: Returns some keys of the record of a row.
    """
    tests = [each for each in query.conditions if isinstance(each, Test)]
    rows, tests = _start(index, tests)
    ordered = isinstance(rows, range)
    branches = [each for each in query.conditions if isinstance(each, Branch)]
    rows = _narrow(index, rows, tests, branches, load)
    if not index.in_order:
        return index.by_addition(rows)
    return rows if ordered else sorted(rows)


def _start(index: Index, tests: list[Test]) -> tuple[Sequence[int], list[Test]]:
    """Return the rows to begin with, and the tests that are still to be made."""
    for test in tests:
        if test.field == "msg_id" and test.equals is not None:
            ids = {each for each in test.equals if isinstance(each, str)}
            found = [index.rows[each] for each in ids if each in index.rows]
            return found, [each for each in tests if each is not test]
    for test in tests:
        if test.field == "completed" and not test.path and test.present is False:
            return list(index.pending), [each for each in tests if each is not test]
    ranges = [
        test
        for test in tests
        if test.field == "submitted" and (test.low is not None or test.upper is not None)
    ]
    if ranges:
        low = max((test.low for test in ranges if test.low is not None), default=None)
        upper = min((test.upper for test in ranges if test.upper is not None), default=None)
        rest = [each for each in tests if each not in ranges]
        return index.timeline.between(low, upper), rest
    return index.live_rows(), tests


def _narrow(
    index: Index, rows: Sequence[int], tests: list[Test], branches: list[Branch], load: Load
) -> Sequence[int]:
    deep: list[Test] = []
    for test in tests:
        if test.path or not _is_column(test.field):
            deep.append(test)
        else:
            rows = _by_column(index, rows, test, load)
    rest = []
    for test in deep:
        bit = _BITS.get(test.field)
        if test.present is None or bit is None:
            rest.append(test)
        else:
            present = index.present
            rows = [row for row in rows if (present[row] & bit != 0) is test.present]
    if rest:
        rows = _by_record(index, rows, rest, load)
    for branch in branches:
        found: set[int] = set()
        for query in branch.queries:
            inner = [each for each in query.conditions if isinstance(each, Test)]
            further = [each for each in query.conditions if isinstance(each, Branch)]
            found.update(_narrow(index, rows, inner, further, load))
        rows = [row for row in rows if (row in found) is not branch.negated]
    return rows


def _is_column(field: str) -> bool:
    return field == "msg_id" or field in DATES or field in TEXTS


def _by_column(index: Index, rows: Sequence[int], test: Test, load: Load) -> Sequence[int]:
    accepts = test.accepts
    if test.field == "msg_id":
        ids = index.ids
        return [row for row in rows if accepts(ids[row])]
    if test.field in DATES:
        position = INTS.index(test.field)
        column = index.numbers[position]
        if position == COMPLETED and test.present is not None:
            keep = filterfalse if test.present else filter
            return list(keep(index.pending.__contains__, rows))
        if test.low is not None:
            return [row for row in rows if column[row] >= test.low]
        if test.upper is not None:
            return [row for row in rows if NULL < column[row] <= test.upper]
        null = accepts(None)
        return [row for row in rows if (null if (value := column[row]) == NULL else accepts(value))]
    texts = index.texts[TEXTS.index(test.field)]
    wanted = texts.codes_where(accepts) if test.equals is None else texts.codes_of(test.equals)
    codes = texts.codes
    if not texts.has_elsewhere:
        return [row for row in rows if codes[row] in wanted]
    return [
        row
        for row in rows
        if (
            codes[row] in wanted
            if codes[row] != ELSEWHERE_CODE
            else accepts(load(row, (test.field,))[test.field])
        )
    ]


def _by_record(index: Index, rows: Sequence[int], tests: list[Test], load: Load) -> Sequence[int]:
    """Narrow down by what only the records say; those without a value need not be read."""
    fields = tuple(dict.fromkeys(test.field for test in tests))
    bits = 0
    for field in fields:
        bits |= _BITS.get(field, OTHER_FIELDS)
    if_absent = all(test.accepts_field(None) for test in tests)
    if any(_is_column(field) for field in fields):
        bits = ~0
    present = index.present
    found = []
    for row in rows:
        if not present[row] & bits:
            if if_absent:
                found.append(row)
            continue
        record = load(row, fields)
        if all(test.accepts_field(record.get(test.field)) for test in tests):
            found.append(row)
    return found


_BITS = {field: 1 << bit for bit, field in enumerate(FIELDS)}
