"""The paths that are handed out: `pathlib.Path`, without making a new process import pathlib.

Importing pathlib costs 9.4 ms of a process that starts in 9.3 (CPython 3.11), more than everything
else a hit does. So where nobody has imported it yet, a hit hands out a `DeferredPath`: it knows its
text, and becomes a `pathlib.Path` for whoever asks for anything else. Programs that use pathlib get
the real thing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def as_path(text: str) -> Path:
    """Return the path of `text`."""
    # Not there yet either while another thread is in the midst of importing it.
    make: type[Path] | None = getattr(sys.modules.get("pathlib"), "Path", None)
    return DeferredPath(text) if make is None else make(text)  # type: ignore[return-value]


def _forward(name: str) -> object:
    def method(self: DeferredPath, *args: object) -> object:
        return getattr(self._path(), name)(*args)

    method.__name__ = name
    return method


class DeferredPath:
    """Stands for a `pathlib.Path`: `isinstance` says so, and every operation gives the real one's."""

    __slots__ = ("__weakref__", "_text")

    def __init__(self, text: str) -> None:
        self._text = text

    def _path(self) -> Path:
        from pathlib import Path

        return Path(self._text)

    def __fspath__(self) -> str:
        return self._text

    def __str__(self) -> str:
        return self._text

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._path())

    def __getattr__(self, name: str) -> object:
        return getattr(self._path(), name)

    def __reduce__(self) -> tuple[object, ...]:
        path = self._path()
        return type(path), (self._text,)

    for _name in (
        "bytes",
        "eq",
        "ge",
        "gt",
        "hash",
        "le",
        "lt",
        "ne",
        "repr",
        "rtruediv",
        "truediv",
    ):
        locals()[f"__{_name}__"] = _forward(f"__{_name}__")
    del _name
