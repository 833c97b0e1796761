"""Promises of fscache.records.rows."""

from __future__ import annotations

from fscache.records.rows import host_of, round_up


def test_bytes_on_the_disk_are_whole_blocks() -> None:
    assert [round_up(size, 4096) for size in (0, 1, 4096, 4097)] == [0, 4096, 4096, 8192]


def test_sums_are_by_host_and_store() -> None:
    assert host_of("url", "https://Host:8443/a/b") == "host:8443"
    assert host_of("url", "file:///a/b") == ""
    assert host_of("kv", "store/a/b") == "store"
    assert host_of("task", "id") == ""
