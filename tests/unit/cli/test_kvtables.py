"""Promises of fscache.cli.kvtables: tables in files, written in pieces worth a write."""

from __future__ import annotations

import io

import pytest

from fscache.cli.kvtables import read, write


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("count", [0, 1, 20_000])
def test_a_table_comes_back_whole_and_is_not_written_line_by_line(form: str, count: int) -> None:
    pairs = [(f"key/{number}", "x" * (number % 50) + "!") for number in range(count)]
    pieces = list(write(pairs, form))
    assert list(read(io.BytesIO(b"".join(pieces)), form)) == pairs
    assert len(pieces) <= 1 + count // 1000
