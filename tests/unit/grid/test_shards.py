from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from fscache.grid.shards import Shard

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file with structs in structs, one of them null, and a name that has a dot of its own."""
    rows = pa.table(
        {
            "id": [0, 1, 2],
            "best": [
                {"i": {"flux": 1.5, "word": "a"}, "g": 1},
                None,
                {"i": {"flux": 2.5, "word": "c"}, "g": 3},
            ],
            "a.b": [7, 8, 9],
        }
    )
    pq.write_table(rows, tmp_path / "shard.parquet")
    return str(tmp_path / "shard.parquet")


@pytest.mark.parametrize("where", [None, "id >= 0", ds.field("id") >= 0])
def test_a_field_of_a_struct_is_read_by_its_dotted_name(path: str, where: Any) -> None:
    shard = Shard(path, name="t/0", index=0, where=where)
    assert shard.column("best.i.flux").to_pylist() == [1.5, None, 2.5]
    assert shard["best.g"].tolist()[::2] == [1, 3]
    assert shard[shard["id"] == 2]["best.i.word"].tolist() == ["c"]
    assert shard.arrow(["id", "best.i.flux"]).column_names == ["id", "best.i.flux"]
    assert shard["a.b"].tolist() == [7, 8, 9]
    assert shard.column("best").to_pylist()[1] is None


@pytest.mark.parametrize("name", ["best.i.nope", "best.nope", "id.i", "nope.i", "best.", ".", ""])
def test_a_field_that_is_not_there_is_a_key_error(path: str, name: str) -> None:
    shard = Shard(path, name="t/0", index=0)
    with pytest.raises(KeyError, match="t/0 has no column"):
        shard.column(name)


def test_columns_that_were_left_out_stay_out(path: str) -> None:
    shard = Shard(path, name="t/0", index=0, columns=["best"])
    assert shard.columns == ["best"]
    assert shard["best.g"].tolist()[::2] == [1, 3]
    with pytest.raises(KeyError):
        shard.column("id")
