"""One server: a copy of a published object, with a thread of its own that runs one call at a time.

Calls run in the order in which they arrive, whoever sends them. What a channel has sent and not yet run
when it ends is dropped: nobody waits for it, and its sender may have had it run elsewhere.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from fscache.grid import failure
from fscache.grid.pickles import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.grid.links import Channel

WINDOW = 50
"""Calls over which durations are kept."""
GET, SET = "get", "set"


class Published:
    """What is sent to the hosts: an object, or a loader that makes it there."""

    def __init__(self, instance: Any = None, loader: Callable[[], Any] | None = None) -> None:
        self.instance = instance
        self.loader = loader

    def make(self) -> Any:
        """Return the object."""
        return self.instance if self.loader is None else self.loader()


class Listener:
    """A channel as servers see it: whether anybody still listens."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.open = True


class Server:
    """One copy of a published object."""

    def __init__(self, key: str, name: str, host: str) -> None:
        self.key = key
        self.name = name
        self.host = host
        self.calls = 0
        self.failures = 0
        self.last_error = ""
        self.durations: deque[float] = deque(maxlen=WINDOW)
        self.busy = False
        self.verbose = False
        self.listeners: set[Listener] = set()
        self._instance: Any = None
        self._queue: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self, blob: bytes) -> list[str]:
        """Make the copy; return the names of its methods. Blocks as long as that takes."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # In the server's own thread: a library may bind what it makes to the thread it was made in.
        self._thread = threading.Thread(
            target=self._serve, args=(blob, answer), name=f"fscache {self.name}", daemon=True
        )
        self._thread.start()
        made = answer.get()
        if isinstance(made, BaseException):
            raise made
        methods: list[str] = made
        return methods

    def call(self, listener: Listener, number: int, method: str, blob: bytes) -> None:
        """Queue a call; its outcome is posted to the listener's channel."""
        self._queue.put((listener, number, method, blob))

    def stop(self) -> None:
        """Run nothing more; what runs now is left to end, but nobody waits for it any longer."""
        self._stopped = True
        self._queue.put(None)
        for listener in list(self.listeners):
            listener.channel.post(["ended"])
            listener.channel.close()

    def stats(self) -> dict[str, Any]:
        """Return what is known of the calls so far; durations in s, the latest last."""
        return {
            "server": self.key,
            "host": self.host,
            "pid": os.getpid(),
            "calls": self.calls,
            "failures": self.failures,
            "last_error": self.last_error,
            "durations": list(self.durations),
            "busy": self.busy,
        }

    def _serve(self, blob: bytes, answer: queue.SimpleQueue[Any]) -> None:
        try:
            self._instance = loads(blob).make()
            answer.put(_methods(self._instance))
        except BaseException as exc:  # noqa: BLE001 - a user's code; it is raised where it was asked for
            answer.put(exc)
            return
        while (task := self._queue.get()) is not None and not self._stopped:
            self._run(*task)
            del task
        self._instance = None

    def _run(self, listener: Listener, number: int, method: str, blob: bytes) -> None:
        if not listener.open:
            return
        self.busy = good = True
        payload: Any
        begun = time.perf_counter()
        try:
            args, kwargs = loads(blob)
            payload = dumps(self._call(method, args, kwargs))
        except BaseException as exc:  # noqa: BLE001 - also SystemExit: it must not end the thread
            self.failures += 1
            self.last_error = f"{type(exc).__name__}: {exc}"[:500]
            good, payload = False, failure.pack(exc, self.host)
        finally:
            seconds = time.perf_counter() - begun
            self.durations.append(seconds)
            self.calls += 1
            self.busy = False
        if self.verbose:
            text = f"{self.name}{method}: {seconds:.6f} s, {'good' if good else 'failed'}"
            print(text, flush=True)  # noqa: T201 - into the worker's log
        listener.channel.post(["done", number, good, payload])

    def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if method == GET:
            return getattr(self._instance, *args)
        if method == SET:
            return setattr(self._instance, *args)
        return getattr(self._instance, method[1:])(*args, **kwargs)


def _methods(instance: Any) -> list[str]:
    names = []
    for name in dir(instance):
        if name.startswith("__") and name != "__call__":
            continue
        try:
            if callable(getattr(instance, name)):
                names.append(name)
        except Exception:  # noqa: BLE001, S112 - a property that fails now is none of the methods
            continue
    return names
