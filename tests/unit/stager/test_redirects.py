"""Redirects, credentials, TLS and refused targets: over both HTTP transports."""

from __future__ import annotations

import base64
import logging
import pickle
import socket
from typing import TYPE_CHECKING, Any

import pytest

from credentials.model import Basic, Bearer, Header
from stager.errors import (
    AuthenticationError,
    ConnectionFailedError,
    NotFoundError,
    RedirectError,
    TargetRefusedError,
)
from stager.retry import RetryPolicy
from tests.support.origin import Origin, Page, failing, redirect
from tests.unit.stager.test_fetching import BODY, SMALL, SOON, ranges, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from credentials.model import Credential
    from stager.service import FetchService
    from stager.transports import Transports
    from tests.unit.stager.directory import DirectoryDestination


@pytest.fixture
def other() -> Iterator[Origin]:
    with Origin() as made:
        yield made


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# --- redirects -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/b", "b", "//{host}/b", "http://{host}/b#part"])
def test_redirects_are_followed_and_the_name_stays(
    origin: Origin,
    service: FetchService,
    destination: DirectoryDestination,
    status: int,
    location: str,
) -> None:
    host = origin.base.removeprefix("http://")
    url = origin.add("/a", redirect(location.format(host=host), status))
    origin.add("/b", SMALL)
    assert read(service.submit(url)) == SMALL
    (staged,) = destination.staged
    assert (staged.url, staged.fetched_from) == (url, origin.url("/b"))


def test_ten_redirects_are_followed_and_eleven_are_not(
    origin: Origin, service: FetchService
) -> None:
    for step in range(11):
        origin.add(f"/{step}", redirect(f"/{step + 1}"))
    origin.add("/11", SMALL)
    assert read(service.submit(origin.url("/1"))) == SMALL
    assert isinstance(service.submit(origin.url("/0")).exception(SOON), RedirectError)


def test_an_error_behind_a_redirect_notes_where_it_began(
    origin: Origin, service: FetchService
) -> None:
    there = origin.add("/there", failing(404))
    error = service.submit(origin.add("/a", redirect(there))).exception(SOON)
    assert isinstance(error, NotFoundError)
    assert (error.url, error.__notes__) == (there, [f"redirected from {origin.url('/a')}"])
    direct = service.submit(there).exception(SOON)
    assert not hasattr(direct, "__notes__")


def test_an_endless_redirect_ends(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    error = service.submit(origin.add("/a", redirect("/a"))).exception(SOON)
    assert isinstance(error, RedirectError)
    assert len(origin.seen("/a")) == 11
    assert destination.leftovers() == []


def test_a_redirect_to_nowhere_is_an_error(origin: Origin, service: FetchService) -> None:
    page = Page(status=302, announced=True)
    assert isinstance(service.submit(origin.add("/a", page)).exception(SOON), RedirectError)


def test_the_connection_is_kept_over_a_redirect(origin: Origin, service: FetchService) -> None:
    origin.add("/b", SMALL)
    assert read(service.submit(origin.add("/a", redirect("/b")))) == SMALL
    assert len(origin._connections) == 1


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://h/a", "gopher://h/", "http://h:99999/", "http://[::1/", "//[x]/"],
)
def test_redirects_out_of_the_web_are_refused(
    origin: Origin, service: FetchService, location: str
) -> None:
    url = origin.add("/a", redirect(location))
    assert isinstance(service.submit(url).exception(SOON), TargetRefusedError)


def test_a_broken_body_behind_a_redirect_is_resumed_through_the_redirect(
    origin: Origin, other: Origin, service: FetchService
) -> None:
    # As with signed URLs: the second time it leads to another one.
    url = origin.add("/a", redirect(other.url("/1")), redirect(other.url("/2")))
    other.add("/1", Page(BODY, cut_at=1_000_000))
    other.add("/2", Page(BODY))
    assert read(service.submit(url)) == BODY
    assert ranges(other, "/2") == ["bytes=1000000-"]


def test_a_redirect_in_raw_utf8_is_followed(origin: Origin, service: FetchService) -> None:
    url = origin.add("/a", redirect("/ü x".encode().decode("latin-1")))
    origin.add("/%C3%BC%20x", SMALL)
    assert read(service.submit(url)) == SMALL


