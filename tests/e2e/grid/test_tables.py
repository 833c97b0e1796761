from __future__ import annotations

import gzip
import operator
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fscache.errors import TableExistsError, TableSourceError, UnknownTableError
from fscache.grid import deploy as deploying
from tests.support.gridwork import make_source

if TYPE_CHECKING:
    from fscache.grid import Grid, Table


@pytest.fixture
def source(tmp_path: Path) -> str:
    directory = str(tmp_path / "source")
    make_source(directory)
    return directory


@pytest.fixture
def name(two: Grid) -> Any:
    yield "t"
    for table in two.tables.ls():
        two.tables.drop(table.name)


def whole(grid: Grid, table: Table | str) -> pa.Table:
    """All rows of a table, in the order of its shards."""
    return pa.concat_tables(grid.map_reduce(table, lambda shard: shard.arrow()))


def original(source: str) -> pa.Table:
    return pa.concat_tables(
        pq.read_table(f"{source}/{file}") for file in sorted(os.listdir(source))
    )


def test_a_table_has_the_rows_of_its_source_in_shards_of_equal_size(
    two: Grid, source: str, name: str
) -> None:
    table = two.tables.deploy(source, name, shards=7)
    assert table.rows == 4000
    assert {shard.rows for shard in table.shards} == {571, 572}
    assert whole(two, name).equals(original(source))
    assert [shard.index for shard in table.shards] == list(range(7))


def test_shards_lie_on_their_nodes_and_are_kept_from_purges(
    two: Grid, source: str, name: str
) -> None:
    table = two.tables.deploy(source, name, shards=6, replicas=2)
    nodes = {worker.node: worker for worker in two.workers()}
    assert all(set(shard.nodes) == set(nodes) for shard in table.shards)
    for worker in nodes.values():
        assert all(two.cluster.ask(worker.address, "has", addresses=table.addresses))
        root = worker.node.partition(":")[2]
        assert len(os.listdir(f"{root}/pins")) == 6
    two.tables.drop(name)
    for node in nodes:
        assert os.listdir(f"{node.partition(':')[2]}/pins") == []


def test_a_file_of_the_right_size_is_kept_as_it_is(two: Grid, source: str, name: str) -> None:
    size = os.path.getsize(f"{source}/0.parquet")
    table = two.tables.deploy(source, name, shard_size=size)
    for shard in table.shards:
        kept = Path(two.cache.path(shard.address)).read_bytes()
        assert kept == Path(source, f"{shard.index}.parquet").read_bytes()


def test_ranges_are_sorted_and_never_cut_a_key_in_two(two: Grid, source: str, name: str) -> None:
    table = two.tables.deploy(source, name, "x", shards=5)
    assert table.partitioning.kind == "range"
    assert table.partitioning.by == ("x",)
    keys = two.map_reduce(name, lambda shard: shard["x"])
    for before, after in pairwise(keys):
        assert before.max() < after.min()
    assert all((np.diff(each) >= 0).all() for each in keys)
    assert max(shard.rows for shard in table.shards) < 2 * min(shard.rows for shard in table.shards)
    assert whole(two, name).sort_by("id").equals(original(source))


def test_ranges_can_be_taken_over_so_that_equal_keys_lie_in_equal_shards(
    two: Grid, source: str, name: str, tmp_path: Path
) -> None:
    first = two.tables.deploy(source, name, "x", shards=5)
    pq.write_table(pa.table({"x": list(range(100)), "y": list(range(100))}), tmp_path / "o.parquet")
    second = two.tables.deploy(str(tmp_path / "o.parquet"), "other", "x", like=name)
    assert second.partitioning == first.partitioning
    of_first = two.map_reduce(name, lambda shard: set(shard["x"].tolist()))
    of_second = two.map_reduce("other", lambda shard: set(shard["x"].tolist()))
    for mine, theirs in zip(of_first, of_second, strict=True):
        assert mine <= theirs


def test_a_hash_brings_equal_keys_together(two: Grid, source: str, name: str) -> None:
    table = two.tables.deploy(source, name, ["x"], how="hash", shards=4)
    seen: set[int] = set()
    for keys in two.map_reduce(name, lambda shard: set(shard["x"].tolist())):
        assert not keys & seen
        seen |= keys
    assert len(table.shards) == 4
    assert "hash" in table.partitioning.function
    assert whole(two, name).sort_by("id").equals(original(source))


def test_nulls_and_nan_go_to_the_last_shard_and_none_is_lost(
    two: Grid, name: str, tmp_path: Path
) -> None:
    values = [None, float("nan"), *map(float, range(100)), None]
    pq.write_table(pa.table({"f": values}), tmp_path / "n.parquet")
    table = two.tables.deploy(str(tmp_path / "n.parquet"), name, "f", shards=3)
    found = two.map_reduce(name, lambda shard: shard.column("f").to_pylist())
    assert sum(map(len, found)) == len(values)
    assert [each.count(None) for each in found] == [0, 0, 2]
    assert table.shards[-1].stats["f"].nan is True
    assert table.shards[0].stats["f"].nan is False


