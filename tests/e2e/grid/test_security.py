"""Who may join a grid: whoever has its certificates, and nobody else."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from fscache import Cache
from fscache.errors import ClusterError, GridAddressError, InsecureGridError
from fscache.grid import Grid, tls

if TYPE_CHECKING:
    from pathlib import Path


def parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return host, int(port)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(str(tmp_path / "root"))


@pytest.mark.parametrize("address", ["tcp://head:8786", "tcp://192.168.1.7", "tcp://10.0.0.1:8786"])
def test_another_host_without_certificates_is_refused_unasked(cache: Cache, address: str) -> None:
    with pytest.raises(InsecureGridError, match="workers init"):
        Grid(address, cache=cache)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8786", "tls://127.0.0.1:port", ""])
def test_what_is_no_address_is_refused_before_anything_is_started(
    cache: Cache, address: str
) -> None:
    with pytest.raises(GridAddressError, match="tls://host:port"):
        Grid(address, cache=cache)


def test_who_does_not_answer_at_an_address_is_said(cache: Cache) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ClusterError, match=f"127.0.0.1:{port}"):
            Grid(f"127.0.0.1:{port}", tls=tls.temporary(), cache=cache, timeout=0.5)


def test_who_accepts_and_is_silent_is_waited_for_no_longer_than_told(cache: Cache) -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ClusterError, match=f"127.0.0.1:{port}: no answer within 0.5 s"):
            Grid(f"tcp://127.0.0.1:{port}", cache=cache, timeout=0.5)
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("certificates", [None, tls.temporary()])
def test_who_answers_and_is_no_scheduler_is_said(
    cache: Cache, certificates: tls.KeyPair | None
) -> None:
    class Web(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        before = set(threading.enumerate())
        scheme = "tls" if certificates else "tcp"
        address = f"{scheme}://127.0.0.1:{web.server_address[1]}"
        try:
            with pytest.raises(ClusterError, match=address):
                Grid(address, tls=certificates, cache=cache, timeout=2)
            assert "IO loop" not in {made.name for made in set(threading.enumerate()) - before}
        finally:
            web.shutdown()
            thread.join()


def test_tls_without_certificates_says_which_are_missing(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(InsecureGridError, match=r"ca\.pem"):
        Grid("tls://head:8786", tls=str(tmp_path / "none"), cache=cache)


def test_a_client_of_another_authority_is_refused(two: Grid, cache: Cache) -> None:
    with pytest.raises(ClusterError):
        Grid(two.cluster.address, tls=tls.temporary(), cache=cache, timeout=2)


def test_a_client_without_encryption_is_refused(two: Grid, cache: Cache) -> None:
    address = two.cluster.address.replace("tls://", "tcp://")
    with pytest.raises(ClusterError):
        Grid(address, cache=cache, timeout=2)


def test_nobody_listens_in_the_clear(two: Grid) -> None:
    """Head and workers alike end a connection that shows no certificate, before any message."""

    async def knock(address: str) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        host, port = parts(address)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            return await asyncio.wait_for(reader.read(1000), 10)
        except (ssl.SSLError, ConnectionResetError):
            return b""
        finally:
            writer.close()

    for address in [two.cluster.address, *(worker.address for worker in two.workers())]:
        assert address.startswith("tls://127.0.0.1:")
        assert asyncio.run(knock(address)) == b""
        with socket.create_connection(parts(address), timeout=10) as plain:
            plain.sendall(b"\x00" * 64)
            try:
                answer = plain.recv(1000)
            except ConnectionResetError:
                answer = b""
            assert b"Scheduler" not in answer
            assert answer[:1] in (b"", b"\x15")  # closed, or a TLS alert
