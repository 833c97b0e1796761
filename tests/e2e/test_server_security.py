"""Whom a data server trusts, and whom its clients do: TLS, tokens, targets, limits, the spool."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from fscache import errors
from fscache.remote.cache import RemoteCache
from fscache.server.limits import Limits
from tests.support.dns import NameServer
from tests.support.origin import Origin, Page, certificate, redirect
from tests.support.servers import DEADLINE, Daemon, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# -- TLS --------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "tls").mkdir()
    return certificate(str(tmp_path / "tls"))


def test_a_node_speaks_tls_and_gets_verified_bytes_values_and_uploads(
    tmp_path: Path,
    origin: Origin,
    certificates: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cert, key = certificates
    monkeypatch.setenv("SSL_CERT_FILE", cert)
    url = origin.add("/a", b"x" * 300_000)
    with serving(tmp_path / "root", tls_cert=cert, tls_key=key) as served:
        assert served.server.url.startswith("https://")
        address = f"https://{served.address}"
        with RemoteCache(
            address, token=served.token(), root=tmp_path / "node", shared=False
        ) as node:
            assert node.get(url).read_bytes() == b"x" * 300_000
            node.kv.put("k", [1, 2])
            assert node.kv.get("k") == [1, 2]
            big = os.urandom(2_000_000)
            stored = node.put(big)
            os.unlink(node.path(stored))
            assert node.path(stored).read_bytes() == big
        assert served.server.alive


def test_a_server_with_another_certificate_is_not_spoken_to(
    tmp_path: Path, certificates: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificates
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", certificate(str(tmp_path / "other"))[0])
    with (
        serving(tmp_path / "root", tls_cert=cert, tls_key=key) as served,
        RemoteCache(f"https://{served.address}", token=served.token(), root=tmp_path / "n") as node,
    ):
        node.rpc.client._sleep = _asked_again
        with pytest.raises(
            errors.ServerUnreachableError, match=r"certificate is not trusted.*FSCACHE_CA_FILE"
        ):
            node.kv.get("k")


def test_a_server_of_another_name_is_not_spoken_to(
    tmp_path: Path, certificates: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificates  # for localhost and 127.0.0.1
    monkeypatch.setenv("SSL_CERT_FILE", cert)
    with (
        serving(tmp_path / "root", tls_cert=cert, tls_key=key, host="127.0.0.2") as served,
        RemoteCache(f"https://{served.address}", token=served.token(), root=tmp_path / "n") as node,
    ):
        node.rpc.client._sleep = _asked_again
        with pytest.raises(errors.ServerUnreachableError, match=r"127\.0\.0\.2"):
            node.kv.get("k")


def test_who_speaks_tls_to_a_plain_port_or_plainly_to_tls_is_told_so_at_once(
    tmp_path: Path, certificates: tuple[str, str]
) -> None:
    cert, key = certificates
    with (
        serving(tmp_path / "root", tls_cert=cert, tls_key=key) as served,
        served.remote(tmp_path / "n") as node,
    ):
        node.rpc.client._sleep = _asked_again
        with pytest.raises(errors.RefusedRequestError, match=r"speaks TLS: write https://"):
            node.kv.get("k")
        with pytest.raises(errors.RefusedRequestError, match=r"speaks TLS: write https://"):
            node.put(os.urandom(3_000_000))
    with (
        serving(tmp_path / "plain") as served,
        RemoteCache(f"https://{served.address}", token=served.token(), root=tmp_path / "n") as node,
    ):
        node.rpc.client._sleep = _asked_again
        with pytest.raises(errors.ServerUnreachableError, match=r"no TLS: write http://"):
            node.kv.get("k")


def _asked_again(_seconds: float) -> None:
    raise AssertionError("asked again")


def test_who_speaks_plainly_to_a_tls_port_is_served_nothing_and_the_server_goes_on(
    tmp_path: Path, certificates: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificates
    monkeypatch.setenv("SSL_CERT_FILE", cert)
    with serving(tmp_path / "root", tls_cert=cert, tls_key=key) as served:
        port = int(served.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
        old = ssl.create_default_context(cafile=cert)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=old, timeout=20)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()


def test_a_new_certificate_is_taken_by_a_reload_and_a_broken_one_is_not(
    tmp_path: Path, certificates: tuple[str, str], until: Callable[..., None]
) -> None:
    cert, key = certificates
    (tmp_path / "new").mkdir()
    new_cert, new_key = certificate(str(tmp_path / "new"))

    def presented(port: int) -> str:
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=DEADLINE)

    def text(path: str) -> str:
        with open(path) as file:
            return file.read()

    with Daemon(tmp_path / "root", "--tls-cert", cert, "--tls-key", key) as daemon:
        assert daemon.process is not None
        first = presented(daemon.port)
        assert first == text(cert)
        for source, target in ((new_cert, cert), (new_key, key)):
            os.replace(source, target)
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: any("reloaded" in line for line in daemon.log), "the reload")
        assert presented(daemon.port) == text(cert) != first
        with open(cert, "w") as file:
            file.write("nonsense")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: any("not reloaded" in line for line in daemon.log), "the refusal")
        assert presented(daemon.port) not in (first, "nonsense")


# -- targets ----------------------------------------------------------------------------------


def _can_be_told_names() -> bool:
    command = ["unshare", "-m", "mount", "--bind", "/etc/resolv.conf", "/etc/resolv.conf"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_names = pytest.mark.skipif(
    not _can_be_told_names(), reason="no mount namespace for a resolv.conf of our own"
)


def _heard(listening: socket.socket) -> bytes:
    """Return what was sent to a socket that nobody answers at; a connection alone is nothing."""
    heard = b""
    while True:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            return heard
        with connection:
            connection.settimeout(DEADLINE)
            heard += connection.recv(4096)


@needs_names
@pytest.mark.parametrize("count", [1, 20], ids=["one", "many-at-once"])
def test_a_name_that_becomes_another_address_gains_nothing(tmp_path: Path, count: int) -> None:
    """The host is allowed, and its first answer too; the second is the server's own loopback."""
    settings = tmp_path / "config.toml"
    settings.write_text(
        'allow_hosts = ["*.example.org"]\nallow_networks = ["127.0.0.2/32"]\nattempts = 1\n'
    )
    with (
        Origin(host="127.0.0.2") as allowed,
        NameServer(["127.0.0.2", "127.0.0.1"]) as names,
        Daemon(
            tmp_path / "root",
            environ={"FSCACHE_CONFIG": str(settings)},
            allow_private=False,
            prefix=names.prefix(tmp_path),
        ) as daemon,
        daemon.remote(tmp_path / "node", shared=False) as node,
    ):
        path = allowed.add("/a", b"allowed")
        good = path.replace("127.0.0.2", "files.example.org")
        assert node.get(good).read_bytes() == b"allowed"
        allowed.drop_connections()
        with socket.create_server(("127.0.0.1", allowed.port)) as secret:
            secret.setblocking(False)
            urls = [f"http://files.example.org:{allowed.port}/s{n}" for n in range(count)]
            for request in node.prefetch(urls):
                with pytest.raises(errors.TargetRefusedError, match="loopback"):
                    request.result(DEADLINE)
            assert _heard(secret) == b""
        assert names.asked[:2] == ["127.0.0.2", "127.0.0.1"]


