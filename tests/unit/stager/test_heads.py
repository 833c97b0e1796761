"""Promises of stager.heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stager.destination import Validator
from stager.heads import (
    Bytes,
    Moved,
    Refused,
    StartOver,
    Unframed,
    Unmodified,
    content_length,
    content_range,
    judge,
    status_error,
    utf8,
)

if TYPE_CHECKING:
    from stager.heads import Answer

KEPT = Validator('"tag"', "date", 100, "mirror")


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({}, None),
        ({"content-length": "0"}, 0),
        ({"content-length": "42"}, 42),
        ({"content-length": "42, 42"}, 42),
        ({"content-length": "42, 43"}, None),
        ({"content-length": "-1"}, None),
        ({"content-length": "0x10"}, None),
        ({"content-length": "٤"}, None),
        ({"content-length": "9" * 40}, None),
        ({"content-length": "42", "transfer-encoding": "chunked"}, None),
    ],
)
def test_the_length_is_read_or_unknown(headers: dict[str, str], length: int | None) -> None:
    assert content_length(headers) == length


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes 0-9/10", (0, 9, 10)),
        ("bytes 5-9/*", (5, 9, None)),
        ("bytes 9-5/10", None),
        ("bytes 0-10/10", None),
        ("bytes */10", None),
        ("items 0-9/10", None),
        ("", None),
    ],
)
def test_a_span_is_read_or_makes_no_sense(value: str, span: object) -> None:
    assert content_range({"content-range": value}) == span


@pytest.mark.parametrize(
    ("status", "headers", "asked_from", "conditional", "answer"),
    [
        (200, {"content-length": "7"}, None, False, Bytes(0, 7)),
        (200, {"content-length": "7"}, 50, False, Bytes(0, 7)),
        (200, {}, None, True, Bytes(0, None)),
        (200, {"content-length": "7, 7"}, None, False, Bytes(0, 7)),
        (200, {"content-length": "7, 8"}, None, False, Unframed("7, 8")),
        (200, {"content-length": "7x"}, None, False, Unframed("7x")),
        (200, {"content-length": "-7"}, None, False, Unframed("-7")),
        (200, {"content-length": "7x", "transfer-encoding": "chunked"}, 0, False, Bytes(0, None)),
        (206, {"content-range": "bytes 50-99/100", "content-length": ""}, 50, False, Unframed("")),
        (404, {"content-length": "7x"}, None, False, Refused(404)),
        (206, {"content-range": "bytes 50-99/100"}, 50, False, Bytes(50, 100)),
        (206, {"content-range": "bytes 50-99/*"}, 50, False, Bytes(50, 100)),
        (206, {"content-range": "bytes 50-99/100", "etag": '"tag"'}, 50, False, Bytes(50, 100)),
        (206, {"content-range": "bytes 50-99/100", "etag": '"no"'}, 50, False, StartOver()),
        (206, {"content-range": "bytes 50-99/100", "last-modified": "x"}, 50, False, StartOver()),
        (206, {"content-range": "bytes 49-99/100"}, 50, False, StartOver()),
        (206, {"content-range": "bytes 50-119/120"}, 50, False, StartOver()),
        (206, {}, 50, False, StartOver()),
        (206, {"content-range": "bytes 0-99/100"}, None, False, Refused(206)),
        (416, {}, 50, False, StartOver()),
        (416, {}, None, False, Refused(416)),
        (304, {}, None, True, Unmodified()),
        (304, {}, None, False, Refused(304)),
        (302, {"location": "/b"}, None, False, Moved("/b")),
        (308, {}, 50, True, Moved("")),
        (300, {"location": "/b"}, None, False, Refused(300)),
        (204, {}, None, False, Refused(204)),
        (404, {}, 50, True, Refused(404)),
    ],
)
def test_each_answer_means_one_thing(
    status: int,
    headers: dict[str, str],
    asked_from: int | None,
    conditional: bool,
    answer: Answer,
) -> None:
    judged = judge(status, headers, asked_from=asked_from, kept=KEPT, conditional=conditional)
    assert judged == answer
    assert type(judged) is type(answer)


def test_what_a_server_wishes_is_in_the_error() -> None:
    error = status_error("u", 503, {"retry-after": "7"})
    assert error.to_fields()["retry_after"] == 7.0


def test_who_refuses_a_credential_names_where_it_came_from_and_never_a_proxy_for_it() -> None:
    for status in (401, 403):
        error = status_error("u", status, {}, "/home/ann/.netrc")
        assert error.to_fields()["credential_from"] == "/home/ann/.netrc"
        assert "the credential from /home/ann/.netrc" in str(error)
    error = status_error("u", 407, {}, "/home/ann/.netrc")
    assert error.to_fields()["credential_from"] == ""


def test_header_text_is_utf8_where_it_can_be() -> None:
    assert utf8("/ü".encode().decode("latin-1")) == "/ü"
    assert utf8("/ü") == "/ü"
    assert utf8("/☃") == "/☃"
