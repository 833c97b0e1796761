"""The process of a worker or head: `python -m fscache.grid.daemon`, with its orders on standard input.

The orders are one line of JSON (`Orders`). The process ends when its input does, when it is told to
(SIGTERM), and, a worker, when the head is gone; it leaves nothing behind but what it has cached.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from fscache.errors import ClusterError
from fscache.grid.scratch import Scratch
from fscache.grid.tls import KeyPair

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(orders: dict[str, Any], ready: Callable[[str], None], *, lifeline: bool) -> None:
    """Be what the orders say until it ends.

    Args:
        orders: `role` (worker, head) and `pair`; a worker's `head name threads root temp`; a head's
            `host port`.
        ready: Called with the own address.
        lifeline: End when standard input does.

    Raises:
        ClusterError: it could not begin: no head answers, or it cannot listen where it was told to.
    """
    from fscache.grid.cluster import roles

    pair = KeyPair(*orders["pair"]) if orders["pair"] else None
    scratch = Scratch()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        if lifeline:
            threading.Thread(target=_watch, args=(loop, ended), daemon=True).start()
        if orders["role"] == "head":
            work = roles.serve_head(orders["host"], orders["port"], pair, ready=ready)
        else:
            work = roles.serve_worker(
                orders["head"],
                pair,
                name=orders["name"],
                threads=orders["threads"],
                root=orders["root"],
                temp=orders["temp"],
                scratch=scratch.path,
                ready=ready,
            )
        task = loop.create_task(work)
        waiter = loop.create_task(ended.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    try:
        asyncio.run(run())
    except (OSError, RuntimeError) as exc:
        reason = exc if isinstance(exc, OSError) else exc.__cause__
        if not isinstance(reason, OSError):
            raise
        where = (
            orders["head"] if orders["role"] == "worker" else f"{orders['host']}:{orders['port']}"
        )
        raise ClusterError(f"{where}: {reason}") from exc
    finally:
        scratch.remove()


def _watch(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(ended.set)


def main() -> None:
    """Read the orders and follow them."""
    orders = json.loads(_line())
    code = 0
    try:
        serve(orders, _say, lifeline=True)
    except ClusterError as exc:
        sys.stderr.write(f"{exc}\n")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # A mapper that was left behind must not keep the process.
    os._exit(code)


def _say(address: str) -> None:
    sys.stdout.write(f"{address} is there\n")
    sys.stdout.flush()


def _line() -> bytes:
    # Byte by byte: what Python would read ahead, `_watch` would miss.
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


if __name__ == "__main__":
    main()
