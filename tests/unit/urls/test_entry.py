"""Promises of fscache.urls.entry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.urls.entry import URLEntry

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "0123456789abcdef0123456789abcdef"
GOLDEN = b"""digest 0123456789abcdef0123456789abcdef
slot 1
size 7
inode 42
mtime_ns 1700000000123456789
fetched_at 1700000000.250
checked_at 1700000001.500
fetched_from https://mirror/file
staged_by alice@node1
etag "abc"
last_modified Tue, 14 Nov 2023 22:13:20 GMT
sum.sha256 00ff
sum.md5 11ee"""


def entry(**changes: object) -> URLEntry:
    fields = {
        "slot": 1,
        "size": 7,
        "inode": 42,
        "mtime_ns": 1_700_000_000_123_456_789,
        "fetched_at": 1_700_000_000.25,
        "checked_at": 1_700_000_001.5,
        "fetched_from": "https://mirror/file",
        "staged_by": "alice@node1",
        "etag": '"abc"',
        "last_modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "checksums": {"sha256": "00ff", "md5": "11ee"},
        **changes,
    }
    return URLEntry("https://host/file", DIGEST, **fields)


def fields(one: URLEntry) -> dict[str, object]:
    return {name: getattr(one, name) for name in URLEntry.__slots__}


def test_the_bytes_of_an_entry_are_pinned() -> None:
    assert entry().encode() == GOLDEN
    assert fields(URLEntry.decode(b"https://host/file", GOLDEN)) == fields(entry())


def test_what_is_not_known_is_not_written() -> None:
    short = entry(fetched_from="", staged_by="", etag=None, last_modified=None, checksums=None)
    assert short.encode() == b"\n".join(GOLDEN.split(b"\n")[:7])
    assert fields(URLEntry.decode(b"https://host/file", short.encode())) == fields(short)


@given(
    slot=st.integers(0, 63),
    size=st.integers(0, 2**63),
    inode=st.integers(0, 2**64),
    mtime_ns=st.integers(-(2**63), 2**63),
    etag=st.none() | st.text(),
    last_modified=st.none() | st.text(),
    fetched_from=st.text(),
    staged_by=st.text(),
    checksums=st.dictionaries(st.sampled_from(["md5", "sha256"]), st.just("00")),
)
def test_no_field_gets_into_another_whatever_servers_and_hosts_say(**changes: object) -> None:
    one = entry(**changes)
    again = URLEntry.decode(b"https://host/file", one.encode())
    for name in ("digest", "slot", "size", "inode", "mtime_ns", "checksums"):
        assert getattr(again, name) == getattr(one, name)
    for name in ("etag", "last_modified", "fetched_from", "staged_by"):
        value = getattr(one, name)
        if value and value.isprintable() and len(value) <= 2000:
            assert getattr(again, name) == value


def test_a_header_cannot_forge_a_field() -> None:
    forged = entry(etag=f'"x"\ndigest {"f" * 32}\r\nslot 9\x85size 0\u2028inode 1')
    again = URLEntry.decode(b"https://host/file", forged.encode())
    assert (again.digest, again.slot, again.size, again.inode) == (DIGEST, 1, 7, 42)


def test_a_long_header_is_cut() -> None:
    assert len(entry(etag="x" * 100_000).encode()) < 5000


def test_fields_of_a_later_version_are_passed_over() -> None:
    again = URLEntry.decode(b"https://host/file", b"colour blue\n" + GOLDEN + b"\nflag\n\n")
    assert fields(again) == fields(entry())


@pytest.mark.parametrize(
    "name", ["digest", "slot", "size", "inode", "mtime_ns", "fetched_at", "checked_at"]
)
def test_a_missing_field_is_named(name: str) -> None:
    lines = [line for line in GOLDEN.split(b"\n") if not line.startswith(name.encode() + b" ")]
    with pytest.raises(ValueError, match=name):
        URLEntry.decode(b"https://host/file", b"\n".join(lines))


@pytest.mark.parametrize(
    "line",
    [
        b"digest ../../../../../../../etc/pass",
        b"digest ..",
        b"digest /etc/passwd",
        b"digest 0123456789ABCDEF0123456789ABCDEF",
        b"digest 0123456789abcdef0123456789abcde",
        b"digest",
        b"slot -1",
        b"slot 64",
        b"slot 1/../x",
        b"slot x",
        b"size x",
        b"inode",
        b"mtime_ns 1.5",
        b"fetched_at today",
        b"size " + b"9" * 5000,
    ],
)
def test_what_would_lead_elsewhere_is_refused(line: bytes) -> None:
    payload = GOLDEN + b"\n" + line
    with pytest.raises(ValueError, match=r"."):
        URLEntry.decode(b"https://host/file", payload)


@given(st.binary())
def test_garbage_is_a_value_error_and_nothing_else(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        URLEntry.decode(b"https://host/file", payload)


def test_an_entry_knows_the_file_that_was_verified(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    one = entry()
    assert not one.matches(os.stat(path))
    one.identify(os.stat(path))
    assert one.matches(os.stat(path))
    before = os.stat(path)
    os.utime(path, ns=(0, before.st_mtime_ns))
    os.chmod(path, 0o400)
    assert one.matches(os.stat(path))  # access time and mode are no part of it
    os.utime(path, ns=(0, before.st_mtime_ns + 1))
    assert not one.matches(os.stat(path))
    os.utime(path, ns=(0, before.st_mtime_ns))
    assert one.matches(os.stat(path))
    os.truncate(path, 4)
    os.utime(path, ns=(0, before.st_mtime_ns))
    assert not one.matches(os.stat(path))
    other = tmp_path / "other"
    other.write_bytes(b"bytes")
    os.utime(other, ns=(0, before.st_mtime_ns))
    assert not one.matches(os.stat(other))


def test_names_need_not_be_utf_8() -> None:
    assert URLEntry.decode(b"file:///\xff", GOLDEN).url == "file:///\udcff"
