"""The data server beside what it replaces: the original metastore, nginx, redis; and against itself.

    python benchmarks/server.py [kv] [objects] [parsers] [stage] [--rounds N]

Every server is a process of its own, every client too; all speak over loopback and keep their files
in one fresh directory, on tmpfs where there is one.
"""

from __future__ import annotations

import contextlib
import http.client
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import xmlrpc.client
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCServer

sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import TYPE_CHECKING

from benchmarks.harness import Case, compare, main
from tests.support.servers import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = 100
VALUE = "x" * 100
WHERE = "/dev/shm" if os.path.isdir("/dev/shm") else None
GIB = 1 << 30
_context = multiprocessing.get_context("fork")


# -- clients ----------------------------------------------------------------------------------


def _metastore(url: str, calls: int, put: bool) -> None:
    proxy = xmlrpc.client.ServerProxy(url)
    for number in range(calls):
        if put:
            proxy.put(f"k{number % KEYS}", VALUE)
        else:
            proxy.get(f"k{number % KEYS}")


def _own(address: str, token: str, calls: int, put: bool) -> None:
    from fscache.remote.cache import RemoteCache

    kv = RemoteCache(address, token=token, root="/nonexistent/unused").kv
    for number in range(calls):
        if put:
            kv.put(f"k{number % KEYS}", VALUE)
        else:
            kv.get(f"k{number % KEYS}")


def _redis(port: int, calls: int, put: bool) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for number in range(calls):
            key = b"k%d" % (number % KEYS)
            words = (b"SET", key, VALUE.encode()) if put else (b"GET", key)
            sock.sendall(
                b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)
            )
            sock.recv(4096)


def _clients(count: int, target: Callable[..., None], *arguments: object) -> float:
    """Return the seconds that `count` processes take, from the moment all are ready."""
    barrier = _context.Barrier(count + 1)

    def work() -> None:
        barrier.wait()
        target(*arguments)

    processes = [_context.Process(target=work) for _ in range(count)]
    for process in processes:
        process.start()
    barrier.wait()
    start = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - start
    if any(process.exitcode for process in processes):
        raise RuntimeError("a client failed")
    return seconds


# -- servers ----------------------------------------------------------------------------------