# --- credentials -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "header", "value"),
    [
        (Basic("me", "pw"), "authorization", basic("me", "pw")),
        (Bearer("t0ken"), "authorization", "Bearer t0ken"),
        (Header("X-Api-Key", "k3y"), "x-api-key", "k3y"),
    ],
)
def test_the_hosts_credential_goes_to_the_host(
    origin: Origin,
    make_service: Callable[..., FetchService],
    credential: Credential,
    header: str,
    value: str,
) -> None:
    asked = []

    def credentials(host: str, port: int | None) -> Credential:
        asked.append((host, port))
        return credential

    assert read(make_service(credentials=credentials).submit(origin.add("/a", SMALL))) == SMALL
    assert origin.seen("/a")[0].headers[header] == value
    assert asked == [("127.0.0.1", origin.port)]


def test_user_information_of_the_url_is_sent_and_never_shown(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    origin.add("/a", Page(SMALL, auth=basic("me", "s3cret")))
    good = origin.url("/a").replace("http://", "http://me:s3cret@")
    request = service.submit(good)
    assert read(request) == SMALL
    origin.add("/b", Page(SMALL, auth=basic("me", "s3cret")))
    bad = service.submit(origin.url("/b").replace("http://", "http://me:s3cret2@"))
    error = bad.exception(SOON)
    assert type(error) is AuthenticationError
    for shown in (
        *(repr(one) + str(one) + str(one.urls) for one in (request, bad)),
        repr(destination.staged),
        repr(error),
        str(error),
        str(pickle.loads(pickle.dumps(error)).to_fields()),
    ):
        assert "s3cret" not in shown


def test_the_callers_credential_goes_before_the_hosts(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    service = make_service(credentials=lambda _host, _port: Bearer("general"))
    service.submit(origin.add("/a", SMALL), credential=Bearer("special")).result(SOON)
    assert origin.seen("/a")[0].headers["authorization"] == "Bearer special"


def test_a_redirect_takes_no_credential_and_no_header_to_another_host(
    origin: Origin, other: Origin, make_service: Callable[..., FetchService]
) -> None:
    def credentials(_host: str, port: int | None) -> Credential | None:
        return Bearer("only-for-one") if port == origin.port else None

    url = origin.add("/a", redirect(other.url("/b")))
    other.add("/b", redirect(origin.url("/c")))
    origin.add("/c", SMALL)
    request = make_service(credentials=credentials).submit(
        url.replace("http://", "http://me:pw@"),
        headers={"X-Api-Key": "s3cret", "Cookie": "a=b", "accept": "text/plain"},
    )
    assert read(request) == SMALL
    (first,), (second,), (third,) = origin.seen("/a"), other.seen("/b"), origin.seen("/c")
    assert first.headers["authorization"] == basic("me", "pw")
    assert first.headers["x-api-key"] == "s3cret"
    assert {"authorization", "x-api-key", "cookie"}.isdisjoint(second.headers)
    assert second.headers["accept"] == "text/plain"
    assert third.headers["authorization"] == basic("me", "pw")


def test_the_same_host_under_another_scheme_is_another_host(
    origin: Origin,
    secure: Origin,
    make_service: Callable[..., FetchService],
    make_transports: Callable[..., Transports],
) -> None:
    service = make_service(transports=make_transports(ca_file=secure.ca_file))
    url = origin.add("/a", redirect(secure.url("/b")))
    secure.add("/b", SMALL)
    assert read(service.submit(url.replace("http://", "http://me:pw@"))) == SMALL
    assert "authorization" not in secure.seen("/b")[0].headers


def test_mirrors_do_not_get_the_first_ones_secrets(
    origin: Origin, other: Origin, service: FetchService
) -> None:
    first = origin.add("/a", failing(404)).replace("http://", "http://me:pw@")
    request = service.submit([first, other.add("/a", SMALL)], headers={"X-Api-Key": "s3cret"})
    assert read(request) == SMALL
    assert {"authorization", "x-api-key"}.isdisjoint(other.seen("/a")[0].headers)


def test_cookies_are_not_kept(origin: Origin, service: FetchService) -> None:
    read(service.submit(origin.add("/a", Page(SMALL, headers={"Set-Cookie": "a=b"}))))
    read(service.submit(origin.add("/b", SMALL)))
    assert "cookie" not in origin.seen("/b")[0].headers


def test_the_environment_is_not_looked_at(
    origin: Origin,
    service: FetchService,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login me password pw\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert read(service.submit(origin.add("/a", SMALL))) == SMALL
    assert "authorization" not in origin.seen("/a")[0].headers


def test_no_secret_reaches_the_log(
    origin: Origin, make_service: Callable[..., FetchService], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = make_service(credentials=lambda _host, _port: Bearer("s3cret"))
    url = origin.add("/a?sig=s3cret", SMALL).replace("http://", "http://me:s3cret@")
    read(service.submit(url))
    service.submit(origin.url("/no?sig=s3cret")).exception(SOON)
    assert "s3cret" not in caplog.text


# --- TLS and targets -------------------------------------------------------------------------


def test_a_certificate_nobody_vouches_for_is_refused(
    secure: Origin, make_service: Callable[..., FetchService]
) -> None:
    service = make_service(policy=RetryPolicy(attempts=3, base=1000.0, cap=1000.0))
    error = service.submit(secure.add("/a", SMALL)).exception(SOON)
    assert type(error) is ConnectionFailedError
    assert "certificate" in error.why
    assert error.lasting
    assert secure.requests == []


def test_https_works_with_the_sites_certificates(
    secure: Origin,
    make_service: Callable[..., FetchService],
    make_transports: Callable[..., Transports],
) -> None:
    service = make_service(transports=make_transports(ca_file=secure.ca_file))
    url = secure.add("/a", Page(BODY, cut_at=1_000_000), Page(BODY))
    assert read(service.submit(url)) == BODY
    assert read(service.submit(secure.add("/b", Page(BODY, chunked=True)))) == BODY
    assert ranges(secure, "/a") == [None, "bytes=1000000-"]


def test_https_never_falls_to_http(
    origin: Origin,
    secure: Origin,
    make_service: Callable[..., FetchService],
    make_transports: Callable[..., Transports],
) -> None:
    service = make_service(transports=make_transports(ca_file=secure.ca_file))
    url = secure.add("/a", redirect(origin.add("/b", SMALL)))
    error = service.submit(url).exception(SOON)
    assert type(error) is RedirectError
    assert "https" in error.why
    assert origin.requests == []


def test_the_target_policy_is_asked_about_every_hop(
    origin: Origin, other: Origin, make_service: Callable[..., FetchService]
) -> None:
    asked = []

    def policy(url: str) -> None:
        asked.append(url)
        if str(other.port) in url:
            raise TargetRefusedError(url, "private")

    url = origin.add("/a", redirect(other.add("/b", SMALL)))
    error = make_service(target_policy=policy).submit(url).exception(SOON)
    assert type(error) is TargetRefusedError
    assert asked == [url, other.url("/b")]
    assert other.requests == []


def test_the_address_is_checked_before_anything_connects_to_it(
    make_service: Callable[..., FetchService],
    make_transports: Callable[..., Transports],
) -> None:
    asked = []

    def check(address: str) -> None:
        asked.append(address)
        raise TargetRefusedError(address, "loopback")

    service = make_service(transports=make_transports(check_address=check))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://localhost:{listener.getsockname()[1]}/a"
        error = service.submit(url).exception(SOON)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert type(error) is TargetRefusedError
    assert set(asked) <= {"127.0.0.1", "::1"}


def test_the_address_that_was_checked_is_the_one_connected_to(
    origin: Origin,
    make_service: Callable[..., FetchService],
    make_transports: Callable[..., Transports],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, times = socket.getaddrinfo, 0

    def turning(host: str, *args: Any, **options: Any) -> Any:
        nonlocal times
        if host == "localhost":
            times += 1
            host = "127.0.0.1" if times == 1 else "127.0.0.2"
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", turning)
    asked: list[str] = []
    service = make_service(transports=make_transports(check_address=asked.append))
    url = origin.add("/a", SMALL).replace("127.0.0.1", "localhost")
    assert read(service.submit(url)) == SMALL
    assert set(asked) <= {"127.0.0.1", "::1"}


def test_an_address_that_passes_is_fetched_from(
    origin: Origin,
    make_service: Callable[..., FetchService],
    make_transports: Callable[..., Transports],
) -> None:
    asked: list[str] = []
    service = make_service(transports=make_transports(check_address=asked.append))
    assert read(service.submit(origin.add("/a", SMALL))) == SMALL
    assert isinstance(service.submit(origin.url("/no")).exception(SOON), NotFoundError)
    assert set(asked) == {"127.0.0.1"}
