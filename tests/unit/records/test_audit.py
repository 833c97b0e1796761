"""Promises of fscache.records.audit: every file below a directory of entries is judged, none changed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from fscache.objects.layout import ENTRY_SPLIT
from fscache.records.audit import BAD_ENTRY, MISNAMED, STRAY, audit
from tests.support.damage import flip
from tests.support.listing import listing

if TYPE_CHECKING:
    from fscache.records.root import Root


def judged(root: Root, kind: bytes | None = b"url") -> dict[str, str]:
    top = f"{root.path}/urls"
    return {
        os.path.relpath(each.path, top): each.what or each.name
        for each in audit(top, kind, ENTRY_SPLIT)
    }


def test_every_file_is_judged_and_none_is_changed(root: Root) -> None:
    top = f"{root.path}/urls"
    entries = root.entries("urls", b"url")
    places = {name: entries.write(name, b"payload").path for name in (b"good", b"bad", b"\xff")}
    flip(places[b"bad"], -1)
    shutil.copy(places[b"good"], f"{os.path.dirname(places[b'good'])}/{'0' * 18}")
    os.makedirs(f"{top}/notes")
    for stray in ("notes/readme", "aa", f"{os.path.basename(os.path.dirname(places[b'good']))}/x"):
        with open(f"{top}/{stray}", "w", encoding="ascii") as file:
            file.write("stray")
    os.symlink("/etc/passwd", f"{top}/{'a' * 2}.link")
    before = listing(root.path)
    found = judged(root)
    after = listing(root.path)
    assert {path: status[5:7] for path, status in before.items()} == {
        path: status[5:7] for path, status in after.items()
    }
    relative = {name: os.path.relpath(path, top) for name, path in places.items()}
    assert found.pop(relative[b"good"]) == "good"
    assert found.pop(relative[b"\xff"]) == "\udcff"
    assert found.pop(relative[b"bad"]) == BAD_ENTRY
    assert sorted(found.values()) == [MISNAMED, STRAY, STRAY, STRAY, STRAY]


def test_an_entry_of_another_kind_is_bad_where_the_kind_is_known(root: Root) -> None:
    root.entries("urls", b"key").write(b"name", b"")
    assert list(judged(root).values()) == [BAD_ENTRY]
    assert list(judged(root, None).values()) == ["name"]


def test_tombstones_are_nothing(root: Root) -> None:
    from fscache.records.entries import EntryStore

    entries = EntryStore(
        f"{root.path}/urls", b"url", root.writer, quarantine=None, hash_name=lambda _: "0" * 20
    )
    entries.write(b"one", b"")
    entries.write(b"two", b"")
    entries.delete(b"one")
    found = list(audit(f"{root.path}/urls", b"url", ENTRY_SPLIT))
    assert [each.what for each in found] == [MISNAMED]  # `two`, whose true hash is another
