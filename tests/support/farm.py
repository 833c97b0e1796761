"""A real ipyparallel cluster of a test: a controller with our backend, and engines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipyparallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SECONDS = 60


class Farm:
    """A profile directory, the processes started from it, and the root that has the records."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = str(directory / "cache")
        self.profile = directory / "profile"
        self.profile.mkdir()
        self.controller: subprocess.Popen[bytes]
        self._started: list[subprocess.Popen[bytes]] = []
        self._clients: list[Any] = []

    def configure(self, *lines: str) -> None:
        (self.profile / "ipcontroller_config.py").write_text(
            "\n".join(
                [
                    "c = get_config()",
                    "c.HeartMonitor.period = 500",
                    f"c.FSCacheDB.root = {self.root!r}",
                    *lines,
                ]
            )
        )

    def start(self, engines: int) -> None:
        """Start a controller and engines, and wait until they know each other."""
        self._remove_addresses()
        self.controller = self._start("ipyparallel.controller")
        self._until(self._has_addresses, "the controller's addresses")
        for _ in range(engines):
            self._start("ipyparallel.engine")
        self.client().wait_for_engines(engines, timeout=_SECONDS)

    def client(self) -> Any:
        """Return a new client; it is closed with the farm."""
        made = ipyparallel.Client(self._address("client"), timeout=_SECONDS)
        self._clients.append(made)
        return made

    def kill_controller(self) -> None:
        """Kill the process that has the backend, and no other; forget its clients."""
        self.controller.kill()
        self.controller.wait()
        self._close_clients()

    def close(self) -> None:
        """End everything, what the controller has forked too."""
        self._close_clients()
        for process in self._started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    @staticmethod
    def children(pid: int) -> list[int]:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(each) for each in found.split()]

    @staticmethod
    def open_in(pid: int, directory: str) -> list[str]:
        """Return the files below a directory that a process has open."""
        found = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
        return [each for each in found if each.startswith(f"{directory}/")]

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, f"--profile-dir={self.profile}"],
                stdout=log,
                stderr=log,
                env=os.environ | {"IPYTHONDIR": str(self.directory)},
                cwd=self.directory,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _address(self, kind: str) -> str:
        return str(self.profile / "security" / f"ipcontroller-{kind}.json")

    def _has_addresses(self) -> bool:
        return all(os.path.exists(self._address(kind)) for kind in ("engine", "client"))

    def _remove_addresses(self) -> None:
        for kind in ("engine", "client"):
            if os.path.exists(self._address(kind)):
                os.unlink(self._address(kind))

    def _close_clients(self) -> None:
        for client in self._clients:
            client.close(linger=0)
        self._clients.clear()

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.log()}"
            time.sleep(0.05)


@contextmanager
def farm(directory: Path) -> Iterator[Farm]:
    """Make a farm; whatever it has started is gone at the end."""
    made = Farm(directory)
    try:
        yield made
    finally:
        made.close()
