"""Our functions in one DuckDB process: what they are turned into gives what NumPy gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest

from fscache.errors import SQLError
from fscache.grid.sql import functions
from fscache.grid.sql.dialect import read, write
from fscache.grid.sql.parse import _put_parameters
from tests.support.catalogue import make

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[..., Any]

SKY = make()
TABLES = {"sky": SKY.table(), "flat": SKY.flat()}


@pytest.fixture
def run() -> Any:
    connection = duckdb.connect(config={"threads": 1})
    functions.install(connection)
    for name, table in TABLES.items():
        connection.register(name, table)
    schemas = {name: table.schema for name, table in TABLES.items()}

    def ask(query: str, **shared: Any) -> Any:
        tree = read(query)
        before = write(tree)
        changed = functions.rewrite(tree, schemas=schemas, shared=shared)
        assert write(tree) == before
        parameters = _put_parameters(changed, shared, query)
        return connection.execute(write(changed), parameters)

    yield ask
    connection.close()


@pytest.fixture(params=["sky", "flat"])
def table(request: pytest.FixtureRequest) -> Any:
    """Nested columns, or columns whose names have dots."""
    return request.param


def finite(values: Any) -> Any:
    return values[np.isfinite(values)]


def test_minmax_is_of_finite_values(run: Ask, table: str) -> None:
    (found,) = run(f"SELECT minmax(best.i.psf_flux) FROM {table}").fetchone()
    known = finite(SKY.flux["i"])
    assert found == {"min": known.min(), "max": known.max()}
    assert run(f"SELECT minmax(id) FROM {table}").fetchone()[0]["max"] == SKY.id.max()
    nothing = run(f"SELECT minmax(best.i.psf_flux) FROM {table} WHERE id < 0").fetchone()
    assert nothing == ({"min": None, "max": None},)


def test_flux2mag_is_numpys_on_every_kind_of_number(run: Ask, table: str) -> None:
    query = f"SELECT flux2mag(best.i.psf_flux), best.i.psf_mag FROM {table} ORDER BY id"
    rows = np.array(run(query).fetchall())
    expected = SKY.mag("i")[np.argsort(SKY.id)]
    np.testing.assert_allclose(rows[:, 0], expected, rtol=1e-15)
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])


def test_magnitudes_keep_their_place_in_an_expression(run: Ask, table: str) -> None:
    query = f"SELECT 1 / best.i.psf_mag, best.g.psf_mag - best.i.psf_mag FROM {table} ORDER BY id"
    rows = np.array(run(query).fetchall())
    order = np.argsort(SKY.id)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(rows[:, 0], 1 / SKY.mag("i")[order], rtol=1e-14)
        np.testing.assert_allclose(rows[:, 1], (SKY.mag("g") - SKY.mag("i"))[order], rtol=1e-12)


@pytest.mark.parametrize("values", [[0.3, 0.1, 0.7, 1.0, 0.0], [5.0], list(range(11))])
@pytest.mark.parametrize("bins", [1, 3, 10, 50])
@pytest.mark.parametrize("limits", [None, (0, 1), (0.1, 0.7), (-3, 7.5)])
def test_edges_decide_as_numpys_do(run: Ask, values: Any, bins: Any, limits: Any) -> None:
    named = "" if limits is None else f", range => ({limits[0]}, {limits[1]})"
    listed = ", ".join(f"({value}::DOUBLE)" for value in values)
    query = f"SELECT histogram(x, bins => {bins}{named}) FROM (VALUES {listed}) t(x)"
    (found,) = run(query).fetchone()
    counts, edges = np.histogram(values, bins=bins, range=limits)
    assert found["counts"] == counts.tolist()
    np.testing.assert_array_equal(found["edges"], edges)


def test_a_histogram_has_the_range_of_its_group(run: Ask, table: str) -> None:
    query = f"SELECT best.primary p, histogram(best.i.psf_mag, bins => 20) FROM {table} GROUP BY p"
    for primary, found in run(query).fetchall():
        counts, edges = np.histogram(finite(SKY.mag("i")[SKY.primary == primary]), bins=20)
        assert found["counts"] == counts.tolist()
        np.testing.assert_allclose(found["edges"], edges, rtol=1e-14)


@pytest.mark.parametrize("source", ["(15, 18, 18.5, 22)", "shared.edges"])
def test_a_histogram_takes_edges(run: Ask, table: str, source: str) -> None:
    edges = np.array([15, 18, 18.5, 22])
    query = f"SELECT histogram(best.i.psf_mag, bins => {source}) FROM {table}"
    (found,) = run(query, edges=edges).fetchone()
    assert found["counts"] == np.histogram(finite(SKY.mag("i")), bins=edges)[0].tolist()
    assert found["edges"] == edges.tolist()


def test_a_histogram_of_no_rows_has_zeros(run: Ask, table: str) -> None:
    query = f"SELECT histogram(id, bins => 3, range => (0, 1)) FROM {table} WHERE id < 0"
    assert run(query).fetchone()[0]["counts"] == [0, 0, 0]
    query = f"SELECT histogram(best.i.psf_mag, bins => 3) FROM {table} WHERE id < 0"
    assert run(query).fetchone()[0] == {"counts": [0, 0, 0], "edges": None}


@pytest.mark.parametrize("bins", ["(20, 40)", "15", "((0, 0.5, 1, 2), 7)"])
def test_histogram2d_is_numpys(run: Ask, table: str, bins: Any) -> None:
    limits = ((-0.5, 2.0), (-0.5, 2.5))
    query = (
        "SELECT histogram2d(best.g.psf_mag - best.r.psf_mag, best.r.psf_mag - best.i.psf_mag,"
        f" bins => {bins}, range => {limits}) FROM {table} WHERE best.i.ext < 0.5"
    )
    (found,) = run(query).fetchone()
    with np.errstate(all="ignore"):
        x, y = SKY.mag("g") - SKY.mag("r"), SKY.mag("r") - SKY.mag("i")
        keep = (SKY.ext["i"] < 0.5) & np.isfinite(x) & np.isfinite(y)
    bins = [np.array(each) if isinstance(each, tuple) else each for each in _listed(eval(bins))]
    counts, xedges, yedges = np.histogram2d(x[keep], y[keep], bins=bins, range=limits)
    np.testing.assert_array_equal(found["counts"], counts)
    np.testing.assert_array_equal(found["xedges"], xedges)
    np.testing.assert_array_equal(found["yedges"], yedges)


def _listed(bins: Any) -> Any:
    return [bins, bins] if isinstance(bins, int) else bins


def test_duckdbs_own_histogram_stays_what_it_is(run: Ask) -> None:
    for call in (
        "histogram(id % 3)",
        "histogram(id % 3, [1, 2])",
        "histogram(id % 3, bins => [1, 2])",
    ):
        (found,) = run(f"SELECT {call} FROM sky").fetchone()
        assert found[2] == (SKY.id % 3 == 2).sum()


def test_an_aggregate_within_another_is_of_its_group(run: Ask, table: str) -> None:
    query = f"SELECT id % 3 k, sum(id - min(id)), max(abs(id - avg(id))) FROM {table} GROUP BY 1"
    for key, total, farthest in run(query).fetchall():
        ids = SKY.id[SKY.id % 3 == key]
        assert total == (ids - ids.min()).sum()
        assert farthest == pytest.approx(float(np.abs(ids - ids.mean()).max()), abs=8)
    query = f"SELECT sum(id - min(id - max(id))) FROM {table} WHERE id % 2 = 0"
    ids = SKY.id[SKY.id % 2 == 0]
    inner = (ids - ids.max()).min()
    assert run(query).fetchone()[0] == sum(int(each) - int(inner) for each in ids)


def _pairs(points: Any, radius: float, keep: Any) -> Any:
    """All pairs of points and rows of the catalogue, by measuring each."""
    ra, dec = points
    at = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    chord = 2 * np.sin(radius / 2)
    far = ((at[:, None, :] - SKY.pos[None, :, :]) ** 2).sum(axis=2)
    point, row = np.nonzero(far <= chord**2)
    inside = keep[row]
    return sorted(zip(point[inside].tolist(), SKY.id[row[inside]].tolist(), strict=True))


@pytest.mark.parametrize("radius", [5.0, 600.0, 36000.0])
@pytest.mark.parametrize("position", ["best.pos", "(best.pos_ra, best.pos_dec)"])
def test_crossmatch_finds_all_pairs(run: Ask, table: str, radius: float, position: str) -> None:
    rng = np.random.default_rng(5)
    chosen = rng.integers(0, len(SKY), 200)
    mine = np.degrees(np.stack([SKY.ra[chosen], SKY.dec[chosen]]))
    mine += rng.normal(0, radius / 3600 / 2, mine.shape)
    query = (
        f"SELECT crossmatch({position}, shared.mine / degree, {radius} / arcsec, id, best.pos_ra*degree)"
        f" AS m, count(*) FROM {table} WHERE best.primary"
    )
    found, rows = run(query, mine=mine).fetchone()
    assert rows == SKY.primary.sum()
    pairs = sorted(zip(found["obj_indices"], found["fields"]["id"], strict=True))
    expected = _pairs(np.radians(mine), np.radians(radius / 3600), SKY.primary)
    assert expected
    assert pairs == expected
    angle = dict(zip(SKY.id.tolist(), np.degrees(SKY.ra), strict=True))
    assert found["fields"]["field1"] == pytest.approx([angle[i] for i in found["fields"]["id"]])


def test_crossmatch_without_a_match_gives_empty_lists(run: Ask, table: str) -> None:
    far = np.array([[10.0], [80.0]])
    query = f"SELECT crossmatch(best.pos, shared.mine / degree, 5 / arcsec, id) FROM {table}"
    assert run(query, mine=far).fetchone() == ({"obj_indices": [], "fields": {"id": []}},)
    none = np.zeros((2, 0))
    assert run(query, mine=none).fetchone() == ({"obj_indices": [], "fields": {"id": []}},)


def test_crossmatch_of_groups_keeps_groups_without_a_match(run: Ask, table: str) -> None:
    mine = np.stack([SKY.pos[0], SKY.pos[7], [np.nan] * 3], axis=1)
    query = (
        f"SELECT id % 7 AS k, count(*), crossmatch(best.pos, shared.mine, 1 / arcsec, id) FROM {table}"
        " GROUP BY k"
    )
    rows = run(query, mine=mine).fetchall()
    assert sum(count for _, count, _ in rows) == len(SKY)
    found = {k: match["fields"]["id"] for k, _, match in rows}
    assert len(found) == 7
    for row in (0, 7):
        assert SKY.id[row] in found[SKY.id[row] % 7]
    assert sum(map(len, found.values())) == 2


def test_matches_across_the_pole_and_ra_zero() -> None:
    connection = duckdb.connect(config={"threads": 1})
    functions.install(connection)
    rng = np.random.default_rng(8)
    points = rng.normal(size=(400, 3))
    points[:200] = np.array([0, 0, 1]) + rng.normal(0, 1e-4, (200, 3))  # about the pole
    points[200:300] = np.array([1, 0, 0]) + rng.normal(0, 1e-4, (100, 3))  # about RA 0, Dec 0
    points /= np.linalg.norm(points, axis=1)[:, None]
    connection.register("t", _table(points))
    query = "SELECT crossmatch((x, y, z), shared.mine, 1e-4, i) FROM t"
    shared: dict[str, Any] = {"mine": points.T}
    tree = functions.rewrite(read(query), shared=shared)
    parameters = _put_parameters(tree, shared, query)
    (found,) = connection.execute(write(tree), parameters).fetchall()[0]
    near = ((points[:, None] - points[None]) ** 2).sum(axis=2) <= (2 * np.sin(5e-5)) ** 2
    pairs = set(zip(found["obj_indices"], found["fields"]["i"], strict=True))
    assert pairs == set(zip(*(each.tolist() for each in np.nonzero(near)), strict=True))
    assert len(found["obj_indices"]) == near.sum() > 400


def _table(points: Any) -> Any:
    import pyarrow as pa

    return pa.table({"i": np.arange(len(points)), **dict(zip("xyz", points.T, strict=True))})


def test_constants_give_way_to_columns_and_aliases(run: Ask) -> None:
    assert run("SELECT pi, 2 * degree FROM sky LIMIT 1").fetchone() == (np.pi, 2 * 180 / np.pi)
    assert run("SELECT pi FROM (SELECT 3 AS pi)").fetchone() == (3,)
    query = "WITH t(degree) AS (SELECT 4) SELECT degree FROM t"
    assert run(query).fetchone() == (4,)


def test_results_keep_the_name_that_they_were_given(run: Ask, table: str) -> None:
    query = (
        f"SELECT minmax(id), best.i.psf_mag, pi, count(*), minmax(id) AS m, best.pos_ra FROM {table}"
        " GROUP BY ALL LIMIT 1"
    )
    assert [column[0] for column in run(query).description] == [
        "minmax(id)",
        "psf_mag",
        "pi",
        "count_star()",
        "m",
        "pos_ra",
    ]


def test_a_query_without_our_functions_is_left_alone() -> None:
    for query in (
        "SELECT a, sum(b) OVER (PARTITION BY c), log10(d) FROM t WHERE isnan(e) GROUP BY ALL",
        "WITH s AS (SELECT 1 AS x) SELECT sum(sum(x)) OVER (), list(x ORDER BY x) FROM s GROUP BY x",
    ):
        tree = read(query)
        assert functions.rewrite(tree) == tree


@pytest.mark.parametrize(
    "call",
    [
        "minmax()",
        "minmax(id, id)",
        "histogram(id, bins => 0)",
        "histogram(id, bins => 1.5)",
        "histogram(id, bins => (3, 2))",
        "histogram(id, bins => id)",
        "histogram(id, range => (2, 1))",
        "histogram(id, range => 3)",
        "histogram(id, range => (1, 'x'))",
        "histogram(id, weights => id)",
        "histogram(id, bins => shared.nosuch)",
        "histogram2d(id, bins => 3)",
        "histogram2d(id, id, bins => (1, 2, 3))",
        "histogram2d(id, id, bins => 100000)",
        "crossmatch(best.pos, shared.mine)",
        "crossmatch(best.pos, shared.flat, 1)",
        "crossmatch(best.pos, shared.mine, id)",
        "crossmatch((1, 2, 3, 4), shared.mine, 1)",
        "crossmatch(best.pos, shared.words, 1)",
    ],
)
def test_wrong_arguments_are_told(run: Ask, call: str) -> None:
    with pytest.raises(SQLError):
        run(f"SELECT {call} FROM sky", mine=np.zeros((2, 3)), flat=[1, 2], words=[["a"], ["b"]])
