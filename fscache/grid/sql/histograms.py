"""`minmax`, `histogram` and `histogram2d` as SQL that any two-phase plan can take apart. Pure.

    histogram(x, bins => 50, range => (10, 30))       counts BIGINT[], edges DOUBLE[]
    histogram2d(x, y, bins => (200, 400))             counts BIGINT[][], xedges, yedges

Bins are NumPy's: half open, the last one closed, and the edges that come back decide to the last bit.
Nulls, NaN and what lies outside are not counted. Without `range` it runs from the least to the
greatest finite value, of each group by itself; that takes a pass over the data of its own.

`fscache_bin` turns a row into the number of its bin, DuckDB's own `histogram` counts these numbers, and
`fscache_dense` (all in `arrays`) makes a list of the counts: 26 million magnitudes a second on one core.
`histogram_exact`, which needs no such helper, took 14 times as long for 200 × 400 bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sqlglot import exp

from fscache.errors import SQLError
from fscache.grid.sql.snippets import evaluate, fill, named, number, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_BINS = 50
_MOST_BINS = 10_000_000

_LOW = "min(CASE WHEN isfinite(_x) THEN _x END)"
_HIGH = "max(CASE WHEN isfinite(_x) THEN _x END)"
_SPREAD = "(CASE WHEN _l = _h THEN 0.5 ELSE 0.0 END)::DOUBLE"  # one value: a bin about it
_MINMAX = f"{{'min': {_LOW}, 'max': {_HIGH}}}"
_DENSE = "fscache_dense(histogram(_bin::INTEGER)::MAP(INTEGER, BIGINT), _n)"
_EDGES = "fscache_edges(_lo, _hi, _n)"
_FOLD = "fscache_fold(_flat, _ny)"


class Axis:
    """One axis: how a row finds its bin, and where the edges are."""

    def __init__(self, value: exp.Expr, bins: Any, limits: Any) -> None:
        """Divide an axis.

        Args:
            value: What is counted.
            bins: How many, or their edges.
            limits: Least and greatest value; by default those of the data.

        Raises:
            SQLError: these are no bins, or no limits.
        """
        self._value = fill("_x::DOUBLE", _x=value)
        self._given: np.ndarray[Any, Any] | None = None
        if not np.iterable(bins):
            self.count = _count(bins)
            if limits is None:
                self._low, self._high = _limits_of_data(value)
            else:
                self._low, self._high = map(number, _limits(limits))
        else:
            self._given = _edges(bins)
            self.count = len(self._given) - 1

    def index(self, out: int) -> exp.Expr:
        """Return the number of a row's bin; `out` is added where it lies in none."""
        if self._given is not None:
            return fill(
                "_inside + fscache_outside(_x, _lo, _hi) * _out",
                _inside=_search(self._value, self._given, 0, self.count),
                _x=self._value,
                _lo=number(self._given[0]),
                _hi=number(self._given[-1]),
                _out=_whole(out),
            )
        return fill(
            "fscache_bin(_x, _lo, _hi, _n, _out)",
            _x=self._value,
            _lo=self._low,
            _hi=self._high,
            _n=_whole(self.count),
            _out=_whole(out),
        )

    def edges(self) -> exp.Expr:
        """Return the edges, one more than bins."""
        if self._given is not None:
            return numbers(self._given)
        return fill(_EDGES, _n=_whole(self.count), _lo=self._low, _hi=self._high)


def minmax(call: exp.Anonymous) -> exp.Expr:
    """Return least and greatest finite value as a struct; nulls where there is none."""
    place, _ = named(call, ())
    if len(place) != 1:
        raise SQLError("minmax takes one argument")
    return fill(_MINMAX, _x=place[0])


def is_ours(call: exp.Anonymous) -> bool:
    """Whether a call of `histogram` is not DuckDB's own: a number of bins, a tuple, or a range."""
    given = {each.this.name.lower(): each.expression for each in call.find_all(exp.Kwarg)}
    return bool(given) and not (set(given) == {"bins"} and isinstance(given["bins"], exp.Array))


