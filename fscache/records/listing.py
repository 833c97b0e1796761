"""What the catalog holds, as rows: filtered, sorted, cut off.

A row is an entry with its object, or an object that no entry names; an object that two URLs name is
two rows. Entries whose object is gone are no rows: `admin verify` reports them.
"""

from __future__ import annotations

from fscache.records.filters import where
from fscache.records.rows import text_of
from fscache.records.schema import Error, cannot_write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.records.filters import Condition
    from fscache.records.schema import Connection

_FEW = 10_000  # entries that are sorted in some 20 ms
_AT_ONCE = 1000  # rows that are read before anybody could be slow with them
_MOST = 2**63 - 1  # that SQLite counts to
KINDS = ("object", "url", "kv", "task")
ORDERS = {
    # column, whether the greatest comes first
    "atime": ("accessed", True),
    "size": ("size", True),
    "age": ("stored", False),
    "name": ("name", False),
    "hits": ("hits", True),
}
_SELECT = """
SELECT {kind} AS kind, {name} AS name, {host} AS host, o.address AS address, o.size AS size,
  o.disk AS disk, o.accessed AS accessed, o.stored AS stored, {by} AS by, o.hits AS hits,
  o.verified AS verified
FROM {tables}
"""
# CROSS JOIN and LEFT JOIN tell SQLite which table to walk: the one that has an index of the order
# asked for, so that the first rows come at once.
_ENTRY = {"kind": "e.kind", "name": "e.name", "host": "e.host", "by": "e.by"}
_NO_ENTRY = {"kind": "'object'", "name": "o.address", "host": "''", "by": "''"}
_EITHER = {key: f"COALESCE({_ENTRY[key]}, {_NO_ENTRY[key]})" for key in _ENTRY}
_NAMED = _SELECT.format(
    **_ENTRY, tables="objects AS o CROSS JOIN entries AS e ON e.address = o.address"
)
_NAMED_BY_NAME = _SELECT.format(
    **_ENTRY, tables="entries AS e CROSS JOIN objects AS o ON o.address = e.address"
)
_ALL = _SELECT.format(
    **_EITHER, tables="objects AS o LEFT JOIN entries AS e ON e.address = o.address"
)
_OBJECTS = _SELECT.format(**_NO_ENTRY, tables="objects AS o")
_SAME = "SELECT 1 FROM entries WHERE entries.address = o.address"
_BARE = f"{_OBJECTS} WHERE NOT EXISTS ({_SAME})"
_SMALL = """
SELECT kind, name, host, '' AS address, size, disk, accessed, stored, by, 0 AS hits,
  0 AS verified
FROM entries WHERE address IS NULL
"""


class Row:
    """One line of a listing.

    Attributes:
        kind: `object`, `url`, `kv` or `task`.
        name: The URL, `<store>/<key>`, the task's id, or the address.
        host: Of a URL; the store of a key-value.
        address: Of the object; empty for an entry that names none.
        size: Bytes.
        disk: Bytes of blocks on the disk.
        accessed: Last access, seconds since the epoch.
        stored: When it was written.
        by: Who staged it, `user@host`; empty where that is not known.
        hits: Hours in which the object was asked for.
        verified: When its bytes were last compared with its digest; 0 for not known.
        pinned: Whether an administrator keeps it.
        leased: Whether somebody holds a lease; None where nobody looked.
    """

    # Plain classes here and in `filters`: the module dataclasses costs a listing 7 ms of 50.
    __slots__ = (
        *("accessed", "address", "by", "disk", "hits", "host", "kind", "leased", "name"),
        *("pinned", "size", "stored", "verified"),
    )

    def __init__(  # noqa: PLR0917 - the columns, in the order of the statements
        self,
        kind: str,
        name: str | bytes,
        host: str | bytes,
        address: str,
        size: int,
        disk: int,
        accessed: float,
        stored: float,
        by: str | bytes,
        hits: int,
        verified: float,
    ) -> None:
        """Take what the catalog says; nobody has looked for pins and leases yet."""
        self.kind = kind
        self.name = text_of(name)
        self.host = text_of(host)
        self.address = address
        self.size = size
        self.disk = disk
        self.accessed = accessed
        self.stored = stored
        self.by = text_of(by)
        self.hits = hits
        self.verified = verified
        self.pinned = False
        self.leased: bool | None = None


