"""Another root of ours comes over with everything in it, whatever its split."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from fscache.admin.purge import Purge
from fscache.errors import FormatError, StoreError
from fscache.kv.local import LocalStore
from fscache.migrate.beside import Beside, count
from fscache.objects.digest import digest_of
from fscache.objects.layout import Split
from fscache.objects.purge import Policy
from fscache.records.pins import Pins
from fscache.records.root import Root
from fscache.tasks import backends
from fscache.urls.index import URLIndex
from tests.support import damage
from tests.support.catalogs import (
    assert_catalog_is_true,
    keep,
    keeper_of,
    objects_on_disk,
    open_root,
)
from tests.support.listing import files, listing
from tests.support.migrations import migrate
from tests.support.wrecks import verify

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.migrate.item import Passed

LARGE, BUFFER = b"large" * 20_000, b"buffer" * 10_000


@pytest.fixture(params=["4+4+12", "2+18"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Root:
    """A root with one of everything."""
    root = Root(str(tmp_path / "old"), now=time.time, object_split=Split.parse(request.param))
    root.ensure()
    keep(root, b"of one URL", "https://host/one")
    keep(root, b"of two URLs", "https://host/a", "https://host/b")
    bare = keep(root, b"of none")
    store = LocalStore(root)
    store.multiput({"small": {"a": [1, 2]}, "large": LARGE, "ü/λ": None})
    store.put("passing", 1.5, ttl=3600, tags=("t",))
    store.put("past", 1, ttl=1e-9)
    store.store("other").put("k", "in another store")
    Pins(root).add("https://host/a", by="ann")
    Pins(root).add(bare.address, by="ann")
    tasks = backends.in_files(root)
    tasks.add_record("first", {"buffers": [BUFFER, b"small"], "msg_id": "first"})
    tasks.add_record("second", {"buffers": [BUFFER], "msg_id": "second"})
    tasks.close()
    return root


def assert_all_here(root: Root) -> None:
    for url, body in (
        ("https://host/one", b"of one URL"),
        ("https://host/a", b"of two URLs"),
        ("https://host/b", b"of two URLs"),
    ):
        hit = URLIndex(root).find(url, verify=True)
        assert hit is not None
        with open(hit.path, "rb") as file:
            assert file.read() == body
    assert digest_of(b"of none")[:20] in objects_on_disk(root)
    store = LocalStore(root)
    assert dict(store.items()) == {
        "small": {"a": [1, 2]},
        "large": LARGE,
        "ü/λ": None,
        "passing": 1.5,
    }
    assert store.tags("passing") == ("t",)
    assert 3000 < (store.ttl("passing") or 0) <= 3600
    assert store.store("other").get("k") == "in another store"
    assert Pins(root).names() == {"https://host/a", digest_of(b"of none")[:20]}
    tasks = backends.in_files(root)
    try:
        for msg_id in ("first", "second"):
            assert tasks.get_record(msg_id)["buffers"][0] == BUFFER
    finally:
        tasks.close()


def test_everything_comes_along(live: Root, source: Root) -> None:
    before = listing(source.path)
    passed: list[Passed] = []
    done = migrate(live, source.path, passed=passed, link=False)
    assert passed == []
    assert listing(source.path) == before
    assert (done.moved.files, done.moved.urls) == (5, 3)
    assert done.besides == count(source)
    assert (done.besides.keys, done.besides.segments, done.besides.pins) == (5, 1, 2)
    assert_all_here(live)
    assert verify(live)[0] == []


def test_the_second_time_changes_nothing(live: Root, source: Root) -> None:
    migrate(live, source.path)
    version = LocalStore(live).version("large")
    places = files(f"{live.path}/kv") + files(f"{live.path}/tasks")
    done = migrate(live, source.path)
    assert (done.moved.again, done.besides.keys, done.passed) == (5, 5, 0)
    assert LocalStore(live).version("large") == version
    assert files(f"{live.path}/kv") + files(f"{live.path}/tasks") == places
    assert_all_here(live)


def test_what_is_named_is_kept_from_a_purge(live: Root, source: Root) -> None:
    migrate(live, source.path)
    Purge(keeper_of(live), Policy(max_size=0, grace=0.0), timeout=20).run()
    # What pins, key-values and tasks name; the URL without a pin has gone.
    assert objects_on_disk(live).keys() == {
        digest_of(body)[:20] for body in (b"of two URLs", b"of none", LARGE, BUFFER)
    }
    assert LocalStore(live).get("large") == LARGE


def test_removing_leaves_an_empty_root_that_works(live: Root, source: Root) -> None:
    done = migrate(live, source.path, remove=True)
    assert done.moved.removed == 5
    assert count(source).keys == count(source).segments == count(source).pins == 0
    assert objects_on_disk(source) == {}
    assert files(f"{source.path}/urls") == []
    assert_all_here(live)
    again = Root(source.path, now=time.time)
    assert verify(again)[0] == []
    keep(again, b"new", "https://host/new")
    LocalStore(again).put("k", 1)
    assert LocalStore(again).get("k") == 1
    assert verify(again)[0] == []


def test_a_key_that_stands_for_something_else_here_stays_with_its_object(
    live: Root, source: Root
) -> None:
    LocalStore(live).put("large", "mine")
    LocalStore(live).put("small", {"a": [1, 2]})
    passed: list[Passed] = []
    done = migrate(live, source.path, passed=passed, remove=True)
    assert [each.why for each in passed] == ["the root has another value for this key"]
    assert done.besides.keys == 4
    assert LocalStore(live).get("large") == "mine"
    assert LocalStore(Root(source.path, now=time.time)).get("large") == LARGE
    assert count(source).keys == 1


def test_one_url_of_two_that_stands_for_something_else_here_stays_and_is_not_lost(
    live: Root, source: Root
) -> None:
    keep(live, b"mine", "https://host/a")
    passed: list[Passed] = []
    migrate(live, source.path, passed=passed, remove=True)
    assert [each.why for each in passed] == ["the root has other bytes for https://host/a"]
    for root, body in ((live, b"mine"), (Root(source.path, now=time.time), b"of two URLs")):
        hit = URLIndex(root).find("https://host/a", verify=True)
        assert hit is not None
        with open(hit.path, "rb") as file:
            assert file.read() == body
    assert URLIndex(live).find("https://host/b") is not None


def test_a_segment_that_is_written_to_stays_until_its_writer_ends(live: Root, source: Root) -> None:
    tasks = backends.in_files(source)
    tasks.add_record("third", {"buffers": [BUFFER], "msg_id": "third"})
    passed: list[Passed] = []
    done = migrate(live, source.path, passed=passed, remove=True)
    assert [each.why for each in passed] == ["a process still writes task records to it"]
    assert done.besides.segments == 1
    assert tasks.get_record("third")["buffers"][0] == BUFFER
    tasks.close()
    assert migrate(live, source.path, remove=True).besides.segments == 1
    here = backends.in_files(live)
    try:
        assert {each["msg_id"] for each in here.db_query({})} == {"first", "second", "third"}
    finally:
        here.close()


def test_tasks_of_both_roots_are_one_history(live: Root, source: Root) -> None:
    tasks = backends.in_files(live)
    tasks.add_record("mine", {"msg_id": "mine"})
    migrate(live, source.path)
    assert {each["msg_id"] for each in tasks.db_query({})} == {"mine", "first", "second"}
    tasks.close()


def test_bodies_that_are_damaged_there_do_not_come(live: Root, source: Root) -> None:
    for body in (LARGE, BUFFER):
        damage.flip(source.objects().locate(digest_of(body)[:20]), keep_times=True)
    passed: list[Passed] = []
    done = migrate(live, source.path, passed=passed, remove=True)
    whys = sorted(each.why.partition(":")[0] for each in passed)
    assert whys == [
        "a task's buffer, which did not come",
        "a task's buffer, which did not come",
        "damaged",
        "damaged",
        "its object did not come",
    ]
    assert done.besides.keys == 4
    assert "large" not in LocalStore(live)
    assert count(source).keys == 1


def test_what_was_purged_between_its_coming_and_its_naming_comes_again(
    live: Root, source: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Beside.take

    def take(self: Beside) -> object:
        for address in objects_on_disk(live):
            os.unlink(live.objects().locate(address))
        return original(self)

    monkeypatch.setattr(Beside, "take", take)
    migrate(live, source.path)
    assert LocalStore(live).get("large") == LARGE
    assert objects_on_disk(live).keys() == {digest_of(body)[:20] for body in (LARGE, BUFFER)}
    assert_catalog_is_true_of_objects(live)


def assert_catalog_is_true_of_objects(root: Root) -> None:
    found, _ = verify(root)
    assert {each.what for each in found} <= {"dangling"}


def test_an_entry_that_cannot_be_read_stays_and_is_named(live: Root, source: Root) -> None:
    path = source.entries("urls", b"url").write(b"https://host/odd", b"digest nonsense").path
    source.entries("kv/default", b"key").write(b"later", b"\x7f of a later version")
    before = listing(source.path)
    passed: list[Passed] = []
    migrate(live, source.path, passed=passed, link=False)
    assert passed[0].path == path
    assert "needs a newer version" in passed[1].why
    assert listing(source.path) == before


def test_a_newer_format_is_refused(live: Root, source: Root) -> None:
    with open(f"{source.path}/FORMAT", "w", encoding="ascii") as file:
        file.write("2\nobjects 4+4+12\nentries 2+18\n")
    before = listing(live.path)
    with pytest.raises(FormatError, match="format 2 is newer"):
        migrate(live, source.path)
    assert listing(live.path) == before


@pytest.mark.parametrize("below", ["", "/objects", "/.."])
def test_a_root_is_not_brought_into_itself(live: Root, below: str) -> None:
    with pytest.raises(StoreError, match="not apart from the cache"):
        migrate(live, f"{live.path}{below}", form="directory")


def test_an_empty_root_brings_nothing(live: Root, tmp_path: Path) -> None:
    empty = open_root(str(tmp_path / "empty"))
    done = migrate(live, empty.path)
    assert (done.moved.files, done.besides.keys, done.passed) == (0, 0, 0)
    assert_catalog_is_true(live)
