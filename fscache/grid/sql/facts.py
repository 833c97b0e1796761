"""What the planner knows of tables, and the plan that it makes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fscache.grid.sql.spans import Spans


class NotProvable(Exception):  # noqa: N818 - no error: the planner takes a more careful way
    """It cannot be shown that a query may be taken apart here."""


@dataclass(frozen=True, slots=True)
class Key:
    """How rows were dealt: equal values of `column` lie in shards of equal number.

    Attributes:
        column: By which they were dealt.
        domain: What two tables must have in common to be dealt alike.
    """

    column: str
    domain: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A table as the planner sees it.

    Attributes:
        name: As the query has it.
        columns: DuckDB's types by name, in order.
        rows: How many; None if that is not known without reading.
        size: Bytes of all shards.
        shards: How many; 0 for what lies with the one who asks: staged URLs.
        key: How the rows were dealt, if that is known to be right.
        spans: Between which values the shards lie, if that is known.
    """

    name: str
    columns: dict[str, str]
    rows: int | None = None
    size: int = 0
    shards: int = 0
    key: Key | None = None
    spans: Spans | None = None


class Chosen(NamedTuple):
    """Some shards of a table, by number, and how many it has."""

    numbers: tuple[int, ...]
    of: int


@dataclass(frozen=True, slots=True)
class Step:
    """Something to run; its rows make a relation.

    Attributes:
        name: Of the relation.
        kind: How it was taken apart, in one word (docs/sql.md).
        sql: The query; run once for each portion of the shards, or once.
        parts: Relations of the query that are a portion of a table: table by relation.
        wholes: Relations that are whole tables: table by relation.
        inputs: Names of the relations that it reads of those that are here: of earlier steps, `local`.
        enough: Rows after which no more portions are needed; None if all are.
        portions: The shards that are needed of `parts`; None if all are.
        chosen: The shards that are needed of `wholes`, by relation, of those of which not all are.
        most: Rows beyond which the plan is not worth it; None if it is in any case.
        each: Whether the shards of a portion are read as relations of their own.
    """

    name: str
    kind: str
    sql: str
    parts: dict[str, str] = field(default_factory=dict)
    wholes: dict[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    enough: int | None = None
    most: int | None = None
    portions: Chosen | None = None
    chosen: dict[str, Chosen] = field(default_factory=dict)
    each: bool = False

    @property
    def whole_shards(self) -> list[tuple[str, str, Chosen | None]]:
        """The relations of `wholes`, their tables, and the shards that are needed."""
        return [(each, name, self.chosen.get(each)) for each, name in self.wholes.items()]

    @property
    def here(self) -> bool:
        """Whether it needs nothing but what earlier steps have brought together."""
        return not self.parts and not self.wholes


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order, and the query over what they make.

    Attributes:
        kind: In one word, how the query as a whole is answered.
        steps: In order; those that do not read each other's rows may run at once.
        final: The query that gives the answer.
        local: Relations of `final`, or `inputs`, that are tables here (URLs): table by relation.
        streams: Whether the answer is the rows of the only step, portion by portion, as `final` has them.
        why: Why it was not taken apart, if it was not.
    """

    kind: str
    steps: tuple[Step, ...]
    final: str
    local: dict[str, str] = field(default_factory=dict)
    streams: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the planner may ask of the workers.

    Attributes:
        replicated: Bytes of tables that every worker may read whole, for one step.
        keys: Whether they may be asked for keys, in the hope that there are few.
        large: Bytes of a table from which that pays.
    """

    replicated: int = 1 << 30
    keys: bool = True
    large: int = 64 << 20
