"""Promises about frames with a right checksum that no writer of ours has written.

Whoever shares a root may write a segment of his own: it must keep nobody from his records.
"""

from __future__ import annotations

import json
import logging
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from xxhash import xxh3_64_intdigest

from fscache.tasks import frames
from fscache.tasks.frames import ADD, DROP, UPDATE, Frame
from fscache.tasks.model import NULL
from fscache.tasks.plans import BITS, OTHER_FIELDS
from fscache.tasks.segment import HEADER
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase

    Open = Callable[..., TaskDatabase]

EARLY, LATE = 1_600_000_000_000_000, 1_800_000_000_000_000
"""Stamps before and after those of the tests' clock."""
HEADERS = BITS["header"]
BEYOND = 2**63 - 1


def others(root: Root, *data: bytes) -> None:
    """Write a segment as somebody else's process does."""
    with open(f"{root.path}/tasks/{EARLY:016x}-{os.urandom(6).hex()}.log", "wb") as file:
        file.write(b"".join((HEADER, *data)))


def frame(kind: int, msg_id: str, body: bytes, fields: int = HEADERS) -> bytes:
    stamp = EARLY if kind == ADD else LATE
    return frames.encode(Frame(kind, stamp, msg_id, fields, json=body))[0]


def sealed(meta: bytes) -> bytes:
    """Return a frame of any meta part, its checksum right."""
    return frames.PREFIX.pack(frames.MARKER, len(meta), 0, xxh3_64_intdigest(meta)) + meta


BODIES: dict[str, Any] = {
    "no JSON": b"{",
    "no text": b'"\xff\xfe"',
    "number": b"5",
    "null": b"null",
    "two values": b"{}{}",
    "no folded body": b"[99]",
    "folded too short": b"[0,{}]",
    "folded mapping of nothing": b'[0,[],{},{},[],"",""]',
    "folded date beyond all": b'[0,[0,"a","b","c","d",%d],{},{},[],"",""]' % 10**30,
    "deeper than anybody reads": b"[" * 50_000,
    "deeper in a mapping": b'{"header":' * 50_000 + b"1" + b"}" * 50_000,
    "date beyond all": b'{"header":{"\\u0001time":%d}}' % 10**30,
    "no base64": b'{"header":{"\\u0001bytes":"a"}}',
    "buffers are a number": b'{"buffers":5}',
    "buffers of text": b'{"buffers":["x"]}',
    "a negative buffer": b'{"buffers":[-1]}',
    "a buffer that is no address": b'{"buffers":[["..//..//victim",0,8]]}',
    "a buffer without a length": b'{"buffers":[["%s",0]]}' % (b"a" * 20),
    "objects are a number": b'{"\\u0001object":5}',
    "an object that is a number": b'{"\\u0001object":{"header":5}}',
    "an object that is no address": b'{"\\u0001object":{"header":[5,0,8]}}',
    "appended is a list": b'{"\\u0001append":[1]}',
    "appended is a number": b'{"\\u0001append":{"stdout":[0,5]}}',
}


@pytest.fixture
def known(root: Root, open_tasks: Open) -> list[dict[str, Any]]:
    """Two records of ours, in the database of `root`."""
    tasks = open_tasks()
    for name in ("a", "b"):
        tasks.add_record(name, {"submitted": START, "header": {"n": name}, "stdout": name})
    return tasks.find_records({})  # type: ignore[return-value]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_no_writer_has_written_hides_nothing(
    root: Root,
    open_tasks: Open,
    known: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    body: bytes,
) -> None:
    others(root, frame(ADD, "evil", body, 0xFFFFFFFF), frame(UPDATE, "a", body, 0xFFFFFFFF))
    for tasks in (open_tasks(), open_tasks()):
        caplog.clear()
        for _ in range(3):
            found: list[Any] = tasks.find_records({})
            assert [each for each in found if each["msg_id"] != "evil"] == known
            assert tasks.find_records({"header.n": "b"}) == known[1:]
            assert tasks.get_record("a") == known[0]
            assert tasks.get_record("evil")["header"] is None
        warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert len(warned) == 2  # once of each frame
        for name in ("'evil'", "'a'"):
            assert name in warned[0].getMessage() + warned[1].getMessage()
    tasks.update_record("a", {"engine_uuid": "e"})
    tasks.update_record("evil", {"header": {"n": "good"}})
    tasks.add_record("c", {"submitted": START})
    again = open_tasks()
    assert again.get_record("a")["engine_uuid"] == "e"
    assert again.get_record("evil")["header"] == {"n": "good"}
    again.drop_record("evil")
    again.compact()
    assert [each["msg_id"] for each in open_tasks().find_records({})] == ["a", "b", "c"]


