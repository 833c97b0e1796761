"""Promises of fscache.fs.copies."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from fscache.fs import copies

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 600_000])
def test_bytes_pass_in_pieces_of_constant_size(size: int) -> None:
    data = os.urandom(size)
    pieces: list[bytes] = []
    total = copies.copy_bytes(io.BytesIO(data).readinto, lambda view: pieces.append(bytes(view)))
    assert total == size
    assert b"".join(pieces) == data
    assert max(map(len, pieces), default=0) <= 256 * 1024


def test_a_reader_of_a_descriptor_goes_on_from_its_position(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with open(tmp_path / "file", "rb", buffering=0) as file:
        file.seek(4)
        pieces: list[bytes] = []
        copies.copy_bytes(copies.reader(file.fileno()), lambda view: pieces.append(bytes(view)))
    assert b"".join(pieces) == b"456789"
