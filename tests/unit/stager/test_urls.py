"""Promises of stager.urls."""

from __future__ import annotations

import pickle

import pytest

from credentials.model import Basic
from stager.errors import InvalidURLError
from stager.urls import MAX_LENGTH, parse, redact, resolve, same_host, wire

SCHEMES = {"http", "https", "ftp", "file"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "form"),
        ("example.org/a", "form"),
        ("http:/example.org", "form"),
        ("http:///a", "no host"),
        ("http://:80/a", "no host"),
        ("http://user@/a", "no host"),
        ("gopher://h/a", "scheme gopher"),
        ("http://h/a b", "white space"),
        ("http://h/a\r\nHost: evil", "control"),
        ("http://h/\x00", "control"),
        ("http://h/\x7f", "control"),
        ("http://h/\x85", "control"),
        ("http://h/\u2028", "control"),
        ("http://h\u200b/", "control"),
        (" http://h/", "white space"),
        ("http://h:99999/", "port"),
        ("http://h:0/", "port"),
        ("http://h:8a/", "host"),
        ("http://good@evil@h/", "host"),
        ("http://h\\@evil/", "host"),
        ("http://[::1/", "host"),
        ("http://.../a", "no host name"),
        (f"http://{'a' * 64}.org/", "no host name"),
        ("file://server/share", "names no host"),
        ("file://", "absolute"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_reason(url: str, why: str) -> None:
    with pytest.raises(InvalidURLError, match=why):
        parse(url, SCHEMES)


def test_a_url_of_64_kib_is_refused_and_shown_shortened() -> None:
    with pytest.raises(InvalidURLError, match=str(MAX_LENGTH)) as caught:
        parse("http://h/" + "x" * 65536)
    assert len(str(caught.value)) < 400
    assert len(parse("http://h/" + "x" * (MAX_LENGTH - 9)).url) == MAX_LENGTH


def test_a_long_url_that_can_be_asked_for_is_shown_whole() -> None:
    url = "http://h/" + "x" * (MAX_LENGTH - 9)
    assert redact(url) == url


def test_user_information_comes_apart_into_a_credential_and_leaves_the_url() -> None:
    target = parse("https://me:p%40ss@Example.ORG:8443/a?b=1#frag")
    assert target.url == "https://example.org:8443/a?b=1"
    assert target.credential == Basic("me", "p@ss")
    assert "p@ss" not in repr(target)
    assert "p%40ss" not in repr(target)


def test_no_message_of_an_invalid_url_holds_the_password() -> None:
    for url in ("http://me:secret@h:99999/", "gopher://me:secret@h/", "http://a:secret@b@h/ "):
        with pytest.raises(InvalidURLError) as caught:
            parse(url, SCHEMES)
        assert "secret" not in str(caught.value)
        assert "secret" not in repr(pickle.loads(pickle.dumps(caught.value)))


def test_control_characters_do_not_reach_the_terminal_through_the_message() -> None:
    with pytest.raises(InvalidURLError) as caught:
        parse("http://h/\x1b[2J")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://H/", ("http", "h", 80)),
        ("https://h", ("https", "h", 443)),
        ("http://h:8080/x", ("http", "h", 8080)),
        ("http://h:/x", ("http", "h", 80)),
        ("http://[::1]:81/", ("http", "::1", 81)),
        ("s3://bucket/key", ("s3", "bucket", None)),
        ("file:///a/b", ("file", "", None)),
        ("file://localhost/a/b", ("file", "", None)),
    ],
)
def test_the_origin_is_scheme_host_and_effective_port(url: str, origin: object) -> None:
    assert parse(url).origin == origin


def test_credentials_are_bound_to_scheme_host_and_port() -> None:
    base = parse("https://h/a")
    assert same_host(base, parse("https://h:443/b"))
    for other in ("http://h/a", "https://h:444/a", "https://h.evil/a"):
        assert not same_host(base, parse(other))


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "http://h/b"),
        ("c?d=1#x", "http://h/a/c?d=1"),
        ("//other/x", "http://other/x"),
        ("https://me:pw@other/x", "https://other/x"),
        ("/with space/ü", "http://h/with%20space/%C3%BC"),
        ("/kept%20as%2Fit?is=%41", "http://h/kept%20as%2Fit?is=%41"),
    ],
)
def test_redirect_targets_are_resolved_without_their_user_information(
    location: str, url: str
) -> None:
    target = resolve(parse("http://h/a/b"), location)
    assert target.url == url
    assert target.credential is None


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://h/a", "data:text/plain,x"])
def test_redirects_lead_only_to_the_web(location: str) -> None:
    with pytest.raises(InvalidURLError):
        resolve(parse("http://h/"), location)


def test_what_goes_out_is_ascii() -> None:
    assert wire(parse("http://bücher.example/ü?q=ß%20")) == (
        "http://xn--bcher-kva.example/%C3%BC?q=%C3%9F%20"
    )
    assert wire(parse("http://h/a%20b")) == "http://h/a%20b"


def test_redacting_masks_user_information_signatures_and_keys() -> None:
    shown = redact(
        "https://me:pw@h/a?X-Amz-Signature=AAA&X-Amz-Security-Token=BBB&sig=CCC&api_key=DDD&page=7"
    )
    for secret in ("me", "pw@", "AAA", "BBB", "CCC", "DDD"):
        assert secret not in shown.replace("***", "")
    assert "page=7" in shown
    assert shown.startswith("https://h/a?X-Amz-Signature=***")
