"""What a thread prints, sent where it belongs: a mapper's text goes to whoever runs it, line by line.

Other threads of the process are not disturbed; nor is what goes past `sys.stdout` and `sys.stderr`, such
as a library that writes to the descriptor.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO


class Router:
    """Stands for sys.stdout and sys.stderr, and sends each thread's text where it belongs."""

    _local = threading.local()

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @classmethod
    def install(cls) -> None:
        """Stand in front of the process's streams; once."""
        for name in ("stdout", "stderr"):
            if not isinstance(getattr(sys, name), cls):
                setattr(sys, name, cls(getattr(sys, name)))

    @classmethod
    def to(cls, sink: Callable[[str], None]) -> _Routed:
        """`with Router.to(sink):` sends what this thread prints to `sink`, by whole lines."""
        return _Routed(cls._local, sink)

    def write(self, text: str) -> int:
        """Take text."""
        routed = getattr(self._local, "routed", None)
        if routed is None:
            return self._stream.write(text)
        routed.write(text)
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Take lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Routed:
    def __init__(self, local: threading.local, sink: Callable[[str], None]) -> None:
        self._local = local
        self._sink = sink
        self._rest = ""

    def __enter__(self) -> None:
        self._local.routed = self

    def __exit__(self, *_exc: object) -> None:
        self._local.routed = None
        if self._rest:
            self._sink(self._rest)

    def write(self, text: str) -> None:
        """Take text; pass on the lines that are whole."""
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._sink(whole)
