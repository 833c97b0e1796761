"""How much there is: by kind, by host, by age; logical bytes and bytes on the disk.

An object that several entries name is counted once, under the first of them, so that the parts add up
to the whole.
"""

from __future__ import annotations

import math

from fscache.records.journal import TASK
from fscache.records.rows import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.objects.layout import Split
    from fscache.records.schema import Connection

DAY = 86400.0
AGES = (
    ("under 1 d", 1 * DAY),
    ("1 d – 7 d", 7 * DAY),
    ("7 d – 30 d", 30 * DAY),
    ("30 d – 90 d", 90 * DAY),
    ("90 d – 1 y", 365 * DAY),
    ("over 1 y", float("inf")),
)
# Each table is walked once; joining them row by row takes ten times as long.
_AGES = "SELECT {age}, COUNT(*), SUM(size), SUM(disk) FROM objects GROUP BY 1"
_HOSTS = "SELECT host, kind, COUNT(*), SUM(size), SUM(disk) FROM entries GROUP BY 1, 2"
_SMALL_AGES = """
SELECT {age}, COUNT(*), SUM(size), SUM(disk) FROM entries WHERE address IS NULL GROUP BY 1
"""
# What is in _HOSTS a second time: entries of an object that an earlier entry names, too.
_AGAIN = """
SELECT host, kind, COUNT(*), SUM(size), SUM(disk) FROM entries AS e JOIN (
  SELECT address, MIN(id) AS first FROM entries WHERE address IS NOT NULL
  GROUP BY address HAVING COUNT(*) > 1
) AS d ON e.address = d.address AND e.id != d.first GROUP BY 1, 2
"""


class Sum:
    """A number of things and their bytes."""

    __slots__ = ("count", "disk", "size")

    def __init__(self, count: int = 0, size: int = 0, disk: int = 0) -> None:
        """Begin with so many."""
        self.count = count
        self.size = size
        self.disk = disk

    def add(self, count: int, size: int, disk: int) -> None:
        """Count more."""
        self.count += count
        self.size += size
        self.disk += disk


class Usage:
    """The sums of one root.

    Attributes:
        total: Everything.
        kinds: By kind of the first entry that names it; `object` where none does.
        hosts: By host of the first URL, by store of the first key-value.
        ages: By time since the last access.
        objects: The objects alone.
        entries: The number of entries.
        values: Of those, the ones whose value lies in their own file.
    """

    __slots__ = ("ages", "entries", "hosts", "kinds", "objects", "total", "values")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.total = Sum()
        self.kinds: dict[str, Sum] = {}
        self.hosts: dict[str, Sum] = {}
        self.ages: dict[str, Sum] = {}
        self.objects = Sum()
        self.entries = 0
        self.values = Sum()


def usage(db: Connection, now: float) -> Usage:
    """Add up what the catalog holds."""
    found = Usage()
    clauses = " ".join(
        f"WHEN accessed > {now - limit!r} THEN {index}"
        for index, (_, limit) in enumerate(AGES[:-1])
    )
    age = f"CASE {clauses} ELSE {len(AGES) - 1} END"
    for bucket, *sums in db.execute(_AGES.format(age=age)):
        found.ages.setdefault(AGES[bucket][0], Sum()).add(*sums)
        found.objects.add(*sums)
        found.total.add(*sums)
    for bucket, *sums in db.execute(_SMALL_AGES.format(age=age)):
        found.ages.setdefault(AGES[bucket][0], Sum()).add(*sums)
        found.values.add(*sums)
        found.total.add(*sums)
    for sign, statement in ((1, _HOSTS), (-1, _AGAIN)):
        for host, kind, *sums in db.execute(statement):
            counted = [sign * number for number in sums]
            found.kinds.setdefault(kind, Sum()).add(*counted)
            if host:
                found.hosts.setdefault(text_of(host), Sum()).add(*counted)
            if sign > 0 and kind != TASK:  # which is no file, but a line in another
                found.entries += sums[0]
    bare = Sum(found.total.count, found.total.size, found.total.disk)
    for named in found.kinds.values():
        bare.add(-named.count, -named.size, -named.disk)
    if bare.count:
        found.kinds["object"] = bare
    return found


def directories(split: Split, count: int) -> float:
    """Return the expected number of directories below `objects/` for so many objects. Pure.

    Addresses are hashes, so the expectation is exact enough to need no walk: to 0.1 % at 100,000.
    """
    expected = 0.0
    digits = 0
    for part in split.parts[:-1]:
        digits += part
        names = 16.0**digits
        # 1 - (1 - 1/n)^count, without losing it to rounding where n is 2^32 or more
        expected += -names * math.expm1(count * math.log1p(-1.0 / names))
    return expected
