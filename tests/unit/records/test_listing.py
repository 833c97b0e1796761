"""Promises of fscache.records.listing and usage: rows as asked, and sums that add up."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from fscache.admin.sources import sources
from fscache.objects.layout import Split
from fscache.records.filters import parse_filter
from fscache.records.journal import KV, PUT, TOUCH, URL
from fscache.records.listing import KINDS, ORDERS, Query, rows
from fscache.records.opener import Opener
from fscache.records.usage import AGES, DAY, directories, usage
from tests.support.catalogs import keep, keeper_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.records.catalog import Catalog
    from fscache.records.root import Root
    from tests.conftest import Clock


@pytest.fixture
def catalog(root: Root, clock: Clock) -> Iterator[Catalog]:
    """Twelve objects of rising size and falling age; two URLs for every third, none for every fourth."""
    now = clock()
    for number in range(12):
        clock.now = now - (12 - number) * DAY
        urls = [f"https://host{number % 2}/{number:02}"]
        if number % 3 == 0:
            urls.append(f"https://mirror/{number:02}")
        stored = keep(root, b"x" * (number * 1000), *([] if number % 4 == 0 else urls))
        for _ in range(number % 5):
            root.journal.append(TOUCH, URL, urls[0], stored.address, stored.size)
    clock.now = now
    from fscache.kv.local import LocalStore

    LocalStore(root).put("small", "value")
    opened = keeper_of(root).open()
    yield opened
    opened.close()


def found(
    catalog: Catalog, *filters: str, limit: int | None = None, **options: object
) -> list[str]:
    query = Query(conditions=[parse_filter(text) for text in filters], **options)  # type: ignore[arg-type]
    return [row.name for row in rows(catalog.db, query, catalog.root.now(), limit=limit)]


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("reverse", [False, True])
def test_rows_come_in_the_order_asked_for(
    catalog: Catalog, kind: str | None, order: str, reverse: bool
) -> None:
    query = Query(kind=kind, order=order, reverse=reverse)
    listed = list(rows(catalog.db, query, catalog.root.now()))
    column, descending = ORDERS[order]
    values = [getattr(row, column) for row in listed]
    assert values == sorted(values, reverse=descending != reverse)
    named = {1, 2, 3, 5, 6, 7, 9, 10, 11}
    twice = {number for number in named if number % 3 == 0}
    count = {
        None: 12 + len(twice) + 1,
        "object": 12,
        "url": len(named | twice) + len(twice),
        "kv": 1,
    }
    assert len(listed) == count.get(kind, 0)
    assert {row.kind for row in listed} <= ({"object", "url", "kv"} if kind is None else {kind})
    cut = list(rows(catalog.db, query, catalog.root.now(), limit=3, offset=1))
    assert [getattr(row, column) for row in cut] == values[1:4]


def test_who_reads_a_listing_slowly_keeps_nobody_from_the_catalog(
    catalog: Catalog, root: Root, clock: Clock
) -> None:
    slow = rows(catalog.db, Query(order="size"), clock())
    first = next(slow)
    keep(root, b"meanwhile", "https://host/meanwhile")
    Opener(root, sources(root), say=print, timeout=0.05).open().close()
    sizes = [row.size for row in (first, *slow)]
    assert sizes == sorted(sizes, reverse=True)
    assert 9 not in sizes


def test_without_room_for_a_copy_a_listing_is_read_from_the_catalog(
    catalog: Catalog, clock: Clock
) -> None:
    catalog.db.execute("PRAGMA temp.max_page_count = 1")
    assert len(list(rows(catalog.db, Query(kind="object"), clock()))) == 12


def test_a_row_says_all_that_is_known(catalog: Catalog, clock: Clock) -> None:
    query = Query(kind="url", conditions=[parse_filter("url~host1/07")])
    (row,) = rows(catalog.db, query, clock())
    assert (row.kind, row.name, row.host) == ("url", "https://host1/07", "host1")
    assert (row.size, row.disk, row.hits, row.by) == (7000, 8192, 2, "ann@host")
    assert row.stored == row.accessed == row.verified == clock() - 5 * DAY
    assert (row.pinned, row.leased) == (False, None)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (["size>9000"], {10, 11}),
        (["size>=9000", "size<10kB"], {9}),
        (["accessed>10d"], {1}),
        (["accessed<2d"], {11}),
        (["url~host0"], {2, 6, 10}),
        (["url~host0", "hits>0"], {2, 6}),
        (["host=host1"], {1, 3, 5, 7, 9, 11}),
        (["by!=ann@host"], set()),
        (["url!~host"], set()),
    ],
)
def test_filters_choose(catalog: Catalog, filters: list[str], numbers: set[int]) -> None:
    listed = found(catalog, *filters, kind="url")
    assert {int(name[-2:]) for name in listed if "host" in name} == numbers


@pytest.mark.parametrize("order", ORDERS)
def test_the_first_rows_come_from_an_index(catalog: Catalog, order: str) -> None:
    """A million rows are not sorted to show twenty."""
    for kind in ("object", "url"):
        text, values = Query(kind=kind, order=order).sql(0.0)
        plan = [row[3] for row in catalog.db.execute(f"EXPLAIN QUERY PLAN {text} LIMIT 20", values)]
        assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["url", "kv", "task"])
def test_few_and_many_of_a_kind_are_listed_alike(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, order: str, kind: str
) -> None:
    def listed() -> list[tuple[str, str]]:
        return [(row.name, row.address) for row in rows(catalog.db, Query(kind, (), order), 0.0)]

    few = listed()
    monkeypatch.setattr("fscache.records.listing._FEW", 0)
    many = listed()
    assert sorted(many) == sorted(few)
    if order in ("atime", "name"):  # which have no ties here
        assert many == few


def test_sums_count_everything_once(catalog: Catalog, clock: Clock) -> None:
    sums = usage(catalog.db, clock())
    size = sum(number * 1000 for number in range(12))
    value = sums.kinds["kv"].size
    assert (sums.objects.count, sums.objects.size) == (12, size)
    assert (sums.total.count, sums.total.size) == (13, size + value)
    assert sums.kinds["object"].size == 12_000
    assert sums.kinds["url"].count == 9
    assert sums.hosts.keys() == {"host0", "host1", "mirror", "default"}
    assert sums.entries == 9 + 3 + 1
    for parts in (sums.kinds, sums.ages):
        assert sum(part.count for part in parts.values()) == 13
        assert sum(part.size for part in parts.values()) == size + value
        assert sum(part.disk for part in parts.values()) == sums.total.disk
    hosts = sum(part.size for part in sums.hosts.values())
    assert hosts == size - 12_000 + value


def test_ages_are_of_the_last_access(catalog: Catalog, clock: Clock) -> None:
    sums = usage(catalog.db, clock())
    assert {name: each.count for name, each in sums.ages.items()} == {
        AGES[0][0]: 1,  # the key-value, put now
        AGES[1][0]: 7 - 1,  # a day and more: 1 … 6 days
        AGES[2][0]: 6,
    }


def test_an_empty_catalog_has_no_rows_and_no_sums(root: Root) -> None:
    opened = keeper_of(root).open()
    try:
        assert list(rows(opened.db, Query(), 0.0)) == []
        total = usage(opened.db, 0.0).total
        assert (total.count, total.size, total.disk) == (0, 0, 0)
    finally:
        opened.close()


@pytest.mark.parametrize("split", ["4+4+12", "2+18", "1+1+18", "20"])
@pytest.mark.parametrize("count", [0, 1, 50, 5000])
def test_directories_are_as_many_as_hashes_make_them(split: str, count: int) -> None:
    parts = Split.parse(split)
    numbers = random.Random(1)
    addresses = [f"{numbers.getrandbits(80):020x}" for _ in range(count)]
    made = set()
    for address in addresses:
        pieces = parts.relative(address).split("/")
        made |= {"/".join(pieces[:depth]) for depth in range(1, len(pieces))}
    assert directories(parts, count) == pytest.approx(len(made), rel=0.06, abs=1)


def test_records_of_key_values_are_rows_of_their_store(root: Root) -> None:
    root.journal.append(PUT, KV, "run_42/loss", size=8)
    opened = keeper_of(root).open()
    try:
        (row,) = rows(opened.db, Query(kind="kv"), 0.0)
    finally:
        opened.close()
    assert (row.name, row.host, row.address, row.size) == ("run_42/loss", "run_42", "", 8)
