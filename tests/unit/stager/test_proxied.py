"""Proxies and the site's own certificates: over both HTTP transports."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from typing import TYPE_CHECKING

import pytest

from credentials.model import Bearer
from stager.errors import (
    AuthenticationError,
    BusyServerError,
    CAFileError,
    ConnectionFailedError,
    HTTPStatusError,
    NotFoundError,
    StalledError,
)
from stager.proxies import Proxies
from stager.retry import RetryPolicy
from stager.transports import translate
from stager.transports.base import Timeouts
from tests.support.origin import Origin, Page, certificate, redirect
from tests.support.proxy import Proxy
from tests.unit.stager.test_fetching import BODY, SMALL, SOON, ranges, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stager.service import FetchService
    from stager.transports import Transports

SECRET = "s3cret"
LOGIN = f"me:{SECRET}"
UNUSED = "http://127.0.0.1:1"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as made:
        yield made


@pytest.fixture
def guarded() -> Iterator[Proxy]:
    with Proxy(auth=LOGIN) as made:
        yield made


@pytest.fixture
def through(
    make_service: Callable[..., FetchService], make_transports: Callable[..., Transports]
) -> Callable[..., FetchService]:
    """Return a service that goes through a proxy for both schemes."""

    def make(url: str, *bypassed: str, ca_file: str | None = None, **more: object) -> FetchService:
        check = more.pop("check_address", None)
        proxies = Proxies(http=url, https=url, bypassed=bypassed)
        transports = make_transports(proxy=proxies, ca_file=ca_file, check_address=check)
        return make_service(transports=transports, **more)

    return make


# --- http: -----------------------------------------------------------------------------------


def test_http_goes_through_the_proxy(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    url = origin.add("/a?b=c", BODY)
    assert read(through(proxy.url).submit(url)) == BODY
    assert proxy.seen == [("GET", url)]


def test_a_proxy_without_scheme_is_one_over_http(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    assert read(through(proxy.host).submit(origin.add("/a", SMALL))) == SMALL
    assert len(proxy.seen) == 1


def test_what_no_proxy_names_is_fetched_directly(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    url = origin.add("/a", redirect(origin.url("/b").replace("127.0.0.1", "localhost")))
    origin.add("/b", SMALL)
    assert read(through(proxy.url, "127.0.0.0/8").submit(url)) == SMALL
    assert proxy.seen == [("GET", f"http://localhost:{origin.port}/b")]


def test_the_environment_does_not_say_what_goes_directly(
    origin: Origin,
    proxy: Proxy,
    through: Callable[..., FetchService],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "*")  # libcurl reads it where nobody tells it not to
    assert read(through(proxy.url).submit(origin.add("/a", SMALL))) == SMALL
    assert len(proxy.seen) == 1


def test_a_broken_body_is_resumed_through_the_proxy(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    url = origin.add("/a", Page(BODY, cut_at=1_000_000), Page(BODY))
    assert read(through(proxy.url).submit(url)) == BODY
    assert ranges(origin, "/a") == [None, "bytes=1000000-"]
    assert len(proxy.seen) == 2


def test_errors_and_chunks_of_the_origin_come_through(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    service = through(proxy.url)
    assert isinstance(service.submit(origin.url("/no")).exception(SOON), NotFoundError)
    assert read(service.submit(origin.add("/c", Page(BODY, chunked=True)))) == BODY


def test_a_proxy_may_close_the_connection_after_an_answer(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    page = Page(SMALL, headers={"Proxy-Connection": "close"})  # as older ones say it
    assert read(through(proxy.url).submit(origin.add("/a", page))) == SMALL
    assert len(proxy.seen) == 1


def test_many_files_share_connections(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    service = through(proxy.url, per_host=4)
    requests = [service.submit(origin.add(f"/{n}", b"%d" % n)) for n in range(60)]
    assert [read(request) for request in requests] == [b"%d" % n for n in range(60)]
    assert len(proxy.seen) == 60
    assert proxy.accepted <= 16


# --- https: ----------------------------------------------------------------------------------


def test_https_is_tunnelled_and_the_sites_authority_is_asked(
    secure: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    url = secure.add("/a", Page(BODY, cut_at=1_000_000), Page(BODY))
    assert read(through(proxy.url, ca_file=secure.ca_file).submit(url)) == BODY
    assert ranges(secure, "/a") == [None, "bytes=1000000-"]
    assert set(proxy.seen) == {("CONNECT", f"127.0.0.1:{secure.port}")}


@pytest.mark.parametrize("other", [False, True])
def test_a_certificate_behind_the_proxy_that_nobody_vouches_for_is_refused(
    secure: Origin,
    proxy: Proxy,
    through: Callable[..., FetchService],
    tmp_path: Path,
    other: bool,
) -> None:
    ca_file = certificate(str(tmp_path))[0] if other else None
    service = through(proxy.url, ca_file=ca_file)
    error = service.submit(secure.add("/a", SMALL)).exception(SOON)
    assert type(error) is ConnectionFailedError
    assert error.why.startswith("its certificate is not accepted")
    assert error.lasting
    assert secure.requests == []


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_certificates_that_cannot_be_read_are_named(
    origin: Origin,
    secure: Origin,
    through: Callable[..., FetchService],
    tmp_path: Path,
    content: str | None,
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    service = through(UNUSED, "*", ca_file=str(ca_file))
    error = service.submit(secure.add("/a", SMALL)).exception(SOON)
    assert type(error) is CAFileError
    assert str(ca_file) in error.why
    assert error.why.endswith("(as the setting ca_file has it, or SSL_CERT_FILE)")
    assert error.lasting
    assert read(service.submit(origin.add("/a", SMALL))) == SMALL  # which needs none


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_may_speak_tls_itself(
    origin: Origin, secure: Origin, through: Callable[..., FetchService], tls: bool
) -> None:
    cert = secure.ca_file or ""
    key = os.path.join(os.path.dirname(cert), "key.pem")
    with Proxy(auth=LOGIN, certificate=(cert, key)) as proxy:
        service = through(proxy.with_login(LOGIN), ca_file=cert)
        url = (secure if tls else origin).add("/a", BODY)
        assert read(service.submit(url)) == BODY
        assert [method for method, _ in proxy.seen] == ["CONNECT" if tls else "GET"]


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_whose_certificate_nobody_vouches_for_gets_no_credential(
    origin: Origin, secure: Origin, through: Callable[..., FetchService], tmp_path: Path, tls: bool
) -> None:
    with Proxy(auth=LOGIN, certificate=certificate(str(tmp_path))) as proxy:
        service = through(proxy.with_login(LOGIN), ca_file=secure.ca_file)
        error = service.submit((secure if tls else origin).add("/a", SMALL)).exception(SOON)
        assert type(error) is ConnectionFailedError
        assert error.lasting
        assert "proxy" in error.why
        assert "certificate" in error.why
        assert proxy.headers == []


# --- credentials -----------------------------------------------------------------------------


def test_the_proxys_credential_stays_with_the_proxy(
    origin: Origin,
    secure: Origin,
    guarded: Proxy,
    through: Callable[..., FetchService],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    service = through(
        guarded.with_login(LOGIN),
        "localhost",
        ca_file=secure.ca_file,
        credentials=lambda _host, _port: Bearer("for-the-origin"),
    )
    # Out of the proxy and back, over kept connections.
    plain = origin.add("/a", redirect(origin.url("/b").replace("127.0.0.1", "localhost")))
    origin.add("/b", redirect(origin.url("/c")))
    origin.add("/c", SMALL)
    assert read(service.submit(plain)) == SMALL
    assert read(service.submit(secure.add("/a", SMALL))) == SMALL
    origins = [*origin.requests, *secure.requests]
    assert len(origins) == 4
    for seen in origins:
        assert "proxy-authorization" not in seen.headers
        assert seen.headers["authorization"] == "Bearer for-the-origin"
    assert len(guarded.seen) == 3
    assert "authorization" not in guarded.headers[-1]  # of CONNECT
    assert SECRET not in caplog.text


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_that_wants_another_credential_says_so(
    origin: Origin,
    secure: Origin,
    guarded: Proxy,
    through: Callable[..., FetchService],
    tls: bool,
) -> None:
    url = (secure if tls else origin).add("/a", SMALL)
    for proxy in (guarded.url, guarded.with_login("me:wr0ng")):
        error = through(proxy, ca_file=secure.ca_file).submit(url).exception(SOON)
        assert type(error) is AuthenticationError
        assert error.status == 407
        assert "proxy" in error.why
        assert "wr0ng" not in str(error) + repr(error) + str(pickle.loads(pickle.dumps(error)))
    assert len(guarded.headers) == 2


def test_no_repr_shows_the_credential() -> None:
    proxies = Proxies(https=f"http://{LOGIN}@proxy:3128")
    chosen = proxies("https://h/a")
    assert chosen is not None
    assert chosen.authorization is not None
    assert chosen.url == "http://proxy:3128"
    assert SECRET not in repr(chosen) + repr(proxies) + repr(vars(proxies))
    assert chosen.authorization not in repr(chosen)


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_that_is_not_there_is_named(
    origin: Origin, secure: Origin, through: Callable[..., FetchService], tls: bool
) -> None:
    with Proxy() as gone:
        pass
    service = through(gone.with_login(LOGIN), ca_file=secure.ca_file)
    error = service.submit((secure if tls else origin).add("/a", SMALL)).exception(SOON)
    assert type(error) is ConnectionFailedError
    assert error.why.startswith(f"no way through the proxy {gone.url}: ")
    assert not error.lasting
    assert SECRET not in str(error) + repr(error)


def test_a_proxy_of_no_known_name_is_named(
    origin: Origin, through: Callable[..., FetchService]
) -> None:
    service = through("http://proxy.invalid:3128", policy=RetryPolicy(attempts=1))
    error = service.submit(origin.add("/a", SMALL)).exception(SOON)
    assert type(error) is ConnectionFailedError
    assert "proxy.invalid" in error.why


@pytest.mark.parametrize("silent", ["proxy", "origin"])
def test_whose_silence_it_is_is_told(
    secure: Origin, proxy: Proxy, through: Callable[..., FetchService], silent: str
) -> None:
    url = secure.add("/a", Page(SMALL, stall_at=0))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute_url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        service = through(
            mute_url if silent == "proxy" else proxy.url,
            ca_file=secure.ca_file,
            timeouts=Timeouts(connect=1.0, stall=1.5),
            policy=RetryPolicy(attempts=1),
        )
        error = service.submit(url).exception(SOON)
    if silent == "proxy":
        assert isinstance(error, ConnectionFailedError)
        assert error.why == f"no way through the proxy {mute_url}: no connection within 1 s"
    else:
        assert isinstance(error, StalledError)


@pytest.mark.parametrize(("status", "kind"), [(403, HTTPStatusError), (503, BusyServerError)])
def test_a_proxy_that_does_not_connect_is_named(
    secure: Origin, through: Callable[..., FetchService], status: int, kind: type[HTTPStatusError]
) -> None:
    with Proxy(refusal=status) as proxy:
        service = through(proxy.url, ca_file=secure.ca_file)
        error = service.submit(secure.add("/a", SMALL)).exception(SOON)
        assert type(error) is kind
        assert error.status == status
        assert proxy.url in error.why


@pytest.mark.parametrize(
    "wrong", [f"socks5://{LOGIN}@p:1080", f"http://{LOGIN}@p:99999", "http://"]
)
def test_a_proxy_that_cannot_be_used_is_an_error_of_what_needs_it(
    origin: Origin, through: Callable[..., FetchService], wrong: str
) -> None:
    service = through(wrong, "localhost")
    url = origin.add("/a", SMALL)
    error = service.submit(url).exception(SOON)
    assert type(error) is ConnectionFailedError
    assert error.lasting
    assert "the proxy that is set cannot be used" in error.why
    assert SECRET not in str(error) + repr(error)
    assert read(service.submit(url.replace("127.0.0.1", "localhost"))) == SMALL


# --- targets ---------------------------------------------------------------------------------


def test_the_proxys_own_address_is_not_checked_and_direct_ones_are(
    origin: Origin, proxy: Proxy, through: Callable[..., FetchService]
) -> None:
    asked: list[str] = []
    service = through(proxy.url, "localhost", check_address=asked.append)
    url = origin.add("/a", SMALL)
    assert read(service.submit(url)) == SMALL
    assert asked == []
    assert read(service.submit(url.replace("127.0.0.1", "localhost"))) == SMALL
    assert set(asked) <= {"127.0.0.1", "::1"}
    assert asked


@pytest.mark.parametrize("proxied", [False, True])
def test_why_a_server_is_not_spoken_to_is_told_alike(
    origin: Origin,
    proxy: Proxy,
    through: Callable[..., FetchService],
    proxied: bool,
) -> None:
    bypassed = () if proxied else ("*",)
    with Origin(tls=True, host="127.0.0.2") as stranger:  # its certificate is for 127.0.0.1
        service = through(proxy.url, *bypassed, ca_file=stranger.ca_file)
        for url, why in (
            (stranger.add("/a", SMALL), "its certificate is not accepted: it is another host's"),
            (origin.url("/a").replace("http:", "https:"), translate.NO_TLS),
        ):
            error = service.submit(url).exception(SOON)
            assert type(error) is ConnectionFailedError
            assert (error.why, error.lasting) == (why, True)
