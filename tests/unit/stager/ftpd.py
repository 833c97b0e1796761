"""A small FTP server on loopback: enough of RFC 959 and 3659 for one client at a time each."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import Any


class FTPServer(socketserver.ThreadingTCPServer):
    """Serves `files`; `cuts` holds, for each transfer to come, after how many bytes it breaks."""

    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.login = ("anonymous", "anonymous@")
        self.modified = "20250101000000"
        self.knows_size = True
        self.busy = False
        self.log: list[str] = []
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        self.base = f"ftp://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Session(socketserver.StreamRequestHandler):
    server: FTPServer

    def handle(self) -> None:
        self.user, self.rest, self.listener = "", 0, None
        self.say("220 hello")
        for line in self.rfile:
            text = line.decode().strip()
            self.server.log.append(text)
            command, _, argument = text.partition(" ")
            if command == "QUIT":
                self.say("221 bye")
                return
            getattr(self, f"do_{command.lower()}", self.unknown)(argument)
        if self.listener:
            self.listener.close()

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def unknown(self, _: str) -> None:
        self.say("502 what?")

    def do_user(self, user: str) -> None:
        self.user = user
        self.say("331 password?")

    def do_pass(self, password: str) -> None:
        good = (self.user, password) == self.server.login
        self.say("421 too many" if self.server.busy else "230 in" if good else "530 no")

    def do_type(self, _: str) -> None:
        self.say("200 ok")

    def do_size(self, name: str) -> None:
        if not self.server.knows_size:
            self.say("502 what?")
        elif name in self.server.files:
            self.say(f"213 {len(self.server.files[name])}")
        else:
            self.say("550 no such file")

    def do_mdtm(self, _: str) -> None:
        self.say(f"213 {self.server.modified}")

    def do_pasv(self, _: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        high, low = divmod(self.listener.getsockname()[1], 256)
        self.say(f"227 (10,0,0,1,{high},{low})")  # a host that must not be believed

    def do_rest(self, offset: str) -> None:
        self.rest = int(offset)
        self.say("350 ok")

    def do_retr(self, name: str) -> None:
        if name not in self.server.files:
            self.say("550 no such file")
            return
        self.say("150 coming")
        assert self.listener
        data, _ = self.listener.accept()
        self.listener.close()
        body = self.server.files[name][self.rest :]
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        with data, contextlib.suppress(OSError):
            data.sendall(body[:cut])
        self.say("226 done" if cut >= len(body) else "426 broken")
