"""Points on the sphere in cubic cells, so that near ones are found by equal numbers. Pure.

The cube about the sphere is cut into cells at least four chords wide. A row of a table lies in one
cell, whose number SQL works out of its position; a point that is looked for is noted in every cell
that something near enough could lie in, which are one to eight, mostly one or two. An equality join
over these numbers leaves few pairs to measure, and DuckDB does it with a hash table of the points: a
shard is read once, without an index of its own, whatever the number of points.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from fscache.errors import SQLError

AXIS = 1 << 21
"""Factor between the cell numbers of two axes; fewer cells than this lie along one."""
_FINEST = 2.0**-19
_MARGIN = 1e-12  # of rounding, in positions and in cell numbers


def chord(angle: float) -> float:
    """Return the straight distance between two points that are an angle apart."""
    return float(2 * np.sin(min(angle, np.pi) / 2))


def width(chord: float) -> float:
    """Return the width of a cell."""
    return max(4 * chord, _FINEST)


def as_points(coordinates: Any) -> np.ndarray[Any, Any]:
    """Return positions as an array of unit vectors, one in a row.

    Args:
        coordinates: Two rows, RA and Dec in radians, or three, of unit vectors.

    Raises:
        SQLError: it is neither.
    """
    try:
        rows = np.asarray(coordinates, dtype=np.float64)
    except (TypeError, ValueError):
        raise SQLError("positions are numbers") from None
    if rows.ndim != 2 or len(rows) not in (2, 3):
        raise SQLError("positions are two rows (RA and Dec) or three (unit vectors)")
    if len(rows) == 2:
        ra, dec = rows
        rows = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    return np.ascontiguousarray(rows.T)


def pack(points: np.ndarray[Any, Any]) -> bytes:
    """Return points as bytes: one value of a query, however many there are."""
    return points.astype("<f8").tobytes()


def unpack(data: bytes) -> np.ndarray[Any, Any]:
    """Return what `pack` has packed."""
    return np.frombuffer(data, dtype="<f8").reshape(-1, 3)


def spread(points: np.ndarray[Any, Any], chord: float) -> list[np.ndarray[Any, Any]]:
    """Return cell, number of the point and x, y, z, as often as a point is noted in a cell.

    A point with NaN lies nowhere.
    """
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    where = points[known]
    scale = 1 / width(chord)
    low = np.floor((where - chord - _MARGIN + 1) * scale).astype(np.int64)
    high = np.floor((where + chord + _MARGIN + 1) * scale).astype(np.int64)
    found = []
    for corner in product((0, 1), repeat=3):
        cell = low + np.asarray(corner)
        there = (cell <= high).all(axis=1)
        number = (cell[there] * (AXIS * AXIS, AXIS, 1)).sum(axis=1)
        found.append((number, known[there], *where[there].T))
    return [np.ascontiguousarray(np.concatenate(column)) for column in zip(*found, strict=True)]
