"""A name server whose answers change, for processes that are told to ask it.

    with NameServer(["127.0.0.2", "127.0.0.1"]) as names:
        daemon = Daemon(root, prefix=names.prefix(folder))

The first question for an address gets the first one, the second the second, and the last one repeats.
It listens at a loopback address of its own, so that several can run; `prefix` gives a process a mount
namespace in which /etc/resolv.conf names it.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import os

_A = 1
_HEADER = struct.Struct("!HHHHHH")


class NameServer:
    """Answers every name."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self.asked: list[str] = []
        """The addresses told so far."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host = f"127.53.{random.randrange(256)}.{random.randrange(1, 255)}"
        self._socket.bind((self.host, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def prefix(self, folder: str | os.PathLike[str]) -> list[str]:
        """Return what goes before a command that is to ask here."""
        path = Path(folder, "resolv.conf")
        path.write_text(f"nameserver {self.host}\noptions timeout:2 attempts:2\n")
        script = f'mount --bind {path} /etc/resolv.conf && exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, "-"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        # Closing a socket does not wake a thread in recvfrom(); a packet does.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
            bell.sendto(b"", (self.host, 53))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                return
            self._socket.sendto(self._answer(data), client)

    def _answer(self, data: bytes) -> bytes:
        number = _HEADER.unpack_from(data)[0]
        end = data.index(b"\0", _HEADER.size) + 5
        question = data[_HEADER.size : end]
        (kind,) = struct.unpack_from("!H", question, len(question) - 4)
        if kind != _A:
            return _HEADER.pack(number, 0x8180, 1, 0, 0, 0) + question
        address = self._addresses[min(len(self.asked), len(self._addresses) - 1)]
        self.asked.append(address)
        packed = ipaddress.IPv4Address(address).packed
        record = struct.pack("!HHHIH", 0xC00C, _A, 1, 0, len(packed)) + packed
        return _HEADER.pack(number, 0x8180, 1, 1, 0, 0) + question + record
