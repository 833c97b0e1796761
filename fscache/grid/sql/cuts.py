"""Which sources of a SELECT are cut, and which every worker reads whole. Pure."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from fscache.grid.sql import shape
from fscache.grid.sql.colocate import Colocation
from fscache.grid.sql.facts import NotProvable
from fscache.grid.sql.halves import remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlglot import exp

    from fscache.grid.sql.facts import Limits, Source
    from fscache.grid.sql.vocabulary import Vocabulary

_MANY = 5  # sources dealt alike up to which all choices of what to cut are looked at


def choose(
    select: exp.Select, tables: Mapping[str, Source], vocabulary: Vocabulary, limits: Limits
) -> tuple[frozenset[str], Colocation]:
    """Return the sources to cut: those that leave the least for every worker to read whole.

    Args:
        select: Of which FROM and WHERE are to be computed shard by shard.
        tables: What is known of each source that is a table.
        vocabulary: The functions there are.
        limits: What workers may be asked for.

    Raises:
        NotProvable: no choice is known to be right.
    """
    here = {name for name in shape.read(remote(select)) if name in tables}
    why = "nothing to cut"
    for cut in _choices(here, tables):
        whole = {tables[name].name: tables[name].size for name in here - cut}
        if sum(whole.values()) > limits.replicated:
            why = "too much that every worker would have to read whole"
            continue
        judge = Colocation(cut, tables, vocabulary)
        try:
            judge.check_rows(select)
        except NotProvable as exc:
            why = str(exc)
            continue
        return cut, judge
    raise NotProvable(why)


def _choices(names: set[str], tables: Mapping[str, Source]) -> Iterator[frozenset[str]]:
    """Yield choices of what to cut, the ones that cut most first."""
    alike: dict[object, list[str]] = {}
    for name in sorted(names):
        table = tables[name]
        if table.shards:
            key = ("alone", name) if table.key is None else table.key.domain
            alike.setdefault(key, []).append(name)
    choices: set[frozenset[str]] = set()
    for group in alike.values():
        sizes = range(1, len(group) + 1) if len(group) <= _MANY else (1, len(group))
        choices.update(frozenset(some) for size in sizes for some in combinations(group, size))

    def gain(cut: frozenset[str]) -> tuple[int, int, list[str]]:
        # With equal bytes rather a table of many shards, which more workers share.
        return (
            -sum(tables[name].size for name in cut),
            -max(tables[name].shards for name in cut),
            sorted(cut),
        )

    return iter(sorted(choices, key=gain))