class Query:
    """What to list."""

    __slots__ = ("conditions", "kind", "order", "reverse")

    def __init__(
        self,
        kind: str | None = None,
        conditions: Iterable[Condition] = (),
        order: str = "atime",
        *,
        reverse: bool = False,
    ) -> None:
        """Ask for rows.

        Args:
            kind: Only entries of this kind; with `object`, every object under its address.
            conditions: All must hold.
            order: One of `ORDERS`.
            reverse: The other way round.
        """
        self.kind = kind
        self.conditions = tuple(conditions)
        self.order = order
        self.reverse = reverse

    def sql(self, now: float, *, few: bool = False) -> tuple[str, list[float | str | bytes]]:
        """Return the statement, without a limit, and what to bind.

        Args:
            now: The time.
            few: There are few entries of this kind: they are found and sorted, instead of looked for
                among all objects in the order asked for (1.2 s for one kind of a million).
        """
        column, descending = ORDERS[self.order]
        condition, values = where(self.conditions, now)
        tables = _tables(self.kind, by_name=few or column == "name")
        if condition:
            # Inside each table, not around their union: SQLite then still walks the indexes.
            # Columns and operators are of the table in `filters`; values are bound.
            tables = [f"SELECT * FROM ({table}) WHERE {condition}" for table in tables]  # noqa: S608
            values = values * len(tables)
        direction = "DESC" if descending != self.reverse else "ASC"
        # No second column to break ties: it would forbid the index.
        return f"{' UNION ALL '.join(tables)} ORDER BY {column} {direction}", values


def rows(
    db: Connection, query: Query, now: float, *, limit: int | None = None, offset: int = 0
) -> Iterator[Row]:
    """Yield the rows of a query; who takes many of them slowly keeps nobody from the catalog."""
    text, values = query.sql(now, few=_has_few(db, query.kind))
    # With a limit SQLite keeps the best few instead of sorting a million.
    most = _MOST if limit is None else int(min(limit, _MOST))
    text = f"{text} LIMIT {most} OFFSET {offset}"
    if (limit is None or limit > _AT_ONCE) and _copied(db, text, values):
        text, values = "SELECT * FROM temp.listed", []
    for values_of_row in db.execute(text, values):
        yield Row(*values_of_row)


def _copied(db: Connection, text: str, values: list[float | str | bytes]) -> bool:
    """Put rows into a table of this connection's own; False where there is no room for it.

    An open statement is a lock that every fold waits for: for as long as `less` shows its first page.
    The copy of a million rows takes 0.6 s of 5.
    """
    db.execute("DROP TABLE IF EXISTS temp.listed")
    try:
        db.execute(f"CREATE TEMP TABLE listed AS {text}", values)
    except Error as exc:
        if not cannot_write(exc):
            raise
        return False
    return True


def _has_few(db: Connection, kind: str | None) -> bool:
    if kind is None or kind == "object":
        return False
    some = "SELECT COUNT(*) FROM (SELECT 1 FROM entries WHERE kind = ? LIMIT ?)"
    return bool(db.execute(some, (kind, _FEW)).fetchone()[0] < _FEW)


def _tables(kind: str | None, *, by_name: bool) -> list[str]:
    if kind == "object":
        return [_OBJECTS]
    if by_name:
        kinds = KINDS[1:] if kind is None else (kind,)
        named = [f"{_NAMED_BY_NAME} WHERE e.kind = '{each}'" for each in kinds]
        small = [f"{_SMALL} AND kind = '{each}'" for each in kinds if each != "url"]
        return named + small + ([_BARE] if kind is None else [])
    if kind is None:
        return [_ALL, _SMALL]
    named = [f"{_NAMED} WHERE e.kind = '{kind}'"]
    # The plus keeps SQLite from the index of names, which has a million others in it. A URL always
    # names an object.
    return named if kind == "url" else [*named, f"{_SMALL} AND +kind = '{kind}'"]
