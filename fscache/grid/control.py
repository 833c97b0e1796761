"""Workers of a host that outlive the command that started them: start, stop, status, logs.

A worker so started is two processes: a keeper, which starts the worker again when it dies, and the
worker. The keeper holds a lock on its state file as long as it lives; so whether it lives is asked of
the kernel, and a number in a file that somebody else has by now is never killed.

State lies in the root, below `grid/<host>.<user>/<name>/`: `orders.json` (what to do; mode 0600, as it
holds no more than paths), `lock`, `log`, and `stopped` if it ended on purpose.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fscache.errors import GridError
from fscache.fs.atomic import write_all
from fscache.fs.lock import try_flock
from fscache.grid import tls
from fscache.grid.launch import Child

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 10.0  # s for a keeper to start or to end
_STEP = 0.05


@dataclass(frozen=True)
class State:
    """What is known of one worker of this host.

    Attributes:
        name: Of the worker.
        pid: Of its keeper; 0 if there is none.
        worker: Of the worker itself; 0 between its death and its next start.
        orders: What it was started with.
        log: File with its output.
        stopped: Whether somebody has stopped it, so that it is not missed.
    """

    name: str
    pid: int
    worker: int
    orders: dict[str, Any]
    log: str
    stopped: bool

    @property
    def alive(self) -> bool:
        """Whether its keeper lives."""
        return self.pid > 0


class Control:
    """The workers of this host and user, by name."""

    def __init__(self, root: str) -> None:
        """Keep their state below the root at `root`, which exists."""
        host = socket.gethostname()
        self.directory = f"{root}/grid/{host}.{os.getuid()}"

    def names(self) -> list[str]:
        """Return the names of all that were ever started and not forgotten."""
        try:
            found = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []
        # A start that was killed may have left no more than a directory.
        return [name for name in found if os.path.exists(f"{self.directory}/{name}/orders.json")]

    def status(self, name: str) -> State:
        """Return what is known of a worker; raises GridError if it was never started."""
        top = f"{self.directory}/{name}"
        try:
            with open(f"{top}/orders.json") as file:
                orders = json.load(file)
        except FileNotFoundError:
            raise GridError(f"no worker {name} was started on this host") from None
        pid, worker = _holder(f"{top}/lock")
        return State(name, pid, worker, orders, f"{top}/log", os.path.exists(f"{top}/stopped"))

    def start(self, name: str, orders: dict[str, Any]) -> State:
        """Start a worker that goes on when this process ends.

        Args:
            name: Of the worker, unique on this host.
            orders: `head name threads root temp tls` as for `daemon.serve`; `tls` is a directory.

        Raises:
            GridError: it runs already, or ended at once.
            InsecureGridError: there are no certificates.
        """
        if "/" in name or name.startswith("."):
            raise GridError(f"not a name for a worker: {name!r}")
        if orders["tls"]:
            tls.load(orders["tls"])
        top = f"{self.directory}/{name}"
        os.makedirs(top, mode=0o700, exist_ok=True)
        if _holder(f"{top}/lock")[0] or not _emptied(f"{top}/lock"):
            raise GridError(f"worker {name} runs already")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{top}/stopped")
        fd = os.open(f"{top}/orders.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            write_all(fd, json.dumps(orders).encode())
        finally:
            os.close(fd)
        with open(f"{top}/log", "ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "fscache.grid.control", top],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not _wait(lambda: _holder(f"{top}/lock")[1] or keeper.poll() is not None):
            keeper.kill()
        state = self.status(name)
        if not state.alive:
            raise GridError(f"worker {name} ended at once; see {state.log}")
        return state

    def stop(self, name: str) -> bool:
        """Stop a worker and wait for its end; False if it did not run.

        Raises:
            GridError: it does not end.
        """
        state = self.status(name)
        with open(f"{self.directory}/{name}/stopped", "wb"):
            pass  # its being there says it
        if not state.alive:
            return False
        lock = f"{self.directory}/{name}/lock"
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGTERM)
        if not _wait(lambda: not _holder(lock)[0]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(
                    state.pid, signal.SIGKILL
                )  # the worker hangs on its input, and ends with it
            if not _wait(lambda: not _holder(lock)[0]):
                raise GridError(f"worker {name} does not end")
        return True

    def forget(self, name: str) -> None:
        """Remove what is known of a worker that does not run, its log included; raises GridError."""
        if self.status(name).alive:
            raise GridError(f"worker {name} runs; stop it first")
        shutil.rmtree(f"{self.directory}/{name}")


def keep(top: str) -> int:
    """Be the keeper of the worker whose state lies at `top`."""
    fd = os.open(f"{top}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Somebody who looks whether the lock is held holds it for a moment.
    if not _wait(lambda: try_flock(fd), seconds=1.0):
        return 1
    with open(f"{top}/orders.json") as file:
        orders = json.load(file)
    directory = orders.pop("tls")
    orders["role"] = "worker"
    orders["pair"] = list(tls.load(directory)) if directory else None
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: ended.append(number))
    child = Child([sys.executable, "-m", "fscache.grid.daemon"], orders, f"{top}/log")
    written = 0
    while not ended:
        if child.process.pid != written:
            written = child.process.pid
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {written}\n".encode(), 0)
        time.sleep(_STEP)
    child.stop()
    child.join()
    return 0


def _holder(path: str) -> tuple[int, int]:
    """Return the keeper and its worker, zeros if nobody holds the lock."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0, 0
    try:
        if try_flock(fd):
            return 0, 0
        fields = os.pread(fd, 100, 0).split()
        return (int(fields[0]), int(fields[1])) if len(fields) == 2 else (0, 0)
    finally:
        os.close(fd)


def _emptied(path: str) -> bool:
    """Empty a lock file that nobody holds: the next holder's numbers must not be its last one's."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Somebody who looks whether the lock is held holds it for a moment.
        if not _wait(lambda: try_flock(fd), seconds=1.0):
            return False
        os.ftruncate(fd, 0)
        return True
    finally:
        os.close(fd)


def _wait(condition: Callable[[], object], seconds: float = _PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP)
    return True


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1]))
