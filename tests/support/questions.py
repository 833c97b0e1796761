"""QuickDB's questions with their right answers, for any way to ask them.

`Ask` is `fscache.bridges.quickdb.run_sql` with a grid, or without one; the catalogue is `catalogue.make`
under the name `sky`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.bridges.quickdb import QueryResult
    from tests.support.catalogue import Sky

    Ask = Callable[..., QueryResult]
    Question = Callable[[Ask, Sky], None]

QUESTIONS: dict[str, Question] = {}


def question(check: Question) -> Question:
    QUESTIONS[check.__name__] = check
    return check


def groups(result: QueryResult) -> dict[Any, Any]:
    """Results by the key of their group."""
    keys, *columns = result.target_list
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, zip(*columns, strict=True), strict=True))


@question
def count_of_all(ask: Ask, sky: Sky) -> None:
    result = ask("SELECT count(*) AS n FROM sky")
    assert result.target_names == ["$group_by", "n"]
    assert result.target_list == [[None], [len(sky)]]


@question
def count_of_some(ask: Ask, sky: Sky) -> None:
    assert ask("SELECT count(*) FROM sky WHERE id % 5 = 2").target_list[1] == [
        (sky.id % 5 == 2).sum()
    ]
    assert ask("SELECT count(*) FROM sky WHERE id < 0").target_list == [[None], [0]]


@question
def groups_of_a_flag(ask: Ask, sky: Sky) -> None:
    found = groups(ask("SELECT count(*) FROM sky GROUP BY best.primary"))
    assert found == {(flag,): ((sky.primary == flag).sum(),) for flag in (False, True)}


@question
def groups_of_a_comparison_that_nan_fails(ask: Ask, sky: Sky) -> None:
    found = groups(ask("SELECT count(*) FROM sky GROUP BY best.i.ext < 0.5"))
    star = sky.ext["i"] < 0.5
    assert found == {(flag,): ((star == flag).sum(),) for flag in (False, True)}
    found = groups(ask("SELECT count(*) FROM sky GROUP BY best.i.ext >= 0.5"))
    galaxy = sky.ext["i"] >= 0.5
    assert found == {(flag,): ((galaxy == flag).sum(),) for flag in (False, True)}


@question
def groups_of_an_expression(ask: Ask, sky: Sky) -> None:
    found = groups(ask("SELECT count(*) FROM sky GROUP BY id % 10"))
    assert found == {(n,): ((sky.id % 10 == n).sum(),) for n in range(10)}


@question
def groups_of_two_keys(ask: Ask, sky: Sky) -> None:
    found = groups(
        ask("SELECT count(*) FROM sky WHERE id % 3 = 0 GROUP BY id % 2, best.i.ext < 0.5")
    )
    third = sky.id % 3 == 0
    star = sky.ext["i"] < 0.5
    assert found == {
        (odd, flag): ((third & (sky.id % 2 == odd) & (star == flag)).sum(),)
        for odd in (0, 1)
        for flag in (False, True)
    }


@question
def arithmetic_on_an_aggregate(ask: Ask, sky: Sky) -> None:
    assert ask("SELECT 2 * count(*) FROM sky").target_list[1] == [2 * len(sky)]


@question
def an_aggregate_several_times(ask: Ask, sky: Sky) -> None:
    found = groups(ask("SELECT count(*)+count(*)-2*count(*) FROM sky GROUP BY best.primary"))
    assert found == {(False,): (0,), (True,): (0,)}


@question
def what_is_the_same_in_a_group(ask: Ask, sky: Sky) -> None:
    found = groups(ask("SELECT (id % 2 + 1) * 2, count(*) FROM sky GROUP BY id % 2"))
    assert found == {(odd,): ((odd + 1) * 2, (sky.id % 2 == odd).sum()) for odd in (0, 1)}
    with pytest.raises(RuntimeError, match="id"):
        ask("SELECT id, count(*) FROM sky GROUP BY id % 2")
    result = ask("SELECT (id % 2 + 1) * 2 AS x FROM sky GROUP BY id % 2")
    assert sorted(result.target_list[0]) == [2, 4]


@question
def a_shared_value(ask: Ask, sky: Sky) -> None:
    result = ask("SELECT count(*), shared.msg FROM sky", shared={"msg": "Hello world"})
    assert result.target_list[1:] == [[len(sky)], ["Hello world"]]


@question
def exact_limits(ask: Ask, sky: Sky) -> None:
    result = ask("SELECT min(id), max(id) FROM sky")
    assert result.target_list[1:] == [[sky.id.min()], [sky.id.max()]]


@question
def finite_limits(ask: Ask, sky: Sky) -> None:
    ((found,),) = groups(ask("SELECT minmax(best.i.psf_flux) FROM sky")).values()
    known = sky.flux["i"][np.isfinite(sky.flux["i"])]
    assert (found.min, found.max) == (known.min(), known.max())
    result = ask("SELECT min(best.i.psf_flux), max(best.i.psf_flux) FROM sky")
    assert result.target_list[1:] == [[known.min()], [known.max()]]


@question
def a_sum_that_does_not_overflow(ask: Ask, sky: Sky) -> None:
    result = ask("SELECT sum(id) FROM sky WHERE id % 100 = 0")
    total = sum(int(each) for each in sky.id if each % 100 == 0)
    assert int(result.target_list[1][0]) == total
    result = ask("SELECT sum(id) FROM sky")
    assert int(result.target_list[1][0]) == sum(map(int, sky.id)) > 1 << 63


@question
def a_sum_as_of_the_rows(ask: Ask, sky: Sky) -> None:
    result = ask("SELECT sum(id % 100) FROM sky")
    assert int(result.target_list[1][0]) == (sky.id % 100).sum()


@question
def aggregates_within_aggregates(ask: Ask, sky: Sky) -> None:
    found = groups(ask("SELECT sum(id - min(id)), count(*) FROM sky GROUP BY best.primary"))
    for flag in (False, True):
        ids = sky.id[sky.primary == flag]
        assert tuple(map(int, found[flag,])) == ((ids - ids.min()).sum(), len(ids))
    result = ask("SELECT max(id - min(id)) FROM sky WHERE id % 2 = 0")
    even = sky.id[sky.id % 2 == 0]
    assert result.target_list[1] == [even.max() - even.min()]


@question
def a_histogram_of_the_whole_range(ask: Ask, sky: Sky) -> None:
    (((counts, edges),),) = groups(
        ask("SELECT histogram(flux2mag(best.i.psf_flux)) FROM sky")
    ).values()
    known = sky.mag("i")[np.isfinite(sky.mag("i"))]
    right, limits = np.histogram(known, bins=50)
    np.testing.assert_array_equal(counts, right)
    np.testing.assert_allclose(edges, limits, rtol=1e-13)


@question
def histograms_of_groups(ask: Ask, sky: Sky) -> None:
    found = groups(
        ask(
            "SELECT histogram(best.i.psf_mag, range => (10,30), bins => 50) FROM sky"
            " WHERE best.primary GROUP BY best.i.ext < 0.5"
        )
    )
    star = sky.ext["i"] < 0.5
    known = np.isfinite(sky.mag("i")) & sky.primary
    for flag in (False, True):
        right, limits = np.histogram(sky.mag("i")[known & (star == flag)], bins=50, range=(10, 30))
        counts, edges = found[flag,][0]
        np.testing.assert_array_equal(counts, right)
        np.testing.assert_array_equal(edges, limits)


@question
def a_histogram_of_two_colours(ask: Ask, sky: Sky) -> None:
    (((counts, xedges, yedges),),) = groups(
        ask(
            "SELECT histogram2d(best.g.psf_mag - best.r.psf_mag, best.r.psf_mag - best.i.psf_mag,"
            " bins => (200,400), range => ((-0.5,2.),(-0.5,2.5))) FROM sky WHERE best.i.ext < 0.5"
        )
    ).values()
    with np.errstate(all="ignore"):
        x, y = sky.mag("g") - sky.mag("r"), sky.mag("r") - sky.mag("i")
        keep = (sky.ext["i"] < 0.5) & np.isfinite(x) & np.isfinite(y)
    limits = ((-0.5, 2.0), (-0.5, 2.5))
    right = np.histogram2d(x[keep], y[keep], bins=(200, 400), range=limits)
    for mine, other in zip((counts, xedges, yedges), right, strict=True):
        np.testing.assert_array_equal(mine, other)


@question
def a_map_of_number_counts(ask: Ask, sky: Sky) -> None:
    (((counts, xedges, yedges),),) = groups(
        ask(
            "SELECT histogram2d(best.pos_ra*degree, best.pos_dec*degree, bins => (200,200)) FROM sky"
            " WHERE best.pos_ra*degree BETWEEN 210 AND 240 AND best.pos_dec*degree BETWEEN -10 AND 10"
        )
    ).values()
    x, y = np.degrees(sky.ra), np.degrees(sky.dec)
    inside = (x >= 210) & (x <= 240) & (y >= -10) & (y <= 10)
    assert counts.shape == (200, 200)
    assert counts.sum() == inside.sum() > 1000
    np.testing.assert_allclose([xedges[0], xedges[-1]], [x[inside].min(), x[inside].max()])
    np.testing.assert_allclose([yedges[0], yedges[-1]], [y[inside].min(), y[inside].max()])


@question
def some_rows(ask: Ask, sky: Sky) -> None:
    result = ask("SELECT id FROM sky LIMIT 100")
    assert result.target_names == ["col0"]
    assert len(set(result.target_list[0]) & set(sky.id)) == 100


@question
def some_of_chosen_rows(ask: Ask, sky: Sky) -> None:
    (ids,) = ask("SELECT id FROM sky WHERE NOT id % 2 = 0 LIMIT 100").target_list
    assert len(ids) == 100
    assert (ids % 2 == 1).all()


@question
def least_and_greatest(ask: Ask, sky: Sky) -> None:
    known = np.sort(sky.flux["i"][~np.isnan(sky.flux["i"])])
    for direction, right in (("", known[:100]), ("DESC", known[::-1][:100])):
        (found,) = ask(
            "SELECT best.i.psf_flux FROM sky WHERE NOT isnan(best.i.psf_flux)"
            f" ORDER BY best.i.psf_flux {direction} LIMIT 100"
        ).target_list
        np.testing.assert_array_equal(found, right)


@question
def an_order_by_what_is_not_shown(ask: Ask, sky: Sky) -> None:
    result = ask(
        "SELECT id, flux2mag(best.i.psf_flux), best.pos[0] AS x FROM sky WHERE best.primary"
        " ORDER BY flux2mag(best.i.psf_flux) - flux2mag(best.r.psf_flux) DESC LIMIT 1000"
    )
    assert result.target_names == ["col0", "col1", "x"]
    ids, mags, xs = result.target_list
    row = {each: n for n, each in enumerate(sky.id.tolist())}
    rows = [row[each] for each in ids.tolist()]
    with np.errstate(all="ignore"):
        colour = sky.mag("i") - sky.mag("r")
    right = np.sort(colour[sky.primary & ~np.isnan(colour)])[::-1][:1000]
    np.testing.assert_allclose(colour[rows], right, rtol=1e-12)
    np.testing.assert_allclose(mags, sky.mag("i")[rows], rtol=1e-14)
    np.testing.assert_array_equal(xs, sky.pos[rows, 0])


@question
def a_shared_value_beside_where(ask: Ask, sky: Sky) -> None:
    query = "SELECT 0*id + shared.answer FROM sky WHERE id > 0 LIMIT 1"
    assert ask(query, shared={"answer": 42}).target_list[0].tolist() == [42]


@question
def matches_with_a_list(ask: Ask, sky: Sky) -> None:
    chosen = np.flatnonzero(sky.primary)[::7]
    mine = np.degrees(np.stack([sky.ra[chosen], sky.dec[chosen]]))
    mine[1] += np.where(np.arange(len(chosen)) % 2 == 0, 3 / 3600, 8 / 3600)
    query = (
        "SELECT crossmatch(best.pos, shared.mine / degree, 5 / arcsec, id, best.pos_ra*degree,"
        " best.pos_dec*degree) FROM sky WHERE best.primary AND best.i.psf_mag < 25."
    )
    ((found,),) = groups(ask(query, shared={"mine": mine})).values()
    with np.errstate(all="ignore"):
        keep = sky.primary & (sky.mag("i") < 25.0)
    right = {(n, sky.id[row]) for n, row in enumerate(chosen) if n % 2 == 0 and keep[row]}
    ids, ra, _dec = found.fields
    assert set(zip(found.obj_indices.tolist(), ids.tolist(), strict=True)) >= right
    # Another row may be as near by chance; every pair is near.
    np.testing.assert_allclose(ra, mine[0][found.obj_indices], atol=6 / 3600)
    assert len(right) <= len(ids) <= len(right) + 5
    far = np.array([[0.0], [89.0]])
    ((nothing,),) = groups(ask(query, shared={"mine": far})).values()
    assert [len(each) for each in (nothing.obj_indices, *nothing.fields)] == [0, 0, 0, 0]


@question
def an_unknown_function(ask: Ask, sky: Sky) -> None:
    with pytest.raises(RuntimeError, match="No such function"):
        ask("SELECT nosuch(*) FROM sky LIMIT 10")


@question
def a_query_that_sleeps(ask: Ask, sky: Sky) -> None:
    assert ask("SELECT sleep(0.1) FROM sky").target_list[1] == [0]


@question
def rows_as_they_come(ask: Ask, sky: Sky) -> None:
    parts: list[Any] = []
    ask("SELECT id FROM sky", progress=parts.append, streaming=True)
    assert sum(len(part.data[0]) for part in parts) == len(sky)
    assert set(np.concatenate([part.data[0] for part in parts])) == set(sky.id)
    parts.clear()
    ask("SELECT id FROM sky LIMIT 5", progress=parts.append, streaming=True)
    assert sum(len(part.data[0]) for part in parts) == 5
    with pytest.raises(RuntimeError, match="Aggregation"):
        ask("SELECT count(*) FROM sky", streaming=True)