def _original(path: str, port: multiprocessing.SimpleQueue) -> None:
    """Serve what the original metastore serves, as it does: one thread, a commit for each put."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE metastore (k varchar(255), v text, primary key(k))")

    def get(key: str) -> str:
        row = connection.execute("SELECT v FROM metastore WHERE k = ?", (key,)).fetchone()
        if row is None:
            raise KeyError
        return row[0]

    def put(key: str, value: str) -> bool:
        connection.execute("REPLACE INTO metastore (k, v) VALUES (?, ?)", (key, value))
        connection.commit()
        return True

    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)
    server.register_function(get)
    server.register_function(put)
    port.put(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def _process(target: Callable[..., None], *arguments: object) -> Iterator[int]:
    port = _context.SimpleQueue()
    process = _context.Process(target=target, args=(*arguments, port), daemon=True)
    process.start()
    try:
        yield port.get()
    finally:
        process.kill()
        process.join()


@contextlib.contextmanager
def _redis_server() -> Iterator[int | None]:
    program = shutil.which("redis-server")
    if program is None:
        print("redis is left out: redis-server is not installed (apt-get install redis-server)")
        yield None
        return
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [
        program,
        "--port",
        str(port),
        "--save",
        "",
        "--appendonly",
        "no",
        "--bind",
        "127.0.0.1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _reach(port)
        yield port
    finally:
        process.kill()
        process.wait()


def _reach(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


# -- benchmarks -------------------------------------------------------------------------------


def kv(rounds: int) -> dict:
    """Remote gets and puts of 100 bytes, with 1 and 8 clients."""
    results = {}
    with tempfile.TemporaryDirectory(dir=WHERE) as folder, contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(f"{folder}/root"))
        old = stack.enter_context(_process(_original, f"{folder}/old.sdb"))
        redis = stack.enter_context(_redis_server())
        token = daemon.token()
        ours, theirs = f"http://token:{token}@{daemon.address}", f"http://127.0.0.1:{old}"
        for put in (True, False):
            for count, calls in ((1, 3000), (8, 600)):
                cases = [
                    Case(
                        "original metastore",
                        partial(_clients, count, _metastore, theirs, calls, put),
                    ),
                    Case(
                        "its client, our server",
                        partial(_clients, count, _metastore, ours, calls, put),
                    ),
                    Case(
                        "our client",
                        partial(_clients, count, _own, daemon.address, token, calls, put),
                    ),
                ]
                if redis is not None:
                    cases.append(Case("redis", partial(_clients, count, _redis, redis, calls, put)))
                word = "put" if put else "get"
                title = f"remote kv.{word}, 100 B, {count} client{'s' if count > 1 else ''}"
                results[title] = compare(
                    title,
                    cases,
                    "original metastore",
                    rounds=rounds,
                    work=count * calls,
                    unit="calls",
                )
        results["p99"] = _latencies(daemon.address, token, theirs)
    return results


def _latencies(address: str, token: str, theirs: str) -> dict:
    from fscache.remote.cache import RemoteCache

    own = RemoteCache(address, token=token, root="/nonexistent/unused").kv
    other = xmlrpc.client.ServerProxy(theirs)
    found = {}
    print("\n## one client's kv.get, µs\n\n| | p50 | p99 |\n|---|---|---|")
    for name, call in (("our client", own.get), ("original metastore", other.get)):
        times = []
        for number in range(3000):
            start = time.perf_counter()
            call(f"k{number % KEYS}")
            times.append(time.perf_counter() - start)
        times.sort()
        found[name] = {"p50": times[1500] * 1e6, "p99": times[2970] * 1e6}
        print(f"| {name} | {found[name]['p50']:.0f} | {found[name]['p99']:.0f} |")
    return found


def objects(rounds: int) -> dict:
    """GET of 1 GiB, by curl; 4 at once; 16 clients that must all get every byte."""
    results = {}
    with tempfile.TemporaryDirectory(dir=WHERE) as folder, contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(f"{folder}/root"))
        big = f"{folder}/www/big"
        os.mkdir(f"{folder}/www")
        with open(big, "wb") as file:
            block = os.urandom(1 << 20)
            file.writelines(block for _ in range(GIB >> 20))
        token = daemon.token()
        from fscache.cache import Cache

        name = Cache(f"{folder}/root").put(big)
        ours = f"http://{daemon.address}/objects/{name}"
        header = ["-H", f"Authorization: Bearer {token}"]
        cases = [Case("fscache-stager", lambda: _curl(1, ours, header))]
        four = [Case("fscache-stager", lambda: _curl(4, ours, header))]
        base = "fscache-stager"
        nginx = shutil.which("nginx")
        if nginx:
            port = stack.enter_context(_nginx(nginx, folder))
            theirs = f"http://127.0.0.1:{port}/big"
            cases.insert(0, Case("nginx sendfile", lambda: _curl(1, theirs, [])))
            four.insert(0, Case("nginx sendfile", lambda: _curl(4, theirs, [])))
            base = "nginx sendfile"
        results["1"] = compare(
            "GET of 1 GiB, curl", cases, base, rounds=rounds, work=1024, unit="MiB"
        )
        results["4"] = compare(
            "GET of 1 GiB, 4 curls at once", four, base, rounds=rounds, work=4096, unit="MiB"
        )
        small = Cache(f"{folder}/root").put(os.urandom(64 << 20))
        seconds = _clients(16, _download, daemon.address, token, small, 64 << 20)
        print(f"\n16 clients, 64 MiB each: all whole, {16 * 64 / seconds:,.0f} MiB/s together")
        results["16"] = {"seconds": seconds}
    return results


def _curl(count: int, url: str, options: list[str]) -> None:
    command = ["curl", "-sf", "-o", "/dev/null", *options, url]
    processes = [subprocess.Popen(command) for _ in range(count)]
    if any(process.wait() for process in processes):
        raise RuntimeError("curl failed")


def _download(address: str, token: str, name: str, size: int) -> None:
    connection = http.client.HTTPConnection(address)
    connection.request("GET", f"/objects/{name}", headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    received = 0
    while data := response.read(1 << 20):
        received += len(data)
    if received != size:
        raise RuntimeError(f"{received} of {size} bytes")


@contextlib.contextmanager
def _nginx(program: str, folder: str) -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    Path(folder, "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 2;"
        "events {} http { access_log off; sendfile on; tcp_nopush on;"
        f"client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;"
        f"uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;"
        f"server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}"
    )
    os.chmod(folder, 0o755)
    process = subprocess.Popen([program, "-c", f"{folder}/nginx.conf", "-p", folder])
    try:
        _reach(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def parsers(rounds: int) -> dict:
    """Why the server has an HTTP loop of its own: the same answer through http.server and through it."""
    request = (
        b"GET /kv/default/foo HTTP/1.1\r\nHost: 127.0.0.1:8077\r\n"
        b"Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n"
    )

    def ask(port: int, calls: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for _ in range(calls):
                sock.sendall(request)
                data = sock.recv(65536)
                while not data.endswith(VALUE.encode()):
                    data += sock.recv(65536)

    results = {}
    with _process(_standard) as standard, _process(_lean) as lean:
        for count, calls in ((1, 3000), (8, 600)):
            title = f"HTTP loop, {count} raw client{'s' if count > 1 else ''}"
            cases = [
                Case("http.server, threads", partial(_clients, count, ask, standard, calls)),
                Case("fscache.server", partial(_clients, count, ask, lean, calls)),
            ]
            results[title] = compare(
                title,
                cases,
                "http.server, threads",
                rounds=rounds,
                work=count * calls,
                unit="calls",
            )
    return results


def _standard(port: multiprocessing.SimpleQueue) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(VALUE)))
            self.end_headers()
            self.wfile.write(VALUE.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.put(server.server_address[1])
    server.serve_forever()


def _lean(port: multiprocessing.SimpleQueue) -> None:
    from fscache.server.connection import Response
    from fscache.server.listener import Listener, bind

    sock = bind("127.0.0.1", 0)
    port.put(sock.getsockname()[1])
    Listener(sock, lambda _request: Response(200, VALUE.encode())).start()
    threading.Event().wait()


def stage(rounds: int) -> dict:
    """5,000 files of 4 KiB staged by the daemon for a node, beside one process staging them itself."""
    count = 5000
    results = {}
    with tempfile.TemporaryDirectory(dir=WHERE) as folder, contextlib.ExitStack() as stack:
        os.mkdir(f"{folder}/www")
        for number in range(count):
            Path(folder, "www", f"f{number}").write_bytes(os.urandom(4096))
        nginx = shutil.which("nginx")
        if not nginx:
            print("stage: nginx is not installed")
            return results
        port = stack.enter_context(_nginx(nginx, folder))
        turn = iter(range(1000))
        made: list[Daemon] = []

        def fresh() -> None:
            """Give the daemon a new root: an old one has the bytes already, to be compared with."""
            while made:
                made.pop().kill()
            made.append(Daemon(f"{folder}/root{next(turn)}").start())
            remote(shared=True, count=50)  # what it imports at the first request

        def urls(count: int = count) -> list[str]:
            mark = next(turn)
            return [f"http://127.0.0.1:{port}/f{number}?{mark}" for number in range(count)]

        def alone() -> float:
            from fscache import config
            from fscache.cache import Cache

            with Cache(f"{folder}/own{next(turn)}", config=config.load({})) as cache:
                listed = urls()
                start = time.perf_counter()
                cache.get_many(listed)
                return time.perf_counter() - start

        def remote(*, shared: bool, count: int = count) -> float:
            daemon = made[-1]
            node = f"{folder}/node{next(turn)}"
            with daemon.remote(node, shared=shared) as cache:
                listed = urls(count)
                start = time.perf_counter()
                cache.get_many(listed)
                return time.perf_counter() - start

        try:
            results = compare(
                f"{count} files of 4 KiB",
                [
                    Case("one process, no daemon", alone),
                    Case("daemon, shared root", lambda: remote(shared=True), fresh),
                    Case("daemon, node's own root", lambda: remote(shared=False), fresh),
                ],
                "one process, no daemon",
                rounds=rounds,
                work=count,
                unit="files",
            )
        finally:
            made.pop().kill()
    return results


if __name__ == "__main__":
    main({"kv": kv, "objects": objects, "parsers": parsers, "stage": stage})
