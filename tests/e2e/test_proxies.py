"""Behind a proxy, and with a site's own certificate authority: as a user of a cluster has it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fscache import errors
from fscache.remote.cache import RemoteCache
from tests.support.commands import Shell
from tests.support.origin import Origin, Page, certificate, redirect
from tests.support.proxy import Proxy
from tests.support.servers import Daemon, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGIN = "me:s3cret"
NOBODY = "http://127.0.0.1:1"
"""A proxy that is not there."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(auth=LOGIN) as made:
        yield made


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# -- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize("upper", [False, True])
def test_a_user_behind_a_proxy_gets_everything_through_it(
    shell: Shell, origin: Origin, secure: Origin, proxy: Proxy, upper: bool
) -> None:
    body = os.urandom(1 << 20)
    # http to https, as most archives have it
    url = origin.add("/a", redirect(secure.url("/b")))
    secure.add("/b", Page(body, cut_at=400_000), Page(body))
    variables = {
        "http_proxy": proxy.with_login(LOGIN),
        "https_proxy": proxy.with_login(LOGIN),
        "no_proxy": "example.org,localhost",
    }
    environ = {name.upper() if upper else name: value for name, value in variables.items()}
    got = shell.run("get", url, FSCACHE_CA_FILE=secure.ca_file or "", **environ)
    assert got.code == 0, got.err
    assert content(got.lines[0]) == body
    assert {method for method, _ in proxy.seen} == {"GET", "CONNECT"}
    asked = [*origin.requests, *secure.requests]
    assert [seen.headers.get("proxy-authorization") for seen in asked] == [None] * len(asked)
    # A hit asks nobody, whatever the environment says.
    again = shell.run("get", url, http_proxy="socks5://nonsense", https_proxy=NOBODY)
    assert (again.lines, again.err) == (got.lines, "")
    shown = shell.run("config", "show", **environ)
    assert "s3cret" not in shown.out.decode() + got.err
    assert "***@" in shown.out.decode()


def test_many_files_come_through_the_proxy(shell: Shell, origin: Origin, proxy: Proxy) -> None:
    urls = [origin.add(f"/{n}", b"%d" % n) for n in range(40)]
    got = shell.run("get", "-q", *urls, http_proxy=proxy.with_login(LOGIN))
    assert [content(path) for path in got.lines] == [b"%d" % n for n in range(40)]
    assert len(proxy.seen) == 40


def test_no_proxy_passes_it_by(shell: Shell, origin: Origin) -> None:
    url = origin.add("/a", b"four")
    got = shell.run("get", url, http_proxy=NOBODY, no_proxy="127.0.0.0/8")
    assert got.code == 0


@pytest.mark.parametrize("variable", ["FSCACHE_CA_FILE", "SSL_CERT_FILE"])
def test_a_sites_authority_is_trusted(shell: Shell, secure: Origin, variable: str) -> None:
    url = secure.add("/a", b"four")
    refused = shell.run("get", url)
    assert refused.code == 4
    assert "its certificate is not accepted" in refused.err
    assert shell.run("get", url, **{variable: secure.ca_file or ""}).code == 0


@pytest.mark.parametrize("variable", ["FSCACHE_CA_FILE", "SSL_CERT_FILE"])
def test_certificates_that_cannot_be_read_are_a_wrong_setting(
    shell: Shell, secure: Origin, origin: Origin, variable: str
) -> None:
    missing = shell.run("get", secure.add("/a", b"four"), **{variable: "/nonexistent.pem"})
    assert missing.code == 2
    assert "/nonexistent.pem: No such file or directory" in missing.err
    assert variable.removeprefix("FSCACHE_").lower() in missing.err.lower()
    assert shell.run("get", origin.add("/a", b"four"), **{variable: "/nonexistent.pem"}).code == 0


def test_a_proxy_in_config_toml_is_used(
    shell: Shell, origin: Origin, proxy: Proxy, tmp_path: Path
) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text(f'http_proxy = "{proxy.with_login(LOGIN)}"\nno_proxy = ["localhost"]\n')
    url = origin.add("/a", b"four")
    assert shell.run("get", url, FSCACHE_CONFIG=str(settings), http_proxy=NOBODY).code == 0
    local = origin.add("/b", redirect(url)).replace("127.0.0.1", "localhost")
    assert shell.run("get", local, FSCACHE_CONFIG=str(settings)).code == 0
    assert [target for _, target in proxy.seen] == [url, url]


def test_failures_of_the_proxy_are_told(
    shell: Shell, origin: Origin, secure: Origin, proxy: Proxy, tmp_path: Path
) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("attempts = 1\n")
    environ = {"FSCACHE_CONFIG": str(settings), "http_proxy": NOBODY, "https_proxy": proxy.url}
    gone = shell.run("get", origin.add("/a", b"four"), **environ)
    assert gone.code == 4
    assert f"no way through the proxy {NOBODY}: Connection refused" in gone.err
    wanted = shell.run("get", secure.add("/a", b"four"), **environ)
    assert wanted.code == 8
    assert f"the proxy {proxy.url} wants a credential" in wanted.err


# -- the daemon, and who asks it --------------------------------------------------------------


def test_a_daemon_takes_no_proxy_from_its_environment(
    tmp_path: Path, origin: Origin, proxy: Proxy
) -> None:
    login = proxy.with_login(LOGIN)
    url = origin.add("/a", b"four")
    with (
        Daemon(tmp_path / "root", environ={"http_proxy": login, "HTTP_PROXY": login}) as daemon,
        daemon.remote(tmp_path / "node", shared=False) as node,
    ):
        assert node.get(url).read_bytes() == b"four"
    assert proxy.headers == []


def test_a_daemon_goes_through_the_proxy_that_its_configuration_names(
    tmp_path: Path, origin: Origin, proxy: Proxy
) -> None:
    url = origin.add("/a", b"four").replace("127.0.0.1", "localhost")
    settings = tmp_path / "config.toml"
    settings.write_text(f'http_proxy = "{proxy.with_login(LOGIN)}"\n')
    environ = {"FSCACHE_CONFIG": str(settings), "http_proxy": NOBODY, "no_proxy": "*"}
    with (
        Daemon(tmp_path / "root", environ=environ, allow_private=False) as daemon,
        daemon.remote(tmp_path / "node", shared=False) as node,
    ):
        # What the proxy connects to is the proxy's to refuse; what a URL says is still ours.
        assert node.get(url).read_bytes() == b"four"
        with pytest.raises(errors.TargetRefusedError):
            node.get(origin.url("/a"))
    assert [target for _, target in proxy.seen] == [url]


def test_a_node_trusts_the_sites_authority_for_the_server_too(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    cert, key = certificate(str(tmp_path / "tls"))
    settings = tmp_path / "config.toml"
    settings.write_text(f'ca_file = "{cert}"\n')
    shell = Shell(str(tmp_path), {"FSCACHE_CONFIG": str(settings)})
    with serving(tmp_path / "root", tls_cert=cert, tls_key=key) as served:
        environ = {"FSCACHE_SERVER": served.server.url, "FSCACHE_TOKEN": served.token()}
        assert shell.run("kv", "put", "k", "v", https_proxy=NOBODY, **environ).code == 0
        missing = shell.run("kv", "get", "k", FSCACHE_CA_FILE="/nonexistent", **environ)
        assert missing.code == 2
        assert "/nonexistent: No such file or directory" in missing.err


def test_certificates_that_are_not_there_are_an_error_of_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSCACHE_CA_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(errors.ConfigError, match="ca_file"):
        RemoteCache("https://head:8077", token="x", root=tmp_path / "node")
