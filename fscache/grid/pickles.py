"""Pickles that also carry functions and classes of notebooks, scripts and the command line.

What another process can import goes by name, at the speed of `pickle`; what lives in `__main__`, in a
function or in a lambda goes by value (cloudpickle). A module that only this machine has must be
registered once, with `cloudpickle.register_pickle_by_value(module)`.

These pickles travel between processes of one user, over connections that both ends have authenticated
(docs/grid.md); nothing else is ever unpickled.
"""

from __future__ import annotations

import pickle
from typing import Any


def dumps(value: Any) -> bytes:
    """Return `value` as bytes.

    Raises:
        TypeError, pickle.PicklingError, AttributeError: it cannot be pickled.
    """
    try:
        data = pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - pickle raises whatever it likes for what cloudpickle can do
        return _by_value(value)
    # A class of __main__ pickles well, by a name that means another module elsewhere.
    return _by_value(value) if b"__main__" in data else data


def check(value: Any) -> None:
    """Raise what `dumps` would; arrays are left where they are meanwhile."""
    try:
        arrays: list[pickle.PickleBuffer] = []
        pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    except Exception:  # noqa: BLE001 - as in `dumps`
        _by_value(value)


def loads(data: bytes) -> Any:
    """Return what `dumps` was given."""
    return pickle.loads(data)  # noqa: S301 - see the module's text


def _by_value(value: Any) -> bytes:
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, protocol=5)
    return data
