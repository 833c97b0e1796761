"""Hosts to start workers on: what to run there, and how.

A `Host` is one worker; the same name several times is several workers on that host. `init_cmd` is
shell code that comes before Python: a wrapper if it ends in `!` (`"imppy.sh !"`), else a command of its
own (`"module load python"`).
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fscache.errors import GridError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fscache.grid.cluster import WorkerInfo

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", "--")
"""How to reach other hosts; BatchMode, as nobody is there to type a password. A name is no option."""
MODULE = "fscache.grid.daemon"


@dataclass(frozen=True)
class Host:
    """Where one worker is to be started.

    Attributes:
        name: As ssh knows it; `localhost` is started without ssh.
        temp_path: Its directory for temporary files; the system's by default.
        n_cpu: Tasks at once.
        niceness: As for `nice`.
        python: The interpreter there; it must have fscache.
        init_cmd: Shell code that comes before it.
        root: Of the cache there; that host's configuration by default.
    """

    name: str
    temp_path: str | None = None
    n_cpu: int = 1
    niceness: int = 0
    python: str = "python3"
    init_cmd: str = ""
    root: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, as named by `localhost`."""
        return self.name == "localhost"

    def command(self, ssh: Sequence[str] = SSH) -> list[str]:
        """Return the command that starts a worker there."""
        if self.is_local and not self.init_cmd:
            nice = ["nice", "-n", str(self.niceness)] if self.niceness else []
            return [*nice, sys.executable, "-m", MODULE]
        python = f"{shlex.quote(self.python)} -m {MODULE}"
        if self.niceness:
            python = f"nice -n {self.niceness} {python}"
        prefix = self.init_cmd.strip()
        if prefix.endswith("!"):
            line = f"{prefix[:-1]} {python}"
        elif prefix:
            line = f"{prefix.removesuffix(';')}; exec {python}"
        else:
            line = f"exec {python}"
        return ["sh", "-c", line] if self.is_local else [*ssh, self.name, line]


def create_host_list(
    names: Sequence[str],
    temp_path: str | None = None,
    niceness: int = 0,
    python: str = "python3",
    init_cmd: str = "",
) -> list[Host]:
    """Return a host for each name, all alike."""
    return [
        Host(name, temp_path=temp_path, niceness=niceness, python=python, init_cmd=init_cmd)
        for name in names
    ]


def listed(items: str | Iterable[str]) -> list[str]:
    """Return items as a list; a text is one item, not its letters."""
    return [items] if isinstance(items, str) else [str(item) for item in items]


def chosen(workers: list[WorkerInfo], names: str | Iterable[str] | None) -> list[WorkerInfo]:
    """Return the workers that these names of hosts or workers stand for; None is all.

    Raises:
        GridError: a name is nobody's.
    """
    if names is None:
        return workers
    wanted = set(listed(names))
    unknown = wanted - {name for worker in workers for name in (worker.host, worker.name)}
    if unknown:
        here = ", ".join(worker.name for worker in workers) or "none"
        raise GridError(f"no such worker or host: {', '.join(sorted(unknown))}; there are {here}")
    return [worker for worker in workers if {worker.host, worker.name} & wanted]
