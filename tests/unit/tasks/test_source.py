"""Promises of fscache.tasks.source: the catalog knows what tasks name, and no purge takes it."""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from fscache.admin.findings import DANGLING
from fscache.admin.purge import Purge
from fscache.admin.verify import Selection, Verifier
from fscache.errors import FormatError
from fscache.objects.digest import digest_of
from fscache.objects.purge import Policy
from fscache.tasks import backends
from fscache.tasks.source import TaskSource
from tests.support.catalogs import entries_of, keeper_of, objects_on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.records.root import Root
    from fscache.records.sources import Named
    from fscache.tasks.database import TaskDatabase
    from tests.conftest import Clock

LARGE, OTHER = b"large" * 10_000, b"other" * 10_000
ADDRESS, OTHER_ADDRESS = digest_of(LARGE)[:20], digest_of(OTHER)[:20]


@pytest.fixture
def tasks(root: Root) -> Iterator[TaskDatabase]:
    made = backends.in_files(root)
    yield made
    made.close()


def plain(named: Named | None) -> tuple[str, str, int] | None:
    return named and (named.name, named.address, named.size)


def purge_everything(root: Root, clock: Clock) -> None:
    clock.now = time.time() + 30 * 86400  # objects have the kernel's times
    Purge(keeper_of(root), Policy(older_than=86400), timeout=20).run()


def catalog_entries(root: Root) -> dict[tuple[str, str], str | None]:
    catalog = keeper_of(root).open()
    try:
        return entries_of(catalog)
    finally:
        catalog.close()


def test_every_naming_of_an_object_is_told(root: Root, tasks: TaskDatabase) -> None:
    tasks.add_record("a/b", {"buffers": [LARGE, b"small"]})
    tasks.add_record("other", {"buffers": [LARGE], "content": {"text": "x" * 200_000}})
    tasks.update_record("other", {"result_buffers": [OTHER]})
    tasks.add_record("small", {"buffers": [b"small"]})
    source = TaskSource(root)
    found = sorted(map(plain, source.scan()), key=str)
    assert (f"a/b/{ADDRESS}", ADDRESS, len(LARGE)) in found
    assert (f"other/{ADDRESS}", ADDRESS, len(LARGE)) in found
    assert (f"other/{OTHER_ADDRESS}", OTHER_ADDRESS, len(OTHER)) in found
    assert len(found) == 4  # the long text is an object, too
    for each in found:
        assert each is not None
        assert plain(source.look(each[0])) == each
    assert all(abs(named.stored - root.now()) < 1 for named in source.scan())


def test_what_is_not_named_or_no_longer_is_none(root: Root, tasks: TaskDatabase) -> None:
    source = TaskSource(root)
    assert list(source.scan()) == []
    tasks.add_record("task", {"buffers": [LARGE]})
    for name in (f"none/{ADDRESS}", f"task/{OTHER_ADDRESS}", "task", "", "/", "../x/y"):
        assert source.look(name) is None
    assert source.look(f"task/{ADDRESS}") is not None
    tasks.drop_record("task")
    assert source.look(f"task/{ADDRESS}") is None
    assert list(source.scan()) == []


@pytest.mark.parametrize("reindexed", [False, True])
def test_no_purge_takes_what_a_task_names(
    root: Root, tasks: TaskDatabase, clock: Clock, *, reindexed: bool
) -> None:
    tasks.add_record("task", {"buffers": [LARGE]})
    tasks.update_record("task", {"result_buffers": [OTHER], "content": {"text": "x" * 200_000}})
    if reindexed:
        survey = keeper_of(root).reindex()
        assert survey.entries["task"] == 3
    purge_everything(root, clock)
    record = tasks.get_record("task")
    assert list(record["buffers"]) == [LARGE]  # type: ignore[call-overload]
    assert list(record["result_buffers"]) == [OTHER]  # type: ignore[call-overload]
    assert record["content"] == {"text": "x" * 200_000}


@pytest.mark.parametrize("reindexed", [False, True])
def test_what_no_task_names_any_more_is_purged(
    root: Root, tasks: TaskDatabase, clock: Clock, *, reindexed: bool
) -> None:
    for name in ("kept", "dropped", "replaced"):
        tasks.add_record(name, {"buffers": [name.encode() * 10_000, LARGE]})
    tasks.drop_record("dropped")
    tasks.update_record("replaced", {"buffers": []})
    tasks.compact()
    if reindexed:
        keeper_of(root).reindex()
    purge_everything(root, clock)
    assert sorted(objects_on_disk(root)) == sorted([digest_of(b"kept" * 10_000)[:20], ADDRESS])
    assert list(tasks.get_record("kept")["buffers"]) == [b"kept" * 10_000, LARGE]  # type: ignore[call-overload]


def test_the_catalog_says_the_same_from_the_journal_and_from_the_files(
    root: Root, tasks: TaskDatabase
) -> None:
    for number in range(10):
        tasks.add_record(f"id-{number}", {"buffers": [b"%d" % number * 10_000, LARGE]})
    for number in range(0, 10, 3):
        tasks.drop_record(f"id-{number}")
    tasks.compact()
    from_journal = catalog_entries(root)
    keeper_of(root).reindex()
    assert catalog_entries(root) == from_journal
    assert len(from_journal) == 12


def test_verify_reports_a_buffer_that_is_gone(root: Root, tasks: TaskDatabase) -> None:
    tasks.add_record("task", {"buffers": [LARGE, OTHER]})

    def findings() -> list[tuple[str, tuple[str, ...]]]:
        keeper = keeper_of(root)
        verifier = Verifier(keeper, selection=Selection(), random=random.Random(1))
        return [(each.what, each.names) for each in verifier.run()]

    assert findings() == []
    os.unlink(root.objects().locate(ADDRESS))
    assert findings() == [(DANGLING, (f"task/{ADDRESS}",))]


def test_where_a_newer_version_has_written_nothing_is_purged(
    root: Root, open_tasks: Callable[[], TaskDatabase], clock: Clock
) -> None:
    open_tasks().add_record("task", {"buffers": [LARGE]})
    with open(f"{root.path}/tasks/ffffffffffffffff-000000000000.log", "wb") as file:
        file.write(b"fscache tasks 3\nwhatever that may be")
    with pytest.raises(FormatError, match="newer"):
        keeper_of(root).reindex()
    with contextlib.suppress(FormatError):
        purge_everything(root, clock)
    assert ADDRESS in objects_on_disk(root)