def histogram(call: exp.Anonymous, shared: Mapping[str, Any]) -> exp.Expr:
    """Return counts and edges as a struct."""
    place, given = _arguments(call, shared)
    if len(place) != 1:
        raise SQLError("histogram takes one argument, and bins and range by name")
    axis = Axis(place[0], given["bins"], given["range"])
    counts = fill(_DENSE, _bin=axis.index(axis.count), _n=_whole(axis.count))
    return fill("{'counts': _counts, 'edges': _edges}", _counts=counts, _edges=axis.edges())


def histogram2d(call: exp.Anonymous, shared: Mapping[str, Any]) -> exp.Expr:
    """Return counts, as a list for each bin of the first argument, and both edges as a struct."""
    place, given = _arguments(call, shared)
    if len(place) != 2:
        raise SQLError("histogram2d takes two arguments, and bins and range by name")
    many = given["bins"]
    bins = list(many) if np.iterable(many) else [many, many]
    limits = [None, None] if given["range"] is None else given["range"]
    if len(bins) != 2 or len(limits) != 2:
        raise SQLError("histogram2d takes bins and range for each of two axes")
    x, y = (Axis(*axis) for axis in zip(place, bins, limits, strict=True))
    cells = x.count * y.count
    if cells > _MOST_BINS:
        raise SQLError(f"{cells} bins; there may be {_MOST_BINS}")
    index = fill("_i * _ny + _j", _i=x.index(x.count), _j=y.index(cells), _ny=_whole(y.count))
    flat = fill(_DENSE, _bin=index, _n=_whole(cells))
    return fill(
        "{'counts': _counts, 'xedges': _xedges, 'yedges': _yedges}",
        _counts=fill(_FOLD, _flat=flat, _ny=_whole(y.count)),
        _xedges=x.edges(),
        _yedges=y.edges(),
    )


def _arguments(
    call: exp.Anonymous, shared: Mapping[str, Any]
) -> tuple[list[exp.Expr], dict[str, Any]]:
    place, given = named(call, ("bins", "range"))
    known: dict[str, Any] = {name: evaluate(value, shared) for name, value in given.items()}
    return place, {"bins": known.get("bins", _DEFAULT_BINS), "range": known.get("range")}


def _limits_of_data(value: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    low, high = fill(_LOW, _x=value), fill(_HIGH, _x=value)
    spread = fill(_SPREAD, _l=low, _h=high)
    return (
        fill("_l::DOUBLE - _s", _l=low, _s=spread),
        fill("_h::DOUBLE + _s", _h=high, _s=spread),
    )


def _limits(limits: Any) -> tuple[float, float]:
    try:
        low, high = (float(each) for each in limits)
    except (TypeError, ValueError):
        raise SQLError("a range is two numbers") from None
    if not (np.isfinite([low, high]).all() and low <= high):
        raise SQLError(f"a range goes from a number to a greater one, not from {low} to {high}")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _count(bins: Any) -> int:
    if int(bins) != bins or not 1 <= bins <= _MOST_BINS:
        raise SQLError(f"bins is a whole number from 1 to {_MOST_BINS}, or their edges")
    return int(bins)


def _edges(bins: Any) -> np.ndarray[Any, Any]:
    try:
        edges = np.asarray(bins, dtype=np.float64)
    except (TypeError, ValueError):
        raise SQLError("edges are numbers") from None
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise SQLError("edges are two or more numbers, each greater than the one before")
    return edges


def _search(value: exp.Expr, edges: np.ndarray[Any, Any], low: int, high: int) -> exp.Expr:
    """Return a binary search for the bin among `low` to `high`."""
    if high - low == 1:
        return _whole(low)
    middle = (low + high) // 2
    return fill(
        "CASE WHEN _x < _edge THEN _below ELSE _above END",
        _x=value,
        _edge=number(edges[middle]),
        _below=_search(value, edges, low, middle),
        _above=_search(value, edges, middle, high),
    )


def _whole(value: int) -> exp.Expr:
    return exp.Literal.number(value)
