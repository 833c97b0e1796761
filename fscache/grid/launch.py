"""Processes that belong to this one: started, started again when they die, ended with it.

A child gets its orders as one line of JSON through its standard input, which stays open: when it ends,
whether it was closed or this process was killed, the child ends too. Certificates travel the same way,
so they are never seen in a list of processes; and it works through ssh as it does here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # s before a dead child is started again; doubles
_HEALTHY = 20.0  # s after which a child's death starts at the first pause again
_PATIENCE = 5.0  # s for a child to end by itself


class Child:
    """A process that is kept running until it is stopped."""

    def __init__(self, command: Sequence[str], orders: dict[str, Any], log: str) -> None:
        """Start it.

        Args:
            command: What to run.
            orders: What it is to do.
            log: File that its output is appended to.
        """
        self._command = list(command)
        self._orders = (json.dumps(orders) + "\n").encode()
        self._log = log
        self._stopping = threading.Event()
        self.process = self._start()
        self._keeper = threading.Thread(target=self._keep, name="fscache child", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """Ask it to end, and see to it; `join` waits for that."""
        self._stopping.set()
        self._hang_up()

    def join(self) -> None:
        """Wait until it has ended, by force if need be."""
        self._keeper.join()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self._log, "ab") as log:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process, which then decides
            )
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.write(self._orders)
                process.stdin.flush()
        return process

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()

    def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            if _wait(self.process, _HEALTHY):
                pause = _FIRST_PAUSE
                continue
            self._hang_up()
            if self._stopping.wait(pause):
                break
            pause = min(pause * 2, _LONGEST_PAUSE)
            self.process = self._start()
        self._hang_up()
        if _wait(self.process, _PATIENCE):
            self.process.kill()
            self.process.wait()


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process to end; return whether it still runs."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False