@pytest.mark.parametrize("packed", [False, True])
def test_csv_types_are_those_of_all_rows(
    two: Grid, name: str, tmp_path: Path, packed: bool
) -> None:
    text = "id,value,when\n" + "".join(f"{n},{n},2024-01-{n % 28 + 1:02d}\n" for n in range(30_000))
    text += "30000,1.5,2024-02-01\n"  # an integer column, but for its last row
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    table = two.tables.deploy(str(path), name, shards=3)
    assert [str(each.type) for each in table.schema] == ["int64", "double", "date32[day]"]
    assert {shard.rows for shard in table.shards} == {10_000, 10_001}
    assert two.map_reduce(name, lambda s: float(s["value"].sum()), operator.add) == (
        sum(range(30_000)) + 1.5
    )
    assert table.shards[0].stats["when"].low == "2024-01-01"


def test_fits_tables_come_with_their_types(two: Grid, name: str, tmp_path: Path) -> None:
    from astropy.io import fits

    rows = 50
    columns = [
        fits.Column("id", "K", array=np.arange(rows)),
        fits.Column("mag", "E", array=np.linspace(0, 1, rows)),
        fits.Column("band", "4A", array=np.array(["g", "r"] * (rows // 2))),
        fits.Column("pos", "3D", array=np.arange(3 * rows).reshape(rows, 3)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    two.tables.deploy(str(tmp_path / "a.fits"), name, shards=2)
    assert two.map_reduce(name, lambda s: s["id"].tolist(), operator.add) == list(range(rows))
    band, pos, mag = two.map_reduce(name, lambda s: (s["band"][1], s["pos"], s["mag"].dtype))[0]
    assert band == "r"
    assert pos.tolist() == np.arange(75.0).reshape(25, 3).tolist()
    assert mag == np.float32


def test_numpy_files_come_as_columns(two: Grid, name: str, tmp_path: Path) -> None:
    directory = tmp_path / "np"
    directory.mkdir()
    for number in range(3):
        np.savez(directory / f"{number}.npz", a=np.arange(10) + number, b=np.ones((10, 2)))
    two.tables.deploy(str(directory), name, shards=2)
    assert two.map_reduce(name, lambda s: int(s["a"].sum()), operator.add) == 45 * 3 + 30
    assert two.map_reduce(name, lambda s: s["b"].shape)[0] == (15, 2)
    records = np.array([(1, 2.5), (3, 4.5)], dtype=[("i", "i4"), ("f", "f8")])
    np.save(tmp_path / "r.npy", records)
    two.tables.deploy(str(tmp_path / "r.npy"), "records")
    assert two.map_reduce("records", lambda s: s["f"].tolist()) == [[2.5, 4.5]]


def test_a_pickled_array_is_never_unpickled(two: Grid, name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(TableSourceError, match="allow_pickle"):
        two.tables.deploy(str(tmp_path / "o.npy"), name)


def test_a_source_that_is_no_table_is_refused_by_name(
    two: Grid, source: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableSourceError, match="no Parquet"):
        two.tables.deploy(str(tmp_path / "empty"), name)
    with pytest.raises(TableSourceError, match="no column 'nope'"):
        two.tables.deploy(source, name, "nope")
    Path(source, "8.parquet").write_bytes(Path(source, "0.parquet").read_bytes()[:-100])
    for by in (None, "x"):
        with pytest.raises(TableSourceError, match=r"8\.parquet"):
            two.tables.deploy(source, name, by)
    os.unlink(f"{source}/8.parquet")
    pq.write_table(pa.table({"other": [1]}), f"{source}/9.parquet")
    with pytest.raises(TableSourceError, match=r"9\.parquet has other columns"):
        two.tables.deploy(source, name)
    Path(source, "x.csv").write_text("a\n1\n")
    with pytest.raises(TableSourceError, match="several kinds"):
        two.tables.deploy(source, name)
    for bad in ("", "a/../b", "a\nb"):
        with pytest.raises(TableSourceError, match="not a name"):
            two.tables.deploy(source, bad)
    with pytest.raises(TableSourceError, match="1 or more"):
        two.tables.deploy(source, name, shards=-1)
    with pytest.raises(TableSourceError, match="1 or more"):
        two.tables.deploy(source, name, replicas=0)
    for columns in ([], ["id", "x", "id"]):
        with pytest.raises(TableSourceError, match="each once"):
            two.tables.deploy(source, name, columns=columns)


def test_one_column_may_be_named_by_itself(two: Grid, source: str, name: str) -> None:
    table = two.tables.deploy(source, name, "id", columns="id", shards=2)
    assert table.schema.names == ["id"]
    assert two.map_reduce(name, lambda shard: shard.columns, columns="id") == [["id"]] * 2


def test_a_table_without_rows_can_be_mapped(two: Grid, name: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "e.parquet")
    for by in (None, "a"):
        table = two.tables.deploy(str(tmp_path / "e.parquet"), name, by, replace=True)
        assert table.rows == 0
        assert two.map_reduce(name, len, operator.add) == 0


def test_an_interrupted_deploy_goes_on_where_it_was(
    two: Grid, source: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real = deploying.Deploy._keep

    def keep(self: Any, index: int, table: pa.Table) -> Any:
        if len(written) == 3 and not resumed:
            raise KeyboardInterrupt
        written.append(index)
        return real(self, index, table)

    resumed = False
    monkeypatch.setattr(deploying.Deploy, "_keep", keep)
    monkeypatch.setattr(deploying, "_cores", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        two.tables.deploy(source, name, shards=8)
    assert written == [0, 1, 2]
    resumed = True
    table = two.tables.deploy(source, name, shards=8)
    assert sorted(written) == list(range(8))  # none was written twice
    assert whole(two, table).equals(original(source))
    two.tables.deploy(source, name, shards=8)
    assert len(written) == 8  # and nothing is done again


def test_another_table_of_the_same_name_is_not_overwritten_by_accident(
    two: Grid, source: str, name: str
) -> None:
    two.tables.deploy(source, name, shards=2)
    with pytest.raises(TableExistsError):
        two.tables.deploy(source, name, shards=3)
    assert len(two.tables.deploy(source, name, shards=3, replace=True).shards) == 3


def test_tables_are_found_by_programs_that_did_not_deploy_them(
    two: Grid, source: str, name: str
) -> None:
    table = two.tables.deploy(source, name, shards=2)
    two.tables._manifests.remove(name)  # as in another program's root
    assert two.tables.show(name) == table
    assert [each.name for each in two.tables.ls()] == [name]
    with pytest.raises(UnknownTableError):
        two.tables.show("nothing")
    with pytest.raises(UnknownTableError):
        two.tables.drop("nothing")


def test_verify_finds_a_damaged_and_a_missing_copy_and_rebalance_mends_them(
    two: Grid, source: str, name: str
) -> None:
    table = two.tables.deploy(source, name, shards=4, replicas=2)
    assert two.tables.verify(name) == {}
    first, second = (worker.node.partition(":")[2] for worker in two.workers())
    bad, lost = table.addresses[0], table.addresses[1]
    path = Path(first, "objects", bad[:4], bad[4:8], bad[8:])
    path.chmod(0o600)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    Path(second, "objects", lost[:4], lost[4:8], lost[8:]).unlink()
    wrong = {node.partition(":")[2]: found for node, found in two.tables.verify(name).items()}
    assert set(wrong) == {first, second}
    assert "corrupt" in wrong[first][bad]
    assert wrong[second] == {lost: "missing"}
    two.tables.rebalance(name)
    assert two.tables.verify(name) == {}


def test_a_worker_that_lacks_a_shard_pulls_it_from_another_node(
    two: Grid, source: str, name: str
) -> None:
    table = two.tables.deploy(source, name, shards=4, columns=["id"])
    first = two.workers()[0]
    mine = [shard.address for shard in table.shards if first.node in shard.nodes]
    others = sorted(set(table.addresses) - set(mine))
    assert others
    assert not any(two.cluster.ask(first.address, "has", addresses=others))
    holder = two.workers()[1].address
    assert not two.cluster.ask(first.address, "fetch", wanted=[(a, [holder]) for a in others])
    assert all(two.cluster.ask(first.address, "has", addresses=others))
    missing = "0" * 20
    assert two.cluster.ask(first.address, "fetch", wanted=[(missing, [holder])]) == (missing,)


def test_statistics_leave_out_shards_that_cannot_match_and_nothing_else(
    two: Grid, source: str, name: str
) -> None:
    table = two.tables.deploy(source, name, "x", shards=5)
    rows = original(source)
    for where in (
        pc.field("x") > 90,
        (pc.field("x") < 10) | (pc.field("x") == 50),
        ~(pc.field("f") > 0),
        pc.field("x") > 1000,
        pc.field("x").isin([3, 99]),
    ):
        assert two.map_reduce(name, len, operator.add, where=where) == rows.filter(where).num_rows
    assert len(table.matching(pc.field("x") > 90)) == 1
    assert len(table.matching(pc.field("x") > 1000)) == 1  # one stays, so that the mapper is called
    assert len(table.matching("x > 90")) == 5
    assert two.map_reduce(name, len, operator.add, where="x > 90") == (
        rows.filter(pc.field("x") > 90).num_rows
    )


def test_a_shard_with_nan_is_not_left_out_for_its_bounds(
    two: Grid, name: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"f": [1.0, 2.0, 1.0, float("nan")]}), tmp_path / "n.parquet")
    table = two.tables.deploy(str(tmp_path / "n.parquet"), name, shards=2)
    assert [shard.stats["f"].high for shard in table.shards] == [2.0, 1.0]
    assert [shard.index for shard in table.matching(pc.field("f") > 10)] == [1]
