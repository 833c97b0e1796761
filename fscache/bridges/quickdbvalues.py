"""Values as QuickDB's client had them: NumPy's arrays, and tuples with names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


class MinMax(NamedTuple):
    """What `minmax` gives; NaN where no value is finite."""

    min: Any
    max: Any


class CrossMatch(NamedTuple):
    """What `crossmatch` gives: a number of the user's list, and values of the row, for each pair."""

    obj_indices: np.ndarray[Any, Any]
    fields: list[np.ndarray[Any, Any]]


def as_array(column: pa.ChunkedArray | pa.Array) -> np.ndarray[Any, Any]:
    """Return a column as an array; vectors of one length become a second dimension."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_nested(kind):
        values = column.to_pylist()
        if not pa.types.is_list(kind) and not pa.types.is_fixed_size_list(kind):
            return np.array(values, dtype=object)
        return np.array(values)
    found: np.ndarray[Any, Any] = (
        column.to_numpy()
        if isinstance(column, pa.ChunkedArray)
        else column.to_numpy(zero_copy_only=False)
    )
    return found


def as_value(value: Any) -> Any:
    """Return one value of an aggregate."""
    if not isinstance(value, dict):
        return value
    names = tuple(value)
    if names == ("min", "max"):
        return MinMax(*(np.nan if each is None else each for each in value.values()))
    if names in (("counts", "edges"), ("counts", "xedges", "yedges")):
        counts = np.array(value["counts"])
        edges = zip(counts.shape, list(value.values())[1:], strict=True)
        # Without a finite value there is no range.
        return counts, *(
            np.full(size + 1, np.nan) if each is None else np.array(each) for size, each in edges
        )
    if names and names[0] == "obj_indices":
        fields = [np.array(each) for each in value.get("fields", {}).values()]
        return CrossMatch(np.array(value["obj_indices"], dtype=np.int64), fields)
    return value
