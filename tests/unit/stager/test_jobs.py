"""Promises of stager.jobs and stager.asking."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.model import Basic, Bearer
from stager.asking import ask_for
from stager.destination import Validator
from stager.errors import InvalidURLError
from stager.jobs import checked_headers, job_key, make_job
from stager.transports.base import Timeouts
from stager.urls import parse

WEB = {"http", "https"}


def job(urls: Any = "http://h/a", checksum: str | None = None, **options: Any) -> Any:
    options = {"headers": {}, "credential": None, "revalidate": None, "rewrite": None} | options
    return make_job(urls, checksum, schemes=WEB, **options)


def test_equal_questions_are_one_flight_and_different_ones_are_not() -> None:
    same = job_key(job("HTTP://H/a#part"))
    assert same == job_key(job("http://h/a"))
    others = [
        job("http://h/b"),
        job("http://u:p@h/a"),
        job(["http://h/a", "http://mirror/a"]),
        job(checksum="md5:" + "0" * 32),
        job(headers={"X": "y"}),
        job(credential=Bearer("x")),
        job(revalidate=Validator('"1"')),
    ]
    keys = [job_key(other) for other in others]
    assert len({same, *keys}) == 8


def test_mirrors_keep_their_order_and_lose_their_doubles() -> None:
    made = job(["http://h/a", "http://m/a", "http://H/a"])
    assert [mirror.url for mirror in made.mirrors] == ["http://h/a", "http://m/a"]


def test_rewriting_replaces_each_url_by_its_mirrors_or_leaves_it() -> None:
    made = job(
        ["http://h/a", "http://m/a"],
        rewrite=lambda url: ["http://site/a", url] if "//h/" in url else [],
    )
    assert made.home.url == "http://h/a"
    assert [mirror.url for mirror in made.mirrors] == ["http://site/a", "http://h/a", "http://m/a"]


def test_a_mirror_that_is_no_url_is_refused() -> None:
    with pytest.raises(InvalidURLError):
        job("http://h/a", rewrite=lambda _: ["ftp://h/a"])


def test_header_names_have_one_spelling() -> None:
    assert checked_headers({"x-API-key": "v"}) == {"X-Api-Key": "v"}
    assert checked_headers(None) == {}


@pytest.mark.parametrize("headers", [5, [("X", "y")], {5: "x"}, {"X": 5}, {"X": None}, {"X": b"y"}])
def test_headers_that_are_no_text_are_type_errors_which_show_no_value(headers: Any) -> None:
    with pytest.raises(TypeError, match="header"):
        checked_headers(headers)


def ask(made: Any, target: str | None = None, **options: Any) -> dict[str, str]:
    options = {
        "user_agent": "us",
        "timeouts": Timeouts(),
        "credentials": lambda host, _port: Bearer(f"for-{host}"),
        "conditional": None,
        "resume": None,
    } | options
    where = made.mirrors[0] if target is None else parse(target)
    return dict(ask_for(where, made.mirrors[0], made, **options).headers)


def test_the_request_says_who_we_are_and_wants_the_bytes_as_they_are() -> None:
    headers = ask(job(), credentials=lambda _host, _port: None)
    assert headers == {"User-Agent": "us", "Accept": "*/*", "Accept-Encoding": "identity"}


def test_the_rest_and_the_new_are_asked_for_with_their_conditions() -> None:
    headers = ask(job(), resume=(10, '"tag"'), conditional=Validator('"1"', "date"))
    assert (headers["Range"], headers["If-Range"]) == ("bytes=10-", '"tag"')
    assert headers["If-None-Match"] == '"1"'
    assert "If-Modified-Since" not in headers
    assert ask(job(), conditional=Validator(None, "date"))["If-Modified-Since"] == "date"


@pytest.mark.parametrize(
    ("target", "token"),
    [
        ("http://h/x", "Basic dTpw"),
        ("http://h:80/x", "Basic dTpw"),
        ("https://h/x", "Bearer for-h"),
        ("http://h:81/x", "Bearer for-h"),
        ("http://h.evil/x", "Bearer for-h.evil"),
    ],
)
def test_each_target_gets_its_own_credential(target: str, token: str) -> None:
    assert ask(job("http://u:p@h/a"), target)["Authorization"] == token


def test_the_callers_credential_reaches_its_host_behind_a_rewrite_too() -> None:
    made = job(credential=Basic("u", "p"), rewrite=lambda url: ["http://site/a", url])
    assert ask(made)["Authorization"] == "Bearer for-site"
    assert ask(made, "http://h/a")["Authorization"] == "Basic dTpw"


def test_only_harmless_headers_of_the_caller_leave_the_host() -> None:
    made = job(headers=checked_headers({"cookie": "c", "accept": "a", "accept-language": "l"}))
    assert ask(made)["Cookie"] == "c"
    elsewhere = ask(made, "http://other/a")
    assert "Cookie" not in elsewhere
    assert (elsewhere["Accept"], elsewhere["Accept-Language"]) == ("a", "l")


def test_stores_behind_other_protocols_are_not_looked_up() -> None:
    made = make_job(
        "s3://bucket/key",
        None,
        headers={},
        credential=None,
        revalidate=None,
        schemes={"s3"},
        rewrite=None,
    )
    assert "Authorization" not in ask(made)
