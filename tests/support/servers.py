"""A data server for tests: in this process (`serving`) or as a process of its own (`Daemon`)."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fscache.remote.cache import RemoteCache
from fscache.server.service import Server, load_config
from fscache.server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fscache.cache import Cache
    from fscache.server.queries import Run

DEADLINE = 60.0  # a busy machine is not a fault of the code


def token_of(root: str | os.PathLike[str], role: str = "use") -> str:
    """Return the token of a role from a root's token file."""
    for line in Path(root, "tokens").read_text().splitlines():
        if line.startswith(f"{role} "):
            return line.split()[1]
    raise AssertionError(f"no token for {role}")


class Serving:
    """A server in this process."""

    def __init__(self, server: Server, root: str) -> None:
        self.server = server
        self.root = root

    @property
    def address(self) -> str:
        """`host:port`."""
        return self.server.url.partition("://")[2]

    def token(self, role: str = "use") -> str:
        """Return a role's token."""
        return token_of(self.root, role)

    def remote(self, root: str | os.PathLike[str], **options: Any) -> RemoteCache:
        """Return a cache of this server with a root of its own."""
        token = options.pop("token", None) or self.token()
        return RemoteCache(self.address, token=token, root=root, **options)


@contextmanager
def serving(
    root: str | os.PathLike[str],
    *,
    config: dict[str, Any] | None = None,
    now: Callable[[], float] | None = None,
    run: Callable[[Cache], Run] | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    """Serve `root` from this process; targets on loopback are allowed unless `config` says other."""
    given: dict[str, Any] = {"allow_private": True, "attempts": 2, **(config or {})}
    clock = {} if now is None else {"now": now}
    server = Server(
        load_config(str(root), None, **given),
        Settings(**{"port": 0, "grace": 1.0, **settings}),
        run=run,
        **clock,
    )
    server.start()
    try:
        yield Serving(server, str(root))
    finally:
        server.stop()


class Daemon:
    """`fscache-stager` as a process; a context manager that ends it."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *arguments: str,
        environ: dict[str, str] | None = None,
        allow_private: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:
        self.root = str(root)
        self._command = [*prefix, sys.executable, "-m", "fscache.server.main", "--root", self.root]
        self._command += [
            "--port",
            "0",
            *(["--allow-private"] if allow_private else []),
            *arguments,
        ]
        self._environ = {**os.environ, **(environ or {})}
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self.log: list[str] = []

    def start(self) -> Self:
        """Start it and wait until it says where it answers."""
        process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environ,
        )
        self.process = process
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            threading.Thread(target=self._pump, args=(process.stdout, lines.put), daemon=True),
            threading.Thread(
                target=self._pump, args=(process.stderr, self.log.append), daemon=True
            ),
        ]
        for reader in self._readers:
            reader.start()
        try:
            self.url = lines.get(timeout=DEADLINE).strip()
        except queue.Empty:
            raise AssertionError(f"the daemon said nothing: {self.log}") from None
        assert self.url.startswith("http"), (self.url, self.log)
        return self

    @staticmethod
    def _pump(stream: Any, take: Callable[[str], Any]) -> None:
        for line in stream:
            take(line)
        take("")
        stream.close()

    @property
    def address(self) -> str:
        """`host:port`."""
        return self.url.partition("://")[2]

    @property
    def port(self) -> int:
        """The port."""
        return int(self.url.rpartition(":")[2])

    def token(self, role: str = "use") -> str:
        """Return a role's token."""
        return token_of(self.root, role)

    def remote(self, root: str | os.PathLike[str], **options: Any) -> RemoteCache:
        """Return a cache of this server with a root of its own."""
        token = options.pop("token", None) or self.token()
        return RemoteCache(self.address, token=token, root=root, **options)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; return the exit status."""
        process = self.process
        assert process is not None
        process.send_signal(number)
        status = process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        self.process = None
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        if self.process is not None:
            self.kill()