def head(**more: Any) -> bytes:
    """Return a meta part with some of its head's numbers changed."""
    values: dict[str, int] = dict.fromkeys(
        ("kind", "numbers", "texts", "zero", "id", "t0", "t1", "t2", "t3", "references", "stamp"), 0
    )
    values |= {"added": 0, "blob": 0, "fields": HEADERS, "nulls": 0}
    values |= {"kind": ADD, "id": 4, "stamp": EARLY} | more.pop("head")
    return struct.pack("<BBBBHHHHHHQQQII", *values.values()) + more.pop("rest", b"evil{}")


METAS = {
    "empty": b"",
    "short": head(head={})[:20],
    "no kind": head(head={"kind": 0}),
    "numbers nobody knows": head(head={"numbers": 0xC0}, rest=struct.pack("<2q", 1, 2) + b"evil{}"),
    "more numbers than there are": head(head={"numbers": 0x3F}),
    "texts nobody knows": head(head={"texts": 0x30}),
    "id longer than all": head(head={"id": 500}),
    "text longer than all": head(head={"texts": 1, "t0": 500}),
    "references longer than all": head(head={"references": 500}),
    "id that is no text": head(head={}, rest=b"\xff\xfe\xff\xfe{}"),
    "text that is none": head(head={"texts": 1, "t0": 2}, rest=b"evil\xff\xfe{}"),
    "a stamp beyond all": head(head={"stamp": BEYOND}),
    "a stamp beyond 63 bits": head(head={"stamp": 2**64 - 1}),
    "added beyond all": head(head={"added": 2**64 - 1}),
    "a date beyond all": head(head={"numbers": 1}, rest=struct.pack("<q", BEYOND) + b"evil{}"),
    "a date before all": head(head={"numbers": 1}, rest=struct.pack("<q", NULL + 1) + b"evil{}"),
}


@pytest.mark.parametrize("meta", METAS.values(), ids=METAS.keys())
def test_what_is_no_frame_in_spite_of_its_checksum_is_skipped_alone(
    root: Root,
    open_tasks: Open,
    known: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    meta: bytes,
) -> None:
    good = frame(ADD, "good", b'{"header":{"n":"good"}}')
    others(root, sealed(meta), good)
    tasks = open_tasks()
    for _ in range(3):
        assert [each["msg_id"] for each in tasks.find_records({})] == ["good", "a", "b"]
    assert caplog.text.count("skipped a frame") == 1
    tasks.add_record("c", {"submitted": START})
    assert open_tasks().find_records({"submitted": START}, ["msg_id", "submitted"])[-1] == {
        "msg_id": "c",
        "submitted": START,
    }


@pytest.mark.parametrize(
    "said", [5, [5], [["x"]], [[["x"], 5]], [[["x"], [["a"]]]], [["x", "a"]], {"x": "a"}, "xa", []]
)
def test_what_is_no_drop_drops_nothing(
    root: Root,
    open_tasks: Open,
    known: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    said: Any,
) -> None:
    others(root, frame(DROP, "", json.dumps(said).encode(), 0))
    tasks = open_tasks()
    for _ in range(3):
        assert tasks.find_records({}) == known
    assert caplog.text.count("nothing was dropped") == 1
    tasks.compact()
    assert open_tasks().find_records({}) == known


def test_a_frame_of_somebody_elses_keys_is_no_reason_to_know_them(
    root: Root, open_tasks: Open, known: list[dict[str, Any]]
) -> None:
    others(
        root, frame(ADD, "evil", b"[1", OTHER_FIELDS), frame(ADD, "x", b'{"own":1}', OTHER_FIELDS)
    )
    tasks = open_tasks()
    assert [each["msg_id"] for each in tasks.find_records({"own": 1})] == ["x"]
    assert tasks.count({}) == len(known) + 2
