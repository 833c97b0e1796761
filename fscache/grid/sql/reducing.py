"""Large tables that every worker would read whole, cut down first to the rows that may count. Pure.

Where a query is not taken apart along the keys that tables were dealt by, one table is cut and the
others are read whole by every worker. Of a large one among these, what may count is often little: it is
computed on the workers, each its shards, and the rows are sent to all of them. The keys of a smaller
table say which rows those are (`semijoin`); if there turn out to be many, the plan is given up for one
without this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.grid.sql import shape
from fscache.grid.sql.conditions import from_of
from fscache.grid.sql.cuts import choose
from fscache.grid.sql.dialect import write
from fscache.grid.sql.facts import Limits, NotProvable
from fscache.grid.sql.gathering import settle
from fscache.grid.sql.semijoin import filtered, has_filter, keys_for, worth_asking

if TYPE_CHECKING:
    from sqlglot import exp

    from fscache.grid.sql.steps import Steps

_KEYS = 4  # one in so many of a table's rows may have a key, or the keys are too many
_ROWS = 16  # likewise for the rows that are left
_BESIDE = 4  # times larger that what is joined, and not in a query within, must be
_MOST = 4_000_000  # rows that are sent to every worker, at most

Ready = tuple[str, tuple[str, ...]]


class Reducer:
    """Adds the steps for keys, and for what they leave, to a plan."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._asked: dict[str, str] = {}  # queries for keys, and the steps that give them

    def reduce(self, select: exp.Select) -> None:
        """Cut down what a SELECT would have every worker read whole, in place."""
        tables = self._steps.tables
        try:
            cut, _judge = choose(select, tables, self._steps.vocabulary, Limits(replicated=1 << 62))
        except NotProvable:
            return
        whole = shape.read(select) & self._steps.remote_all() - cut
        # Keys that were asked for a query within also serve for what is beside it.
        for name in sorted(whole, key=lambda name: (_is_beside(select, name), name)):
            # DuckDB itself passes over what finds no partner in a join.
            least = self._steps.limits.large * (_BESIDE if _is_beside(select, name) else 1)
            if tables[name].size > least:
                self._one(select, name)

    def keys(self, select: exp.Select, name: str) -> Ready | None:
        """Return a relation of keys that filter a source, and its columns; None if there is none."""
        for keys in keys_for(select, name, self._steps.tables, self._steps.vocabulary):
            text = write(keys.query)
            if text in self._asked:
                return self._asked[text], keys.columns
            if not worth_asking(keys, name, self._steps.tables):
                continue
            most = (self._steps.tables[keys.source].rows or 0) // _KEYS
            step = self._add("keys", keys.query, most)
            if step is not None:
                self._asked[text] = step
                return step, keys.columns
        return None

    def _one(self, select: exp.Select, name: str) -> None:
        keys = self.keys(select, name)
        made = filtered(select, name, self._steps.tables, self._steps.vocabulary, keys)
        if has_filter(made):
            most = min(_MOST, (self._steps.tables[name].rows or 0) // _ROWS)
            step = self._add("reduced", made, most)
            if step is not None:
                settle(select, name, self._steps.vocabulary)
                self._steps.read(select, name, step)

    def _add(self, kind: str, query: exp.Select, most: int) -> str | None:
        try:
            cut, _judge = choose(
                query, self._steps.tables, self._steps.vocabulary, self._steps.limits
            )
        except NotProvable:
            return None
        return self._steps.add(kind, query, cut, most=most)


def _is_beside(select: exp.Select, name: str) -> bool:
    return any(name == node.name for node in from_of(select))
