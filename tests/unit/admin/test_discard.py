"""Promises of fscache.admin.discard: what was made for dropped tasks goes at once, all else stays."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from fscache.admin.discard import discard
from fscache.cache import Cache
from fscache.objects.digest import digest_of
from fscache.urls.lease import leased
from tests.support.catalogs import entries_of, keep, keeper_of, objects_of, objects_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"a task's buffer " * 1000
ADDRESS = digest_of(DATA)[:20]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as made:
        yield made


def there(cache: Cache) -> bool:
    return ADDRESS in objects_on_disk(cache.root)


def drop(cache: Cache, msg_id: str = "task") -> None:
    cache.tasks.drop_record(msg_id)
    cache.tasks.compact()  # type: ignore[union-attr]


def test_what_a_dropped_task_had_is_gone_at_once(cache: Cache) -> None:
    cache.tasks.add_record("task", {"buffers": [DATA]})
    assert list(cache.tasks.get_record("task")["buffers"]) == [DATA]  # type: ignore[call-overload]
    drop(cache)
    assert not there(cache)
    assert os.listdir(f"{cache.root.path}/objects") == []
    catalog = keeper_of(cache.root).open()
    assert objects_of(catalog) == entries_of(catalog) == {}
    catalog.close()


def test_an_orderly_end_owes_nothing(cache: Cache) -> None:
    for number in range(600):  # more than one call looks after
        cache.tasks.add_record(f"id-{number}", {"buffers": [b"%d" % number * 2000]})
    cache.tasks.drop_matching_records({})
    cache.close()
    catalog = keeper_of(cache.root).open()
    assert objects_of(catalog) == entries_of(catalog) == {}
    catalog.close()
    assert objects_on_disk(cache.root) == {}


def test_what_another_task_has_stays_until_that_is_dropped_too(cache: Cache) -> None:
    cache.tasks.add_record("task", {"buffers": [DATA]})
    record = cache.tasks.get_record("task")
    cache.tasks.add_record("other", {"buffers": record["buffers"]})
    drop(cache)
    assert there(cache)
    drop(cache, "other")
    assert not there(cache)


def test_what_a_url_or_a_key_value_names_stays(cache: Cache) -> None:
    for number in range(2):
        cache.tasks.add_record(f"task-{number}", {"buffers": [DATA + bytes([number])]})
    keep(cache.root, DATA + bytes([0]), "https://host/a")
    cache.kv.put("large", DATA + bytes([1]))
    before = objects_on_disk(cache.root)
    drop(cache, "task-0")
    drop(cache, "task-1")
    assert {digest_of(DATA + bytes([0]))[:20]} <= objects_on_disk(cache.root).keys()
    assert cache.kv.get("large") == DATA + bytes([1])
    assert len(before) >= len(objects_on_disk(cache.root))


def test_what_was_put_or_asked_for_since_stays(cache: Cache) -> None:
    for again in (lambda: cache.put(DATA), lambda: cache.path(ADDRESS).read_bytes()):
        cache.tasks.add_record("task", {"buffers": [DATA]})
        path = cache.root.objects().locate(ADDRESS)
        again()
        if os.stat(path).st_atime <= os.stat(path).st_mtime:
            continue  # mounted without access times
        drop(cache)
        assert there(cache)
        os.unlink(path)


def test_what_is_leased_or_pinned_stays(cache: Cache) -> None:
    cache.tasks.add_record("task", {"buffers": [DATA]})
    with leased(lambda: cache.path(ADDRESS)):
        drop(cache)
    assert there(cache)
    status = os.stat(cache.path(ADDRESS))
    os.utime(cache.path(ADDRESS), ns=(status.st_mtime_ns, status.st_mtime_ns))
    keeper = keeper_of(cache.root)
    keeper.pins.add(ADDRESS, by="test")
    assert discard(cache.root, [ADDRESS]) == 0
    keeper.pins.remove(ADDRESS)
    assert discard(cache.root, [ADDRESS, "0" * 20]) == 1
    assert not there(cache)


def test_culling_gives_the_disk_back(cache: Cache) -> None:
    tasks = cache.tasks
    for number in range(50):
        tasks.add_record(
            f"id-{number}", {"submitted": _date(number), "buffers": [os.urandom(100_000)]}
        )
        if number % 5:
            tasks.update_record(f"id-{number}", {"completed": _date(number)})
    dropped = tasks.purge(size=2_000_000)
    assert dropped == 30
    assert sum(objects_on_disk(cache.root).values()) == 2_000_000
    assert tasks.count({"completed": None}) == 10  # pending ones are never taken


def _date(number: int) -> datetime:
    return datetime.fromtimestamp(time.time() - 1000 + number, UTC)
