"""The objects that a node holds, and how it comes by those it lacks.

A node looks in its own root, then asks the nodes that are said to hold the object, then the data
server. Whatever way it comes, its digest is computed as it is written and compared with its address:
a peer can be wrong, never believed.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from fscache.errors import CorruptObjectError, FscacheError, NotCachedError
from fscache.grid.manifests import Manifests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from fscache.grid.links import Channel, Message, NodeLink

CHUNK = 4 << 20
"""Bytes in one message: 1 MiB has half the rate on loopback, 16 MiB gains no more."""
_AHEAD = 4  # chunks that may wait for the disk
_PATIENCE = 15.0  # s to wait for a node that is said to hold an object and is not there
_STEP = 0.2


class Holdings:
    """What one node holds."""

    def __init__(
        self, cache: Any, link: NodeLink, pull: Callable[[str], object] | None = None
    ) -> None:
        """Hold objects in `cache`.

        Args:
            cache: Anything with the face of `Cache`.
            link: To the other nodes.
            pull: Brings an object of this address into the cache from the data server, or raises.
        """
        self.cache = cache
        self.manifests = Manifests(cache.root)
        self._link = link
        self._pull = pull
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._pulled = 0

    # -- objects ------------------------------------------------------------------------------

    def path(self, address: str, holders: Iterable[str] = ()) -> str:
        """Return the path of an object; bring it here if need be.

        Args:
            address: Of the object.
            holders: Addresses of the nodes that are said to hold it.

        Raises:
            NotCachedError: nobody has it.
        """
        found = self._here(address)
        if found is not None:
            return found
        with self._one_at_a_time(address):
            found = self._here(address)
            if found is not None:
                return found
            self._bring(address, holders)
            self._pulled += 1
        return str(self.cache.path(address))

    def has(self, addresses: list[str]) -> list[bool]:
        """Tell which objects are here."""
        return [self._here(address) is not None for address in addresses]

    def read(self, address: str, offset: int) -> bytes:
        """Return the next bytes of an object, none at its end."""
        fd = os.open(self.cache.path(address), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, CHUNK, offset)
        finally:
            os.close(fd)

    def fetch(self, wanted: list[tuple[str, list[str]]]) -> list[str]:
        """Bring objects here, each from its holders; return the addresses that nobody has."""
        missing = []
        for address, holders in wanted:
            try:
                self.path(address, holders)
            except FscacheError:
                missing.append(address)
        return missing

    def verify(self, addresses: list[str]) -> dict[str, str]:
        """Hash objects again; return what is wrong, by address. Bad ones are set aside."""
        from fscache.objects.layout import parse_address
        from fscache.objects.verify import hash_file

        objects = self.cache.root.objects()
        wrong = {}
        for address in addresses:
            path = self._here(address)
            if path is None:
                wrong[address] = "missing"
                continue
            digest, _status = hash_file(path, objects.new_hasher)
            if digest[:20] != parse_address(address)[0]:
                objects.quarantine(path, f"{self.cache.root.path}/quarantine")
                wrong[address] = f"corrupt (digest is {digest}), moved to quarantine"
        return wrong

    def count_pulls(self) -> int:
        """Return how many objects came from elsewhere since the start."""
        return self._pulled

    async def receive(self, channel: Channel, message: Message) -> None:
        """Take an object that a client pushes: chunks, then None; answer with its address or error."""
        source = _Pushed()
        loop = asyncio.get_running_loop()
        keep = loop.run_in_executor(None, self._keep, source, message["address"])
        async for chunk in channel.items():
            await loop.run_in_executor(None, source.chunks.put, chunk)
            if chunk is None:
                channel.post(await keep)
                channel.close()
                return
        await loop.run_in_executor(None, source.chunks.put, False)

    def lookup_urls(self, urls: list[str]) -> list[bool]:
        """Tell which URLs are here."""
        return [self.cache.lookup(url) is not None for url in urls]

    # -- tables -------------------------------------------------------------------------------

    def record_table(self, table: str, data: bytes, mine: list[str], others: list[str]) -> None:
        """Record a table; keep the shards that are to be mine, let go of the others."""
        self.manifests.pin(table, mine)
        self.manifests.unpin(others)
        self.manifests.write(table, data)

    def read_table(self, table: str) -> bytes | None:
        """Return what is recorded of a table."""
        return self.manifests.read(table)

    def list_tables(self) -> list[str]:
        """Return the names of the tables that this node knows."""
        return self.manifests.names()

    def forget_table(self, table: str, unpin: list[str]) -> bool:
        """Forget a table, and unpin those of its shards that no other table has."""
        self.manifests.unpin(unpin)
        return self.manifests.remove(table)

    # -- inside -------------------------------------------------------------------------------

    def _here(self, address: str) -> str | None:
        try:
            return str(self.cache.path(address))
        except NotCachedError:
            return None

    def _bring(self, address: str, holders: Iterable[str]) -> None:
        said = set(holders) - {self._link.address}
        deadline = time.monotonic() + _PATIENCE
        while True:
            # Who is there is asked first: to connect to one that died takes the engine half a minute.
            peers = self._link.peers()
            reasons = self._try(address, sorted(peers, key=lambda peer: peer not in said))
            if reasons is None:
                return
            if said.issubset(peers) or time.monotonic() > deadline:
                why = "; ".join(reasons) or "no other node has it"
                raise NotCachedError(name=f"{address} ({why})")
            time.sleep(_STEP)  # a worker that was killed comes back, and its root with it

    def _try(self, address: str, peers: list[str]) -> list[str] | None:
        """Bring an object here; return why that did not work, None if it did."""
        reasons = []
        # All who are there: a worker that was started again has another address and the same root.
        for peer in peers:
            try:
                if self._link.ask(peer, "has", addresses=[address])[0]:
                    self._keep_checked(_Remote(self._link, peer, address), address)
                    return None
            except (OSError, FscacheError) as exc:
                reasons.append(f"{peer}: {exc}")
        if self._pull is not None:
            try:
                self._pull(address)
            except FscacheError as exc:
                reasons.append(f"data server: {exc}")
            else:
                return None
        return reasons

    def _keep(self, source: _Pushed, address: str) -> str:
        try:
            self._keep_checked(source, address)
        except (OSError, FscacheError) as exc:
            source.drain()  # or whoever puts chunks would wait for ever
            return str(exc)
        return ""

    def _keep_checked(self, source: Any, address: str) -> None:
        kept = self.cache.put(source)
        if kept != address:
            # What came is somebody else's bytes; they lie under their own name and harm nobody.
            raise CorruptObjectError(path=address, why=f"the bytes that came are those of {kept}")

    def _one_at_a_time(self, address: str) -> AbstractContextManager[Any]:
        with self._guard:
            return self._locks.setdefault(address, threading.Lock())


class _Remote:
    """An object of another node, as a file to read."""

    def __init__(self, link: NodeLink, holder: str, address: str) -> None:
        self._link = link
        self._holder = holder
        self._address = address
        self._offset = 0
        self._rest = memoryview(b"")

    def readinto(self, view: memoryview) -> int:
        """Read on."""
        if not self._rest:
            data = self._link.ask(self._holder, "read", address=self._address, offset=self._offset)
            self._offset += len(data)
            self._rest = memoryview(data)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Pushed:
    """What a client pushes, as a file to read."""

    def __init__(self) -> None:
        self.chunks: queue.Queue[bytes | bool | None] = queue.Queue(_AHEAD)
        self._rest = memoryview(b"")
        self._ended = False

    def readinto(self, view: memoryview) -> int:
        """Read on."""
        while not self._rest and not self._ended:
            chunk = self.chunks.get()
            if chunk is None:
                self._ended = True
            elif isinstance(chunk, bytes):
                self._rest = memoryview(chunk)
            else:
                self._ended = True
                raise ConnectionError("the sender went away before the end")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def drain(self) -> None:
        """Take the rest and drop it."""
        while not self._ended:
            self._ended = not isinstance(self.chunks.get(), bytes)
