"""Asking a server that shares the root: it stages, and the path is the answer.

Two ways to ask, with the same three calls: over the wire, or by a file in the spool where there is no
network between the two.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol

from fscache import errors
from fscache.fs.atomic import Modes, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.remote.rpc import RPC

TMP = "tmp"
_FIRST_LOOK, _LAST_LOOK = 0.02, 1.0  # seconds between two looks for an answer in the spool


class Asker(Protocol):
    """What stages for us."""

    name: str
    """The server, for errors."""

    def stage(self, urls: Sequence[list[str]], options: dict[str, Any]) -> list[str]:
        """Ask for URLs with their mirrors; return an id for each."""

    def wait(self, ids: list[str], timeout: float) -> list[dict[str, Any]]:
        """Return the status of those that have ended; waits until there is one."""

    def status(self, ids: list[str]) -> list[dict[str, Any]]:
        """Return the status of all, as far as it is known."""

    def cancel(self, ids: list[str]) -> None:
        """Give requests up."""


class WireAsker:
    """Asks over the wire."""

    def __init__(self, rpc: RPC) -> None:
        """Ask through `rpc`."""
        self._rpc = rpc
        self.name = rpc.client.name

    def stage(self, urls: Sequence[list[str]], options: dict[str, Any]) -> list[str]:
        """Ask for URLs; see `Asker`."""
        ids: list[str] = self._rpc("url.stage", list(urls), options)
        return ids

    def wait(self, ids: list[str], timeout: float) -> list[dict[str, Any]]:
        """Park on the server; see `Asker`."""
        found: list[dict[str, Any]] = self._rpc("url.wait", ids, timeout, True, parked=timeout)
        return found

    def status(self, ids: list[str]) -> list[dict[str, Any]]:
        """Ask for the status; see `Asker`."""
        found: list[dict[str, Any]] = self._rpc("url.status", ids)
        return found

    def cancel(self, ids: list[str]) -> None:
        """Give requests up; see `Asker`."""
        self._rpc("url.cancel", ids)


class SpoolAsker:
    """Asks by files: drops a request into `spool/new`, finds the answer in `done` or `failed`."""

    def __init__(
        self,
        root: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use the spool of the root at `root`."""
        self._root = root
        self._spool = f"{root}/spool"
        self._new = f"{self._spool}/new"
        self._writer = Writer(f"{self._spool}/{TMP}", Modes())
        # A spool is made by who serves it: below one of our own making nobody would ever look.
        self._writer.landmark = self._new
        self._clock = clock
        self._sleep = sleep
        self.name = f"spool:{root}"

    def stage(self, urls: Sequence[list[str]], options: dict[str, Any]) -> list[str]:
        """Drop a request; see `Asker`."""
        name = secrets.token_hex(8)
        given = {key: value for key, value in options.items() if value is not None}
        data = json.dumps({"urls": list(urls), "options": given}).encode("utf-8")
        try:
            os.stat(f"{self._root}/FORMAT")
            self._writer.write(f"{self._new}/{name}", data, replace=False)
        except FileNotFoundError as exc:
            why = f"no server has ever served this root: there is no {exc.filename}"
            raise errors.ServerUnreachableError(self.name, why) from exc
        except OSError as exc:
            raise errors.ServerUnreachableError(self.name, exc.strerror or str(exc)) from exc
        return [f"{name}.{number}" for number in range(len(urls))]

    def wait(self, ids: list[str], timeout: float) -> list[dict[str, Any]]:
        """Look for answers, ever more rarely; see `Asker`.

        A look is one `stat` a batch. No notification crosses a network file system.
        """
        until = self._clock() + timeout
        pause = _FIRST_LOOK
        while True:
            found = self.status(ids)
            if found or self._clock() + pause > until:
                return found
            self._sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)

    def status(self, ids: list[str]) -> list[dict[str, Any]]:
        """Return the status of those that have ended; nothing is known of the others."""
        wanted = set(ids)
        found: list[dict[str, Any]] = []
        for name in dict.fromkeys(identity.partition(".")[0] for identity in ids):
            answer = self._answer(name)
            if answer is None:
                continue
            if "requests" in answer:
                found.extend(each for each in answer["requests"] if each["id"] in wanted)
            else:
                error = answer.get("error", {"message": "the answer cannot be read"})
                found.extend(
                    {"id": identity, "state": "failed", "error": error}
                    for identity in ids
                    if identity.startswith(f"{name}.")
                )
        return found

    def cancel(self, ids: list[str]) -> None:
        """Do nothing: a dropped request cannot be taken back, and what it brings is there for all."""

    def _answer(self, name: str) -> dict[str, Any] | None:
        for directory in ("done", "failed"):
            path = f"{self._spool}/{directory}/{name}"
            try:
                # Opened, not looked for: NFS asks the server anew at each open.
                with open(path, "rb", opener=_plainly) as file:
                    answer = json.loads(file.read())
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as exc:
                return {"error": {"code": "remote", "message": f"{path}: {exc}"}}
            return answer if isinstance(answer, dict) else {}
        return None


def _plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
