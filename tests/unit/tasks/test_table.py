"""Promises of fscache.tasks.table: one row a record, whichever program reads it next."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fscache.tasks import backends, table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Clock

START = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def records(clock: Clock) -> list[dict[str, Any]]:
    tasks = backends.in_memory(clock)
    tasks.add_record("pending", {"submitted": START, "header": {"date": START}, "buffers": []})
    tasks.add_record(
        "done",
        {
            "submitted": START,
            "started": START + timedelta(seconds=1),
            "completed": START + timedelta(seconds=3.5),
            "buffers": [b"abc", b"de"],
            "stdout": "a\nb,c",
            "own": {"x": [1, 2]},
        },
    )
    return tasks.find_records({})


def test_a_dataframe_has_timestamps_durations_and_bytes(records: list[dict[str, Any]]) -> None:
    frame = table.to_dataframe(records)
    assert list(frame.index) == ["pending", "done"]
    assert frame.loc["done", "submitted"] == pd.Timestamp(START)
    assert str(frame["completed"].dt.tz) == "UTC"
    assert pd.isna(frame.loc["pending", "completed"])
    assert frame.loc["done", "duration"] == 2.5
    assert list(frame["buffers"]) == [0, 5]
    assert frame.loc["pending", "header"] == {"date": START}
    assert frame.loc["done", "own"] == {"x": [1, 2]}


def test_buffers_that_came_over_the_wire_are_counted_as_well(
    records: list[dict[str, Any]],
) -> None:
    plain = [record | {"buffers": list(record["buffers"])} for record in records]
    assert list(table.to_dataframe(plain)["buffers"]) == [0, 5]
    assert [table.lengths(record["buffers"]) for record in (*records, *plain)] == [
        *([], [3, 2]),
        *([], [3, 2]),
    ]


def test_csv_has_a_heading_and_json_for_mappings(records: list[dict[str, Any]]) -> None:
    file = io.StringIO(newline="")
    table.write_csv(records, file)
    pending, done = csv.DictReader(io.StringIO(file.getvalue(), newline=""))
    assert json.loads(pending["header"]) == {"date": START.isoformat()}
    assert pending["completed"] == pending["duration"] == ""
    assert done["stdout"] == "a\nb,c"
    assert datetime.fromisoformat(done["completed"]) == START + timedelta(seconds=3.5)
    assert json.loads(done["own"]) == {"x": [1, 2]}


def test_parquet_has_types(records: list[dict[str, Any]], tmp_path: Path) -> None:
    path = str(tmp_path / "t.parquet")
    table.write_parquet(records, path)
    read = pq.read_table(path)
    assert read.column("submitted").to_pylist() == [START, START]
    assert read.column("duration").to_pylist() == [None, 2.5]
    assert read.column("buffers").to_pylist() == [0, 5]
    assert read.column("result_buffers").to_pylist() == [None, None]
    file = io.BytesIO()
    table.write_parquet(records, file)
    assert pq.read_table(io.BytesIO(file.getvalue())) == read


def test_without_records_there_are_the_columns_all_the_same(
    records: list[dict[str, Any]], tmp_path: Path
) -> None:
    tasks = backends.in_memory(lambda: 0.0)
    frame = tasks.to_dataframe({"label": "none"})
    assert len(frame) == 0
    assert frame.index.name == "msg_id"
    assert not frame.columns.intersection(["buffers", "result_buffers"]).size
    some = table.to_dataframe(records)
    for key in ("submitted", "completed", "received", "duration"):
        assert frame[key].dtype == some[key].dtype
    frame = tasks.to_dataframe(keys=iter(["label", "complete"]))
    assert list(frame.columns) == ["label", "completed"]
    file = io.StringIO()
    table.write_csv([], file)
    assert file.getvalue().startswith("msg_id,header,")
    table.write_parquet([], str(tmp_path / "none.parquet"), ["msg_id", "started", "completed"])
    empty = pq.read_table(tmp_path / "none.parquet")
    assert empty.num_rows == 0
    assert empty.column_names == ["msg_id", "started", "completed", "duration"]


def test_half_characters_are_escapes_in_every_table(tmp_path: Path) -> None:
    tasks = backends.in_memory(lambda: 0.0)
    tasks.add_record("a", {"stdout": "x\ud800y\udc80", "content": {"code": "\ud800"}, "label": "ü"})
    frame = tasks.to_dataframe()
    assert (frame.loc["a", "stdout"], frame.loc["a", "label"]) == ("x\\ud800y\\udc80", "ü")
    records = tasks.db_query({})
    table.write_parquet(records, str(tmp_path / "t.parquet"))
    (row,) = pq.read_table(tmp_path / "t.parquet").to_pylist()
    file = io.StringIO(newline="")
    table.write_csv(records, file)
    (line,) = csv.DictReader(io.StringIO(file.getvalue().encode().decode(), newline=""))
    for each in (row, line):
        assert each["stdout"] == "x\\ud800y\\udc80"
        assert json.loads(each["content"]) == {"code": "\ud800"}
