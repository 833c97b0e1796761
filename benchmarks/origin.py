"""A local nginx with the files that the benchmarks fetch."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL_FILES = 5000
SMALL_SIZE = 4096
BIG_SIZE = 1 << 30

_CONFIG = """
worker_processes 2; daemon off; pid {top}/pid; error_log {top}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {top}/t1; proxy_temp_path {top}/t2; fastcgi_temp_path {top}/t3;
  uwsgi_temp_path {top}/t4; scgi_temp_path {top}/t5;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {top}/www; }}
}}
"""


@contextmanager
def nginx(*, big: bool = False) -> Iterator[str]:
    """Serve `/s/00000` … (random bytes, 4 KiB each) and, if asked for, `/big` (1 GiB)."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    top = tempfile.mkdtemp(prefix="fscache-bench-")
    try:
        os.chmod(top, 0o755)
        os.makedirs(f"{top}/www/s")
        for number in range(SMALL_FILES):
            with open(f"{top}/www/s/{number:05d}", "wb") as file:
                file.write(os.urandom(SMALL_SIZE))
        if big:
            with open(f"{top}/www/big", "wb") as file:
                file.writelines(os.urandom(1 << 20) for _ in range(BIG_SIZE >> 20))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with open(f"{top}/nginx.conf", "w") as file:
            file.write(_CONFIG.format(top=top, port=port))
        server = subprocess.Popen([program, "-c", f"{top}/nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            _await(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(top)


def _await(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
