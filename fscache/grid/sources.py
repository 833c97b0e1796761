"""What tables are made of: files of one kind, as Arrow.

Parquet is read by pyarrow or, where rows are sorted, by DuckDB; CSV by DuckDB, which looks at every row
before it decides on types; FITS by astropy; NumPy's files by NumPy, never unpickling anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fscache.errors import TableSourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa

_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".fits": "fits",
    ".fit": "fits",
    ".fits.gz": "fits",
    ".npy": "numpy",
    ".npz": "numpy",
}
_CSV_SHRINKS = 0.4  # Parquet's size over CSV's, and over a compressed one's
_GZ_GROWS = 4.0


class Source:
    """The files of one table."""

    def __init__(self, path: str, table: str) -> None:
        """Look at a file or directory.

        Raises:
            TableSourceError: there is nothing to read, or files of several kinds.
        """
        self.path = os.path.abspath(path)
        self.table = table
        self.files = _files(self.path, table)
        kinds = {kind_of(file) for file in self.files}
        if len(kinds) != 1:
            raise TableSourceError(
                f"files of several kinds in {path}: {sorted(map(str, kinds))}", table
            )
        self.kind = str(kinds.pop())
        self.fingerprint = [
            [os.path.relpath(file, self.path), status.st_size, status.st_mtime_ns]
            for file, status in ((file, os.stat(file)) for file in self.files)
        ]

    @property
    def estimate(self) -> int:
        """About how many bytes it will be as Parquet."""
        size = 0.0
        for file in self.files:
            grows = _GZ_GROWS if file.endswith(".gz") else 1.0
            size += os.path.getsize(file) * grows * (_CSV_SHRINKS if self.kind == "csv" else 1.0)
        return int(size)

    def relation(self, connection: Any) -> str:
        """Make the rows available to a DuckDB connection; return the SQL that names them."""
        from fscache.grid.engine import literal, parquet

        if self.kind == "parquet":
            return parquet(self.files)
        listed = "[" + ", ".join(map(literal, self.files)) + "]"
        if self.kind == "csv":
            # Every row is looked at: a sample's types fail on the row that has something else.
            return f"read_csv({listed}, union_by_name = true, sample_size = -1)"
        connection.register("source", self._reader())
        return "source"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of FITS or NumPy files."""
        for file in self.files:
            yield from _table(file, self.kind, self.table).to_batches()

    def _reader(self) -> pa.RecordBatchReader:
        import pyarrow as pa

        first = _table(self.files[0], self.kind, self.table)

        def batches() -> Iterator[pa.RecordBatch]:
            for file in self.files:
                table = first if file == self.files[0] else _table(file, self.kind, self.table)
                if not table.schema.equals(first.schema):
                    raise TableSourceError(
                        f"{file} has other columns than {self.files[0]}", self.table
                    )
                yield from table.to_batches()

        return pa.RecordBatchReader.from_batches(first.schema, batches())


def kind_of(path: str) -> str | None:
    """Return the kind of a file by its name, None if it is none of ours."""
    name = os.path.basename(path).lower()
    for suffix, kind in sorted(_KINDS.items(), key=lambda item: -len(item[0])):
        if name.endswith(suffix):
            return kind
    return None


def _files(path: str, table: str) -> list[str]:
    if os.path.isfile(path):
        found = [path]
    else:
        found = sorted(
            os.path.join(directory, name)
            for directory, _names, names in os.walk(path)
            for name in names
            if kind_of(name) is not None and not name.startswith((".", "_"))
        )
    found = [file for file in found if kind_of(file) is not None]
    if not found:
        raise TableSourceError(f"no Parquet, CSV, FITS or NumPy file at {path}", table)
    return found


def _table(file: str, kind: str, table: str) -> pa.Table:
    """Return a FITS or NumPy file as Arrow."""
    import numpy as np
    import pyarrow as pa

    try:
        columns = _fits(file) if kind == "fits" else _numpy(file)
        return pa.table({name: to_arrow(np.asarray(values)) for name, values in columns.items()})
    except (OSError, ValueError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise TableSourceError(f"{file}: {exc}", table) from exc


def _fits(file: str) -> dict[str, Any]:
    from astropy.io import fits

    with fits.open(file, memmap=not file.endswith(".gz")) as units:
        for unit in units:
            if isinstance(unit, fits.BinTableHDU | fits.TableHDU):
                # Copied out while the file is open: memory-mapped pages end with it.
                return {name: unit.data[name].copy() for name in unit.columns.names}
    raise ValueError("it has no table")


def _numpy(file: str) -> dict[str, Any]:
    import numpy as np

    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        if loaded.dtype.names:
            return {name: loaded[name] for name in loaded.dtype.names}
        return {"value": loaded}
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def to_arrow(values: np.ndarray[Any, Any]) -> pa.Array:
    """Return an array as an Arrow column; those of several dimensions as lists of fixed length."""
    import numpy as np
    import pyarrow as pa

    if values.ndim > 1:
        flat = to_arrow(values.reshape(len(values), -1).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))
    if values.dtype.kind == "S":
        return pa.array([text.decode("latin-1") for text in values.tolist()], pa.string())
    if values.dtype.kind == "U":
        return pa.array(values.tolist(), pa.string())
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))  # FITS is big-endian, Arrow is not
    return pa.array(values)
