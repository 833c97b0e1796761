"""Promises of fscache.kv.source: what the catalog is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.kv.local import LocalStore
from fscache.kv.source import KVSource
from fscache.objects.digest import digest_of

if TYPE_CHECKING:
    import pytest

    from fscache.records.root import Root
    from fscache.records.sources import Named


def plain(named: Named | None) -> tuple[object, ...] | None:
    return named and (named.name, named.address, named.size)


def test_every_entry_of_every_store_is_told_with_the_object_it_names(root: Root) -> None:
    kv = LocalStore(root)
    kv.put("a/b", "xyz")
    kv.put("large", bytes(100_000), ttl=1, tags=["t"])
    kv.store("other").put("", 1)
    source = KVSource(root)
    address = digest_of(bytes(100_000))[:20]
    expected = [
        ("default/a/b", "", 3),
        ("default/large", address, 100_000),
        ("other/", "", 1),
    ]
    found = list(source.scan())
    assert sorted(map(plain, found), key=str) == expected  # type: ignore[arg-type]
    assert [plain(source.look(str(each[0]))) for each in expected] == expected
    assert all(abs(named.stored - root.now()) < 1 for named in found)


def test_what_is_not_there_is_none(root: Root, caplog: pytest.LogCaptureFixture) -> None:
    source = KVSource(root)
    assert list(source.scan()) == []
    for name in ("default/missing", "missing", "../x/y", "/", ""):
        assert source.look(name) is None
    assert caplog.text == ""


def test_what_cannot_be_read_is_passed_over(root: Root) -> None:
    kv = LocalStore(root)
    kv.put("key", 1)
    kv._shelf.entries.write(b"later", b"\xff")
    assert [named.name for named in KVSource(root).scan()] == ["default/key"]
    assert KVSource(root).look("default/later") is None


def test_key_values_are_never_purged(root: Root) -> None:
    LocalStore(root).put("large", bytes(100_000))
    source = KVSource(root)
    (named,) = source.scan()
    assert not source.purgeable
    assert not source.remove(named.name, named.address)
    assert source.look("default/large") is not None
