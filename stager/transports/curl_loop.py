"""A multi handle of libcurl: many exchanges driven from one thread, by epoll and `socket_action`."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Any

import pycurl

from credentials.errors import FscacheError
from stager.errors import ConnectionFailedError
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from stager.transports.base import Exchange
    from stager.transports.curl_line import Line

_PATIENCE = 1.0
"""Seconds of epoll without a timer of libcurl's: never so in practice, and no hang if it were."""


class Loop:
    """A multi handle, the sockets it waits for, and a descriptor to wake it by."""

    def __init__(self, limit: int) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._watched: set[int] = set()
        self._timer: int = -1
        self._thread = 0
        self._rung = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, limit)

    def run(
        self,
        take: Callable[[bool], Exchange | None],
        limit: int,
        line: Callable[[], Line],
        give_back: Callable[[Line], None],
    ) -> None:
        """Run exchanges until there are none left; see `MultiTransport.drive`."""
        self._thread = threading.get_ident()
        live: dict[Any, Line] = {}
        multi = self._multi
        try:
            while True:
                while len(live) < limit and (exchange := take(not live)) is not None:
                    free = line()
                    free.exchange = exchange
                    try:
                        free.begin(exchange.ask, exchange.sink)
                    except FscacheError as error:
                        free.exchange = None
                        give_back(free)
                        exchange.on_end(error)
                        continue
                    live[free.curl] = free
                    multi.add_handle(free.curl)
                if not live:
                    return
                if self._turn() < len(live):
                    self._reap(live, give_back)
                if self._rung:
                    self._rung = False
                    self._drop_unwanted(live, give_back)
        finally:
            self._thread = 0
            for left in live.values():
                multi.remove_handle(left.curl)
                if left.exchange is not None:
                    url = redact(left.exchange.ask.url)
                    left.exchange.on_end(ConnectionFailedError(url, "its thread has failed"))

    def wake(self) -> None:
        """End a wait for sockets."""
        if self._thread != threading.get_ident():
            os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Close what is open."""
        self._multi.close()
        self._epoll.close()
        os.close(self._bell)

    def _turn(self) -> int:
        """Wait for sockets and let libcurl work; return how many exchanges are still under way."""
        multi = self._multi
        running = -1
        timer = self._timer
        events = [] if timer == 0 else self._epoll.poll(_PATIENCE if timer < 0 else timer / 1000)
        if not events:
            self._timer = -1
            return int(multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)[1])
        for descriptor, mask in events:
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
                self._rung = True
                continue
            flags = 0
            if mask & ~select.EPOLLOUT:
                flags |= pycurl.CSELECT_IN
            if mask & ~select.EPOLLIN:
                flags |= pycurl.CSELECT_OUT
            running = multi.socket_action(descriptor, flags)[1]
        return running if running >= 0 else 1 << 30

    def _reap(self, live: dict[Any, Line], give_back: Callable[[Line], None]) -> None:
        multi = self._multi
        more = 1
        while more:
            more, good, bad = multi.info_read()
            ended = [(curl, pycurl.E_OK) for curl in good]
            ended += [(curl, code) for curl, code, _ in bad]
            for curl, code in ended:
                line = live.pop(curl)
                exchange, line.exchange = line.exchange, None
                failure = line.end(code)  # first: a removed handle does not know its connection
                multi.remove_handle(curl)
                give_back(line)
                if exchange is not None:
                    exchange.on_end(failure)

    def _drop_unwanted(self, live: dict[Any, Line], give_back: Callable[[Line], None]) -> None:
        for curl, line in list(live.items()):
            exchange = line.exchange
            if exchange is None:
                continue
            try:
                exchange.sink.on_wake()
            except Exception as error:  # noqa: BLE001 - the sink's own, handed back to it
                del live[curl]
                line.exchange = None
                line.end(pycurl.E_ABORTED_BY_CALLBACK)
                self._multi.remove_handle(curl)  # and with it the connection
                give_back(line)
                exchange.on_end(error)

    def _on_socket(self, event: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if event == pycurl.POLL_REMOVE:
            if descriptor in self._watched:
                self._watched.discard(descriptor)
                try:
                    self._epoll.unregister(descriptor)
                except OSError:
                    pass  # closed already
            return
        mask = 0
        if event != pycurl.POLL_OUT:
            mask |= select.EPOLLIN
        if event != pycurl.POLL_IN:
            mask |= select.EPOLLOUT
        if descriptor in self._watched:
            self._epoll.modify(descriptor, mask)
        else:
            self._watched.add(descriptor)
            self._epoll.register(descriptor, mask)

    def _on_timer(self, milliseconds: int) -> None:
        self._timer = milliseconds