@needs_names
def test_a_redirect_to_a_name_that_becomes_another_address_gains_nothing(tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text('allow_networks = ["127.0.0.2/32"]\nattempts = 1\n')
    with (
        Origin(host="127.0.0.2") as allowed,
        Origin() as inner,
        NameServer(["127.0.0.1"]) as names,
        Daemon(
            tmp_path / "root",
            environ={"FSCACHE_CONFIG": str(settings)},
            allow_private=False,
            prefix=names.prefix(tmp_path),
        ) as daemon,
        daemon.remote(tmp_path / "node", shared=False) as node,
    ):
        inner.add("/secret", b"secret")
        target = f"http://innocent.example.org:{inner.port}/secret"
        with pytest.raises(errors.TargetRefusedError, match="loopback"):
            node.get(allowed.add("/a", redirect(target)))
        assert inner.requests == []


def test_hosts_are_allowed_and_denied_by_pattern_after_a_redirect_too(
    tmp_path: Path, origin: Origin
) -> None:
    denied = origin.add("/denied", b"denied").replace("127.0.0.1", "localhost")
    config = {"allow_hosts": "127.0.0.* *.example.org", "deny_hosts": "127.0.0.2"}
    with (
        serving(tmp_path / "root", config=config) as served,
        served.remote(tmp_path / "node", shared=False) as node,
    ):
        assert node.get(origin.add("/a", b"abc")).read_bytes() == b"abc"
        for url, why in (
            (denied, "not on the allow list"),
            (origin.url("/x").replace("127.0.0.1", "127.0.0.2"), "on the deny list"),
            (origin.add("/away", redirect(denied)), "not on the allow list"),
        ):
            with pytest.raises(errors.TargetRefusedError, match=why):
                node.get(url)
    assert origin.seen("/denied") == []


def test_a_site_mirror_is_asked_instead_and_the_origin_after_it(tmp_path: Path) -> None:
    with Origin() as near, Origin() as far:
        near.add("/copy/a", b"near")
        far.add("/data/b", b"far")
        rules = {f"{far.base}/data/": [f"{near.base}/copy/", f"{far.base}/data/"]}
        with (
            serving(tmp_path / "root", config={"mirrors": rules}) as served,
            served.remote(tmp_path / "node", shared=False) as node,
        ):
            assert node.get(f"{far.base}/data/a").read_bytes() == b"near"
            assert node.get(f"{far.base}/data/b").read_bytes() == b"far"
            assert far.seen("/data/a") == []
            assert len(near.seen("/copy/b")) == 1
            # It is kept under the name that was asked for, wherever it came from.
            assert node.lookup(f"{far.base}/data/a") is not None
            assert node.lookup(f"{near.base}/copy/a") is None


def test_a_mirror_that_leads_to_a_refused_target_is_refused(tmp_path: Path) -> None:
    with Origin() as inner:
        inner.add("/a", b"secret")
        config = {
            "mirrors": {"http://files.example.org/": [f"{inner.base}/"]},
            "allow_private": False,
            "attempts": 1,
        }
        with (
            serving(tmp_path / "root", config=config) as served,
            served.remote(tmp_path / "node", shared=False) as node,
            pytest.raises(errors.TargetRefusedError),
        ):
            node.get("http://files.example.org/a")
        assert inner.requests == []


# -- limits -----------------------------------------------------------------------------------


def test_a_client_in_a_loop_is_slowed_down_and_loses_nothing(tmp_path: Path) -> None:
    limits = Limits(rate=50.0, burst=0.1)
    with (
        serving(tmp_path / "root", limits=limits) as served,
        served.remote(tmp_path / "node") as node,
    ):
        node.rpc.client._sleep = lambda _seconds: None  # asks again at once, as a loop would
        node.rpc.client._patience = 60.0
        for number in range(20):
            node.kv.put(f"k{number}", number)
        assert sorted(node.kv.multiget(node.kv.keys()).values()) == list(range(20))
        assert served.server._app.refused > 0


def test_bodies_are_bounded_wherever_they_come_in(tmp_path: Path) -> None:
    limits = Limits(call=10_000, value=10_000, upload=10_000)
    with serving(tmp_path / "root", limits=limits) as served:
        for method, path, kind, status in (
            ("POST", "/RPC2", "text/xml", 413),
            ("PUT", "/kv/default/k", "text/plain", 413),
            ("PUT", "/objects", "application/octet-stream", 507),
            ("POST", "/bundle", "application/json", 413),
        ):
            size = 10_001 if path != "/bundle" else 5 * 1024 * 1024
            connection = http.client.HTTPConnection(served.address, timeout=20)
            connection.putrequest(method, path)
            connection.putheader("Authorization", f"Bearer {served.token()}")
            connection.putheader("Content-Type", kind)
            connection.putheader("Content-Length", str(size))
            connection.putheader("Expect", "100-continue")
            connection.endheaders()
            # Refused by its announced length: not a byte of it is asked for.
            assert connection.getresponse().status == status, path
            connection.close()


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_no_page_of_another_site_can_post(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path / "root") as served:
        for path in ("/RPC2", "/bundle"):
            connection = http.client.HTTPConnection(served.address, timeout=20)
            headers = {"Authorization": f"Bearer {served.token()}"}
            connection.request("POST", path, b"[]", {**headers, "Content-Type": kind})
            assert connection.getresponse().status == 415
            connection.close()


# -- the spool --------------------------------------------------------------------------------


def drop(root: Path, name: str, urls: list[str]) -> None:
    """Drop a request as a node does: whole when it appears in `new`."""
    written = root / "spool/tmp" / name
    written.write_text(json.dumps({"urls": urls}))
    os.rename(written, root / "spool/new" / name)


def test_what_is_planted_in_the_spool_is_neither_followed_nor_read(
    tmp_path: Path, origin: Origin, until: Callable[..., None]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"urls": ["http://10.0.0.1/token-of-somebody"]}))
    with Daemon(tmp_path / "root", "--scan-interval", "0.1") as daemon:
        new, failed = tmp_path / "root/spool/new", tmp_path / "root/spool/failed"
        os.symlink(secret, new / "symlinked")
        os.symlink(tmp_path / "root/tokens", new / "tokens-of-ours")
        os.mkfifo(new / "some-pipe-here")
        (new / "no request").write_text("x")
        (new / "dotted..name").write_text('{"urls": ["http://h/"]}')
        drop(tmp_path / "root", "dropped-well", [origin.add("/a", b"abc")])
        until((tmp_path / "root/spool/done/dropped-well").exists, "the good one")
        until(lambda: not os.listdir(new), "the bad ones to be gone")
        for name in ("symlinked", "tokens-of-ours", "some-pipe-here"):
            answer = json.loads((failed / name).read_text())
            assert answer["error"]["code"] == "refused-request"
            assert "token" not in answer["error"]["message"]
        assert secret.read_text().startswith('{"urls"')
        assert daemon.token() not in "".join(daemon.log)
    assert [seen.path for seen in origin.requests] == ["/a"]


