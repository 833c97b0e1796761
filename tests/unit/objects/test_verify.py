"""Promises of fscache.objects.verify."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from fscache.objects.digest import digest_of, new_hasher
from fscache.objects.verify import hash_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 1_000_001])
def test_all_digests_of_a_file_come_from_one_pass(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    sha, md5 = hashlib.sha256(), hashlib.md5()
    digest, status = hash_file(str(tmp_path / "file"), new_hasher, (sha, md5))
    assert digest == digest_of(data)
    assert (sha.hexdigest(), md5.hexdigest()) == (
        hashlib.sha256(data).hexdigest(),
        hashlib.md5(data).hexdigest(),
    )
    assert (status.st_size, status.st_ino) == (size, os.stat(tmp_path / "file").st_ino)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        hash_file(str(tmp_path / "link"), new_hasher)


def test_what_cannot_be_read_raises_and_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hash_file(str(tmp_path / "nowhere"), new_hasher)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match="not a regular file"):
            hash_file(str(path), new_hasher)


def test_verifying_is_no_access(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    os.utime(path, (1, 2))  # older than its mtime: `relatime` would renew it
    hash_file(str(path), new_hasher)
    assert os.stat(path).st_atime == 1
