"""Promises of credentials.model, hosts and text."""

from __future__ import annotations

import base64
import pickle
import traceback
from typing import TYPE_CHECKING

import pytest

from credentials import hosts, text
from credentials.model import Basic, Bearer, Credential, Header

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s3cr3t-h1dd3n"

CREDENTIALS = [Basic("ann", SECRET), Bearer(SECRET), Header("X-Api-Key", SECRET)]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_secret_is_in_no_text_about_the_credential(credential: Credential) -> None:
    for shown in (repr(credential), str(credential), f"{credential}", repr([credential])):
        assert SECRET not in shown


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_credential_is_never_pickled(credential: Credential, protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(credential, protocol)


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (
            Basic("Aladdin", "open sesame"),
            {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        ),
        (Bearer("abc.def"), {"Authorization": "Bearer abc.def"}),
        (Header("X-Api-Key", "a b"), {"X-Api-Key": "a b"}),
    ],
)
def test_headers_carry_the_credential(credential: Credential, expected: dict[str, str]) -> None:
    assert credential.headers() == expected


def test_password_outside_ascii_is_sent_as_utf8() -> None:
    header = Basic("jörg", "pä:ß").headers()["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "jörg:pä:ß"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bearer(f"{SECRET}\r\nX-Evil: 1"),
        lambda: Bearer(f"{SECRET} two words"),
        lambda: Bearer(""),
        lambda: Bearer(f"{SECRET}ü"),
        lambda: Basic("a:b", SECRET),
        lambda: Basic("a", f"{SECRET}\n"),
        lambda: Header("X Key", SECRET),
        lambda: Header("X-Key", f"{SECRET}\nY: 1"),
        lambda: Header("X-Key", ""),
    ],
)
def test_what_cannot_stand_in_a_header_is_refused_without_showing_it(
    make: Callable[[], Credential],
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.parametrize(
    "credential", [*CREDENTIALS, Basic("", ""), Basic("u", "a:b c"), Header("Bearer", "x")]
)
def test_text_form_gives_the_same_credential_back(credential: Credential) -> None:
    assert text.parse(text.render(credential)) == credential


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Bearer abc\n", Bearer("abc")),
        ("  bearer   abc  \r\n", Bearer("abc")),
        ("Basic ann:a:b", Basic("ann", "a:b")),
        ("X-Api-Key: abc", Header("X-Api-Key", "abc")),
        ("X-Api-Key:abc", Header("X-Api-Key", "abc")),
    ],
)
def test_text_form_is_read_as_people_write_it(line: str, expected: Credential) -> None:
    assert text.parse(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        SECRET,
        f"Basic {SECRET}",
        "Bearer",
        f"Bearer {SECRET}\nBearer b",
        f"Token {SECRET}",
    ],
)
def test_text_that_is_no_credential_is_refused_without_showing_it(line: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        text.parse(line)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("Example.ORG", None, ("example.org",)),
        ("example.org.", 8080, ("example.org:8080", "example.org")),
        ("::1", None, ("::1",)),
        ("::1", 80, ("[::1]:80", "::1")),
        ("[::1]", 80, ("[::1]:80", "::1")),
    ],
)
def test_names_of_a_host_start_with_the_most_specific(
    host: str, port: int | None, expected: tuple[str, ...]
) -> None:
    assert hosts.keys(host, port) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Example.org", ("example.org", None)),
        ("example.org:8080", ("example.org", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
    ],
)
def test_host_is_read_as_people_write_it(given: str, expected: tuple[str, int | None]) -> None:
    assert hosts.parse(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "https://example.org",
        "https://example.org/a",
        "example.org/path",
        "user@example.org",
        "example.org:",
        "example.org:0",
        "example.org:65536",
        "example.org:x",
        "[::1",
        "[::1]80",
        "a b",
        "a\nb",
        "#hosts",
    ],
)
def test_what_is_no_host_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"host|port"):
        hosts.parse(given)
