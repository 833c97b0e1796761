"""Who holds which server of a service, and who is next. Pure.

Servers are handed out first in, first out: the one that was freed first goes first. So are they who
wait: whoever asked first is served first, also where an earlier one wants several servers at once, so
that two who want all of them cannot each hold half. A server that is handed back by nobody's death or
twice is never free twice.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

ALL = 0
"""Instead of a number of servers: every server that there is when the turn comes."""


class Grant(NamedTuple):
    """A ticket's turn has come."""

    ticket: str
    servers: list[str]


class LeaseBook:
    """The free servers of one service, their holders, and the queue.

    Every change returns the grants that it makes possible, in order.
    """

    def __init__(self) -> None:
        self._free: deque[str] = deque()
        self._holders: dict[str, str] = {}
        self._waiting: deque[tuple[str, int]] = deque()

    @property
    def servers(self) -> set[str]:
        """All servers, free and held."""
        return {*self._free, *self._holders}

    @property
    def waiting(self) -> list[str]:
        """The tickets that wait, next one first."""
        return [ticket for ticket, _ in self._waiting]

    def holder(self, server: str) -> str | None:
        """Return the ticket that holds a server, None if it is free or unknown."""
        return self._holders.get(server)

    def held(self, ticket: str) -> list[str]:
        """Return the servers that a ticket holds."""
        return [server for server, holder in self._holders.items() if holder == ticket]

    def add(self, server: str) -> list[Grant]:
        """A server is ready."""
        if server not in self.servers:
            self._free.append(server)
        return self._turn()

    def remove(self, server: str) -> list[Grant]:
        """A server is gone; its holder, if any, holds it no more."""
        self._holders.pop(server, None)
        if server in self._free:
            self._free.remove(server)
        return self._turn()  # who waits for all of them may have waited for this one

    def ask(self, ticket: str, count: int = 1, *, first: bool = False) -> list[Grant]:
        """Queue a ticket for `count` servers, or for ALL of them; `first` goes before the others."""
        if first:
            self._waiting.appendleft((ticket, count))
        else:
            self._waiting.append((ticket, count))
        return self._turn()

    def release(self, ticket: str, server: str | None = None) -> list[Grant]:
        """A ticket hands back one server, or all that it holds; what it does not hold is ignored."""
        for each in self.held(ticket) if server is None else [server]:
            if self._holders.get(each) == ticket:
                del self._holders[each]
                self._free.append(each)
        return self._turn()

    def withdraw(self, ticket: str) -> list[Grant]:
        """A ticket waits no longer."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] != ticket)
        return self._turn()

    def _turn(self) -> list[Grant]:
        grants = []
        while self._waiting:
            ticket, count = self._waiting[0]
            wanted = len(self._free) + len(self._holders) if count == ALL else count
            if not wanted or wanted > len(self._free):
                break
            self._waiting.popleft()
            servers = [self._free.popleft() for _ in range(wanted)]
            for server in servers:
                self._holders[server] = ticket
            grants.append(Grant(ticket, servers))
        return grants
