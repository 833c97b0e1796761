"""A root changes its split in place, while it is read and written."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from fscache.errors import StoreError
from fscache.kv.local import LocalStore
from fscache.migrate.resplit import Resplit
from fscache.objects.layout import Split
from fscache.records.root import Root
from fscache.urls.index import URLIndex
from tests.support.catalogs import assert_catalog_is_true, keep, keeper_of
from tests.support.listing import files, listing
from tests.support.wrecks import verify

if TYPE_CHECKING:
    from fscache.objects.store import Stored

FLAT = Split(2, 18)
DEEP = Split(4, 4, 12)


@pytest.fixture
def stored(live: Root) -> list[Stored]:
    return [keep(live, b"%d" % number, f"https://host/{number}") for number in range(30)]


def again(root: Root) -> Root:
    """Open a root as another process does."""
    return Root(root.path, now=time.time)


def assert_all_here(root: Root, count: int = 30) -> None:
    for number in range(count):
        hit = URLIndex(root).find(f"https://host/{number}", verify=True)
        assert hit is not None, number
        with open(hit.path, "rb") as file:
            assert file.read() == b"%d" % number


def depth(root: Root) -> set[int]:
    return {name.count("/") for name in files(f"{root.path}/objects")}


def test_there_and_back(live: Root, stored: list[Stored]) -> None:
    before = listing(f"{live.path}/urls")
    work = Resplit(live, FLAT)
    assert work.count() == 30
    work.run()
    assert (work.linked, work.removed) == (30, 0)
    assert again(live).object_split == FLAT
    assert depth(live) == {1, 2}  # the old names stay until asked
    work.remove_old()
    assert work.removed == 30
    assert depth(live) == {1}
    assert_all_here(again(live))
    assert verify(again(live))[0] == []
    assert_catalog_is_true(again(live))
    back = Resplit(again(live), DEEP)
    back.run()
    back.remove_old()
    assert again(live).object_split == DEEP
    assert depth(live) == {2}
    assert_all_here(again(live))
    assert listing(f"{live.path}/urls") == before  # entries name objects, not places


def test_format_says_what_to_look_for_at_every_step(live: Root, stored: list[Stored]) -> None:
    Resplit(live, FLAT).run()
    with open(f"{live.path}/FORMAT", encoding="ascii") as file:
        assert file.read() == "1\nobjects 2+18\nentries 2+18\nleft 4+4+12\n"
    Resplit(again(live), FLAT).remove_old()
    with open(f"{live.path}/FORMAT", encoding="ascii") as file:
        assert file.read() == "1\nobjects 2+18\nentries 2+18\n"


def test_counting_changes_nothing(live: Root, stored: list[Stored]) -> None:
    before = listing(live.path)
    assert Resplit(live, FLAT).count() == 30
    assert listing(live.path) == before


def test_the_split_it_has_is_nothing_to_do(live: Root, stored: list[Stored]) -> None:
    before = listing(live.path)
    Resplit(live, DEEP).run()
    assert listing(live.path) == before


def test_processes_that_know_the_old_split_go_on_until_it_is_removed(
    live: Root, stored: list[Stored]
) -> None:
    theirs = again(live)
    assert_all_here(theirs)
    Resplit(live, FLAT).run()
    assert_all_here(theirs)
    keep(theirs, b"30", "https://host/30")
    assert_all_here(theirs, 31)
    # Whoever opened it since finds that only when the old names are cleared away.
    assert URLIndex(again(live)).find("https://host/30") is None
    Resplit(again(live), FLAT).remove_old()
    assert_all_here(again(live), 31)
    assert_catalog_is_true(again(live))


@pytest.mark.parametrize("told", [True, False])
def test_what_is_put_while_links_are_made_gets_its_name(
    live: Root, stored: list[Stored], told: bool
) -> None:
    """The journal tells what was put; where it cannot, everything is looked at again."""
    theirs = again(live)
    number = 30

    def progress(_phase: str, done: int, total: int) -> None:
        nonlocal number
        if done == total and number == 30:  # the walk has passed everything
            keep(theirs, b"%d" % number, f"https://host/{number}")
            number += 1
            if not told:
                os.unlink(f"{live.path}/journal/complete")

    Resplit(live, FLAT, progress=progress).run()
    assert number == 31
    assert_all_here(again(live), 31)


def test_key_values_keep_their_bodies(live: Root) -> None:
    LocalStore(live).put("large", bytes(100_000))
    work = Resplit(live, FLAT)
    work.run()
    work.remove_old()
    assert LocalStore(again(live)).get("large") == bytes(100_000)


def test_objects_in_slots_keep_them(live: Root) -> None:
    path = live.objects().locate("0" * 20, 3)
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(b"?")
    work = Resplit(live, FLAT)
    work.run()
    work.remove_old()
    assert files(f"{live.path}/objects") == ["00/" + "0" * 18 + "-3"]


def test_no_object_is_counted_or_purged_twice(live: Root, stored: list[Stored]) -> None:
    keeper_of(live).open().close()
    Resplit(live, FLAT).run()
    found = keeper_of(again(live)).reindex()
    assert (found.objects, found.strays, found.gone, found.new) == (30, [], 0, 0)


@pytest.mark.parametrize("text", ["", "x", "4+4", "0+20", "21", "4+4+12+0", "-1+21"])
def test_a_split_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Split.parse(text)


def test_a_file_system_without_links_is_refused_before_anything_changes(
    live: Root, stored: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_arguments: object, **_options: object) -> None:
        raise OSError(95, "Operation not supported")

    before = files(live.path)
    with open(f"{live.path}/FORMAT", encoding="ascii") as file:
        text = file.read()
    monkeypatch.setattr("os.link", link)
    with pytest.raises(StoreError, match="no hard links"):
        Resplit(live, FLAT).run()
    assert files(live.path) == before
    with open(f"{live.path}/FORMAT", encoding="ascii") as file:
        assert file.read() == text
