"""Workers that a program starts for itself: processes on some hosts, which end with it.

They are kept running (`launch`), whatever kills them. What they say is kept until the crew is gone, and
told where they do not come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.errors import ClusterError
from fscache.grid.launch import Child
from fscache.grid.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fscache.grid.cluster import Cluster
    from fscache.grid.hosts import Host
    from fscache.grid.tls import KeyPair


class Crew:
    """The workers of one cluster."""

    def __init__(
        self, cluster: Cluster, hosts: Sequence[Host], pair: KeyPair, timeout: float
    ) -> None:
        """Start a worker on each of these hosts, and wait until all have joined the cluster.

        Raises:
            ClusterError: not all came within `timeout` s; with the last words of those that did not.
        """
        self._children: list[Child] = []
        self._logs = Scratch()
        try:
            for number, host in enumerate(hosts):
                orders = {
                    "role": "worker",
                    "head": cluster.address,
                    "pair": list(pair),
                    "name": f"{host.name}-{number}",
                    "threads": host.n_cpu,
                    "root": host.root,
                    "temp": host.temp_path,
                }
                log = f"{self._logs.path}/{number}.log"
                self._children.append(Child(host.command(), orders, log))
            try:
                cluster.wait_for(len(hosts), timeout)
            except ClusterError as exc:
                raise ClusterError(f"{exc.why}{self._last_words()}") from exc
        except BaseException:
            self.stop()
            self._logs.remove()
            raise

    @property
    def logs(self) -> list[str]:
        """The files with what each worker has said, in the order of the hosts."""
        return [f"{self._logs.path}/{number}.log" for number in range(len(self._children))]

    def stop(self) -> None:
        """Ask all to end; `join` waits for that."""
        for child in self._children:
            child.stop()

    def join(self) -> None:
        """Wait until all have ended."""
        try:
            for child in self._children:
                child.join()
        finally:
            self._logs.remove()

    def _last_words(self) -> str:
        words = ""
        for number, path in enumerate(self.logs):
            with open(path, errors="replace") as log:
                text = log.read()[-500:].strip()
            if text:
                words += f"\nworker {number}: {text}"
        return words
