"""Promises of fscache.migrate.metastore: the original's files, into a root and back."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from fscache.errors import StoreError
from fscache.kv.local import LocalStore
from fscache.migrate import metastore

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.records.root import Root


@pytest.fixture
def kv(root: Root) -> LocalStore:
    return LocalStore(root)


def rows(path: str) -> dict[str, object]:
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT k, v FROM metastore"))
    finally:
        connection.close()


def test_what_is_exported_comes_back_by_import(kv: LocalStore, tmp_path: Path) -> None:
    values = {
        "text": "ü",
        "bytes": b"\0\xff",
        "none": None,
        "": "empty",
        "line\nbreak": "x" * 99_999,
    }
    kv.multiput(values)
    path = str(tmp_path / "out?.sdb")
    assert metastore.export_file(kv, path) == len(values)
    assert rows(path) == values
    assert metastore.recognises(path)
    other = kv.store("other")
    assert metastore.import_file(path, other) == len(values)
    assert metastore.import_file(path, other) == len(values)
    assert dict(other.items()) == values


def test_an_export_is_a_file_the_original_can_go_on_with(kv: LocalStore, tmp_path: Path) -> None:
    kv.multiput({"n": 5, "r": 0.1, "t": True})
    path = str(tmp_path / "out.sdb")
    metastore.export_file(kv, path)
    connection = sqlite3.connect(path)
    connection.execute("REPLACE INTO metastore (k, v) VALUES (?, ?)", ("n", "6"))
    connection.commit()
    connection.close()
    assert rows(path) == {"n": "6", "r": "0.1", "t": "1"}


def test_only_a_prefix_is_exported(kv: LocalStore, tmp_path: Path) -> None:
    kv.multiput({"a/1": "x", "b/1": "y"})
    assert metastore.export_file(kv, str(tmp_path / "out.sdb"), "a/") == 1
    assert rows(str(tmp_path / "out.sdb")) == {"a/1": "x"}


def test_what_has_no_column_is_refused_by_name_and_leaves_no_file(
    kv: LocalStore, tmp_path: Path
) -> None:
    kv.multiput({"a": "x", "list": [1]})
    with pytest.raises(TypeError, match="'list'"):
        metastore.export_file(kv, str(tmp_path / "out.sdb"))
    assert os.listdir(tmp_path) == ["cache"]


def test_a_file_is_replaced_as_a_whole_or_stays(kv: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "out.sdb"
    path.write_text("before")
    kv.multiput({"a": "x", "list": [1]})
    with pytest.raises(TypeError):
        metastore.export_file(kv, str(path))
    assert path.read_text() == "before"
    kv.delete("list")
    metastore.export_file(kv, str(path))
    assert rows(str(path)) == {"a": "x"}
    assert sorted(os.listdir(tmp_path)) == ["cache", "out.sdb"]


def test_a_directory_that_is_not_there_is_an_error(kv: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        metastore.export_file(kv, str(tmp_path / "no" / "out.sdb"))


def test_other_files_are_refused(kv: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "damaged").write_bytes(b"SQLite format 3\0" + bytes(2000))
    for name in ("text", "damaged", "missing"):
        with pytest.raises(StoreError, match="not a file of the original metastore"):
            metastore.import_file(str(tmp_path / name), kv)
    assert not metastore.recognises(str(tmp_path / "text"))
    assert not metastore.recognises(str(tmp_path))
    assert kv.keys() == []
