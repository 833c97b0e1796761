"""A second process that does pieces of long work beside this one, for the other processor's sake.

Threads take the interpreter from each other (`fs.ahead`); a process does not. It is a new interpreter,
not a fork, since other threads may hold locks at that moment, and not multiprocessing's, which imports
the user's main program. It is given pieces over a pipe and gives results back over another, in order.

Promises: nobody need wait for its results. It may be missing, slow, stopped or dead: then there are none,
and whoever gave it a piece does that piece again. It ends with this process, however that ends, once it
has done the pieces that it has been given.

Not promised: that it is started at all; `spare` says how many should be tried.
"""

from __future__ import annotations

import marshal
import os
import sys
import weakref
from select import POLLIN, poll
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

_LENGTH = 4  # bytes before each result
_READ = 1 << 16
_PIPE = 1 << 20  # bytes of results that may lie there until they are taken; the most for a user
# Its modules come from where ours do. Nothing else is as in a program that somebody starts: no start-up
# files, no compiled files left behind.
_FLAGS = ("-I", "-S", "-B")
_PROGRAM = """if True:
    import marshal, sys
    sys.path[:] = marshal.load(sys.stdin.buffer)
    from fscache.fs.helper import serve
    serve(sys.stdin.buffer, 1)
"""


def spare() -> int:
    """Return how many helpers would have a processor each, and an interpreter to run them."""
    # Inside another program, or frozen, `sys.executable` is no Python: it would start that program.
    name = os.path.basename(sys.executable or "")
    return _processors() - 1 if name.startswith("python") and not hasattr(sys, "frozen") else 0


_helpers: weakref.WeakSet[Helper] = weakref.WeakSet()


class Helper:
    """One helper, which does one kind of work."""

    def __init__(self, module: str, function: str, *arguments: Any) -> None:
        """Start a process that does `module.function(*arguments)(piece)` with every piece.

        Arguments, pieces and results are what marshal takes: numbers, text, bytes, and tuples, lists
        and dicts of them.

        Raises:
            OSError: it cannot be started.
            ValueError: an argument is something else.
        """
        import subprocess

        # Where an editable installation found us by other means than the path. Whatever else stands
        # there is ignored by the interpreter, too.
        home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        path = marshal.dumps([entry for entry in sys.path if type(entry) is str] + [home])
        work = marshal.dumps((module, function, arguments))
        utf8 = ("-X", "utf8") if sys.flags.utf8_mode else ()  # how names of files are written
        self._process = subprocess.Popen(
            [sys.executable, *_FLAGS, *utf8, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what fails there is done here, and says so here
            bufsize=0,
            pipesize=_PIPE,
        )
        source, target = self._process.stdin, self._process.stdout
        assert source is not None and target is not None  # noqa: S101, PT018 - asked for above
        os.set_blocking(source.fileno(), False)
        os.set_blocking(target.fileno(), False)
        self._input, self._output = source, target
        self._buffer = bytearray()
        self._owing = 0
        self.is_alive = True
        """Whether there may be results; one that is gone is noticed when they are looked for."""
        _helpers.add(self)
        self._send(path)
        self._send(work)

    def give(self, piece: Any) -> None:
        """Give it one more piece; one that has more than fits a pipe before it is given up."""
        data = marshal.dumps(piece)
        self._owing += 1
        self._send(data)

    def results(self) -> list[Any]:
        """Return what is done, in the order in which it was given; does not wait."""
        buffer = self._buffer
        while data := self._output.read(_READ):  # None where there is nothing now
            buffer += data
        if data is not None:
            self.is_alive = False
        found = []
        start = 0
        while len(buffer) >= start + _LENGTH:
            end = start + _LENGTH + int.from_bytes(buffer[start : start + _LENGTH], "little")
            if len(buffer) < end:
                break
            found.append(marshal.loads(buffer[start + _LENGTH : end]))  # noqa: S302 - of our own
            start = end
        del buffer[:start]
        self._owing -= len(found)
        return found

    def settle(self, seconds: float) -> None:
        """Wait until it has done what it was given, if it does that in time; its results are dropped."""
        waiting = poll()  # not select, which takes no descriptor beyond 1,023
        waiting.register(self._output, POLLIN)
        end = monotonic() + seconds
        while self._owing and (left := end - monotonic()) > 0:
            waiting.poll(1000 * left)
            if not self.results() and not self.is_alive:
                return

    def close(self) -> None:
        """End it at once, whatever it is at."""
        self._process.kill()
        self._process.wait()
        self._input.close()
        self._output.close()

    def _send(self, data: bytes) -> None:
        try:
            if self._input.write(data) != len(data):
                self._process.kill()  # it takes nothing any more, and half a message is none
        except BrokenPipeError:
            pass  # dead: there will be no results


def serve(source: BinaryIO, target: int) -> None:
    """Do what comes from `source` and write the results to the descriptor `target`, to the end."""
    import importlib
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the terminal's whole group
    module, function, arguments = marshal.load(source)  # noqa: S302 - of our own parent
    work = getattr(importlib.import_module(module), function)(*arguments)
    while True:
        try:
            piece = marshal.load(source)  # noqa: S302 - as above
        except EOFError:
            return
        data = marshal.dumps(work(piece))
        message = memoryview(len(data).to_bytes(_LENGTH, "little") + data)
        while message:
            message = message[os.write(target, message) :]


def _leave_to_parent() -> None:
    """Close what a forked child has of its parent's pipes: a helper ends when nobody can write."""
    for inherited in list(_helpers):
        inherited._input.close()  # noqa: SLF001 - one module
        inherited._output.close()  # noqa: SLF001 - one module


os.register_at_fork(after_in_child=_leave_to_parent)


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
