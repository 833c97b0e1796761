"""NumPy's arrays and scalars as `.npy`, the one format for them that any tool reads.

Arrays come back read-only: a small one shares the bytes it was read as, a large one is mapped from its
object. An array of Python objects is refused: reading it would unpickle.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fscache.kv.codec import Buffer


def encode(value: Any) -> tuple[bytes, list[Buffer]] | None:
    """Return the letter and body of an array or scalar, None for what is neither, or no data."""
    letter = b"a" if type(value) in (np.ndarray, np.memmap) else b"g"
    if letter == b"g" and not isinstance(value, np.generic):
        return None
    array = np.asarray(value)
    if array.dtype.hasobject:
        return None
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    if not array.flags.c_contiguous and not fortran:
        array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    flat = array.reshape(-1, order="F" if fortran else "C")
    return letter, [header.getvalue(), flat.view(np.uint8).data if flat.size else b""]


def decode(body: bytes) -> Any:
    """Return the array of a body, sharing its bytes."""
    stream = io.BytesIO(body)
    shape, fortran, dtype = _header(stream)
    flat = np.frombuffer(body, dtype=dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def open_mapped(path: str) -> Any:
    """Return the array in a file, mapped: nothing is read before it is looked at."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    return read(stream)
