"""Promises of fscache.records.journal: every change is recorded once, and no change fails for it."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from fscache.fs.atomic import Modes, Writer
from fscache.records import journal as module
from fscache.records.journal import DELETE, KV, PUT, TOUCH, URL, Journal, chain_name, parse_segment
from fscache.records.segments import journal_id, read, segments
from tests.support.processes import fork, in_child

if TYPE_CHECKING:
    from fscache.records.root import Root
    from fscache.records.segments import Record
    from tests.conftest import Clock


def records(root: Root) -> list[Record]:
    directory = f"{root.path}/journal"
    return [each for name in segments(directory) for each in read(directory, name, 0)[0]]


@pytest.mark.parametrize(
    "name",
    [
        "https://host/path?a=b%20c",
        "store/key with spaces",
        "line\nbreak and back\\slash \\n",
        "ünïcode \udce4 surrogate",
        "",
        "x" * 65536,
    ],
)
def test_a_record_is_read_as_it_was_appended(root: Root, clock: Clock, name: str) -> None:
    root.journal.append(PUT, URL, name, "0123456789abcdef0123-1", 42, "ann lee@host")
    root.journal.append(DELETE, KV, name)
    first, second = records(root)
    assert (first.op, first.kind, first.name) == (PUT, URL, name)
    assert (first.address, first.size, first.by) == ("0123456789abcdef0123-1", 42, "ann_lee@host")
    assert first.time == pytest.approx(clock(), abs=0.001)
    assert (second.op, second.kind, second.name) == (DELETE, KV, name)
    assert (second.address, second.size, second.by) == ("", 0, "")


def test_nothing_is_opened_before_the_first_record(root: Root) -> None:
    assert root.journal is root.journal
    assert segments(f"{root.path}/journal") == {}


def test_threads_append_at_once(root: Root) -> None:
    barrier = threading.Barrier(8)

    def append(thread: int) -> None:
        barrier.wait()
        for number in range(500):
            root.journal.append(TOUCH, URL, f"{thread}/{number}")

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [each.name for each in records(root)]
    assert sorted(names) == sorted(
        f"{thread}/{number}" for thread in range(8) for number in range(500)
    )


def test_a_forked_child_and_its_parent_append_at_once(root: Root) -> None:
    root.journal.append(PUT, URL, "before")

    def child() -> None:
        for number in range(300):
            root.journal.append(PUT, URL, f"child {number}")

    in_child(child)
    root.journal.append(PUT, URL, "after")
    assert len(records(root)) == 302
    assert len(segments(f"{root.path}/journal")) == 1


def test_processes_append_at_once(root: Root) -> None:
    pids = []
    for number in range(4):
        pid = fork()
        if pid == 0:
            try:
                own = Journal(f"{root.path}/journal", root.writer, root.now)
                for count in range(1000):
                    own.append(PUT, URL, f"{number} {count} " + "x" * (count % 500))
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    found = [each.name.rpartition(" ")[0] for each in records(root)]
    assert sorted(found) == sorted(f"{one} {two}" for one in range(4) for two in range(1000))


def test_a_full_segment_is_followed_by_the_next(
    root: Root, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1000)
    for number in range(100):
        root.journal.append(PUT, URL, f"https://host/{number}")
        clock.advance(module.RENEW_INTERVAL + 1)
    numbers = [parse_segment(name)[1] for name in segments(f"{root.path}/journal")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 3
    assert len(records(root)) == 100


def test_a_burst_within_the_interval_is_cut_by_number(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1000)
    monkeypatch.setattr(module, "RENEW_RECORDS", 20)
    for number in range(100):
        root.journal.append(PUT, URL, f"https://host/{number}")
    assert len(segments(f"{root.path}/journal")) > 2
    assert len(records(root)) == 100


def test_a_removed_segment_is_noticed_and_made_anew(root: Root, clock: Clock) -> None:
    directory = f"{root.path}/journal"
    root.journal.append(PUT, URL, "lost")
    (name,) = segments(directory)
    os.unlink(f"{directory}/{name}")
    clock.advance(module.RENEW_INTERVAL + 1)
    root.journal.append(PUT, URL, "kept")
    assert [each.name for each in records(root)] == ["kept"]


def test_a_removed_journal_is_made_anew(root: Root, clock: Clock) -> None:
    import shutil

    root.journal.append(PUT, URL, "lost")
    shutil.rmtree(f"{root.path}/journal")
    clock.advance(module.RENEW_INTERVAL + 1)
    root.journal.append(PUT, URL, "kept")
    assert [each.name for each in records(root)] == ["kept"]
    assert journal_id(f"{root.path}/journal") == ""


def test_a_clock_that_is_set_back_does_not_stop_renewal(root: Root, clock: Clock) -> None:
    directory = f"{root.path}/journal"
    root.journal.append(PUT, URL, "one")
    (name,) = segments(directory)
    os.unlink(f"{directory}/{name}")
    clock.advance(-1000)
    root.journal.append(PUT, URL, "two")
    assert [each.name for each in records(root)] == ["two"]


def test_a_record_that_cannot_be_written_fails_nothing_and_is_noted(
    root: Root, caplog: pytest.LogCaptureFixture
) -> None:
    directory = f"{root.path}/journal"
    assert journal_id(directory)
    os.rmdir(f"{root.path}/pins")
    os.mkdir(f"{directory}/{chain_name(os.uname().nodename, os.getuid())}.00000001")
    root.journal.append(PUT, URL, "https://host/a")
    assert journal_id(directory) == ""
    assert "misses changes" in caplog.text
    caplog.clear()
    root.journal.append(PUT, URL, "https://host/b")
    assert caplog.text == ""


def test_a_touch_that_cannot_be_written_is_not_worth_a_word(
    root: Root, caplog: pytest.LogCaptureFixture
) -> None:
    directory = f"{root.path}/journal"
    os.mkdir(f"{directory}/{chain_name(os.uname().nodename, os.getuid())}.00000001")
    root.journal.append(TOUCH, URL, "https://host/a")
    assert journal_id(directory)
    assert caplog.text == ""


def test_a_short_write_is_a_lost_record(root: Root, caplog: pytest.LogCaptureFixture) -> None:
    def child() -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        root.journal.append(PUT, URL, "https://host/whole")
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))
        root.journal.append(PUT, URL, "https://host/" + "torn" * 100)

    in_child(child)
    assert journal_id(f"{root.path}/journal") == ""


def test_the_journal_is_bounded(
    root: Root, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    monkeypatch.setattr(module, "MAX_SEGMENTS", 5)
    for number in range(40):
        root.journal.append(PUT, URL, f"https://host/{number}")
        clock.advance(module.RENEW_INTERVAL + 1)
    assert len(segments(f"{root.path}/journal")) <= 7
    assert journal_id(f"{root.path}/journal") == ""
    assert "nobody has read it" in caplog.text


def test_segments_can_be_read_by_whoever_may_read_entries(root_path: str, clock: Clock) -> None:
    for modes, expected in ((Modes(), 0o644), (Modes(os.getgid(), world_readable=False), 0o640)):
        directory = f"{root_path}/{expected:o}"
        writer = Writer(f"{directory}/partial", modes)
        writer.make_directories(directory)

        def append(directory: str = directory, writer: Writer = writer) -> None:
            Journal(directory, writer, clock).append(PUT, URL, "u")

        in_child(append, umask=0o077)
        (status,) = segments(directory).values()
        assert stat.S_IMODE(status.st_mode) == expected


def test_chains_are_of_one_host_and_user() -> None:
    assert chain_name("node-1.cluster.example", 1000) == "node-1-cluster-example.1000"
    assert chain_name("", 0) == "-.0"
    assert parse_segment("node-1.1000.00000012") == ("node-1.1000", 12)
    for name in ("complete", "born", "a.b", "a.b.c", "a.1.00000001.tmp", "..00000001.x"):
        assert parse_segment(name)[0] == ""