@pytest.mark.parametrize("mirror", ["../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1/"])
def test_a_target_asked_for_by_the_spool_is_judged_like_any_other(
    tmp_path: Path, mirror: str, until: Callable[..., None]
) -> None:
    with Daemon(tmp_path / "root", "--scan-interval", "0.1", allow_private=False):
        drop(tmp_path / "root", "dropped-one", [mirror])
        answer = tmp_path / "root/spool/failed/dropped-one"
        until(answer.exists, "the answer")
        (found,) = json.loads(answer.read_text())["requests"]
        assert found["error"]["code"] in ("target-refused", "invalid-url")


# -- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/objects/..%2f..%2ftokens",
        "/objects/%2e%2e/%2e%2e/tokens",
        "/kv/..%2f..%2f/tokens",
        "/../tokens",
        "/objects/0000%00",
        f"/urls/{quote('file:///etc/passwd', safe='')}",
        f"/urls/{quote('../../tokens', safe='')}",
    ],
)
def test_no_path_leads_to_a_file_that_is_not_served(tmp_path: Path, path: str) -> None:
    with serving(tmp_path / "root") as served:
        connection = http.client.HTTPConnection(served.address, timeout=20)
        headers = {"Authorization": f"Bearer {served.token()}"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert 400 <= answer.status < 500
        assert b"root:" not in body
        assert served.token("admin").encode() not in body


# -- secrets ----------------------------------------------------------------------------------


def test_a_secret_in_a_url_or_a_header_is_seen_by_its_origin_and_by_nobody_else(
    tmp_path: Path, origin: Origin, until: Callable[..., None]
) -> None:
    secret = "0penSesame"
    plain = origin.add("/a", Page(b"x" * 100_000, stall_at=1000), Page(b"x" * 100_000))
    url = plain.replace("http://", f"http://me:{secret}@")
    bad = origin.url("/nothing").replace("http://", f"http://me:{secret}@")
    with Daemon(tmp_path / "root") as daemon:
        with daemon.remote(tmp_path / "node", token=daemon.token("admin"), shared=False) as node:
            headers = {"Cookie": f"session={secret}"}
            ids = node.rpc("url.stage", [url, bad], {"headers": headers})
            until(lambda: origin.seen("/a"), "the request")
            shown = [
                str(node.rpc("admin.requests")),
                str(node.rpc("url.status", ids)),
                node.rpc.client.call("GET", "/").body.decode(),
                *(
                    path.read_text()
                    for path in (tmp_path / "root/spool").rglob("*")
                    if path.is_file()
                ),
            ]
            origin.release.set()
            ended = []
            while len(ended) < 2:
                ended = node.rpc("url.wait", ids, 20.0, parked=20.0)
            shown += [str(ended), str(list(node.entries())), str(node.admin.ls())]
            assert [seen.headers["cookie"] for seen in origin.requests] == [
                headers["Cookie"]
            ] * len(origin.requests)
            assert origin.seen("/a")[0].headers["authorization"].startswith("Basic ")
        daemon.kill(signal.SIGTERM)
        shown += daemon.log
        for path in tmp_path.rglob("*"):
            if path.is_file() and "objects" not in path.parts:
                shown.append(path.read_bytes().decode("latin-1"))
        assert [text for text in shown if secret in text] == []
