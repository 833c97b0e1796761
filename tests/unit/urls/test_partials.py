"""Promises of fscache.urls.partials."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from fscache.fs.atomic import Modes, Writer
from fscache.records.root import Root
from fscache.urls.partials import FOREIGN_SILENCE, SWEEP_AGE, Partial, Partials
from stager.destination import Validator
from tests.support import damage
from tests.support.listing import files
from tests.support.processes import ALICE, BOB, LAB, fork, in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Clock

URL = "https://host/file"
VALIDATOR = Validator('"v1"', "Tue, 14 Nov 2023 22:13:20 GMT", 100, "mirror")


@pytest.fixture
def directory(tmp_path: Path) -> str:
    os.mkdir(tmp_path / "partial")
    return str(tmp_path / "partial")


@pytest.fixture
def partials(directory: str, clock: Clock) -> Partials:
    return Partials(directory, Writer(directory, Modes()), clock)


@pytest.fixture
def others(directory: str, clock: Clock) -> Partials:
    """The same, as another process has it."""
    return Partials(directory, Writer(directory, Modes()), clock)


@pytest.fixture
def claim(partials: Partials) -> Iterator[Callable[..., Partial]]:
    """Claim a URL; what the test has not closed is closed at the end."""
    claimed = []

    def run(url: str = URL, where: Partials = partials) -> Partial:
        partial = where.claim(url)
        assert partial is not None
        claimed.append((partial.fd, os.fstat(partial.fd).st_ino))
        return partial

    yield run
    for fd, inode in claimed:
        try:
            if os.fstat(fd).st_ino == inode:
                os.close(fd)
        except OSError:
            pass


def drop(partial: Partial) -> None:
    """What the death of its process does to a claim."""
    os.close(partial.fd)


def content(partial: Partial) -> bytes:
    return os.pread(partial.fd, 1000, 0)


@pytest.fixture
def left(claim: Callable[..., Partial]) -> Callable[..., str]:
    """Leave what a killed fetch leaves: bytes, and perhaps a note."""

    def run(data: bytes, validator: Validator | None = VALIDATOR) -> str:
        partial = claim()
        if validator is not None:
            partial.note(validator)
        os.write(partial.fd, data)
        drop(partial)
        return partial.path

    return run


# -- claims -----------------------------------------------------------------------------------


def test_a_fresh_claim_is_an_empty_file_of_its_own(claim: Callable[..., Partial]) -> None:
    one, other = claim(), claim("https://host/other")
    assert one.path != other.path
    assert (one.kept, one.validator, content(one)) == (0, None, b"")
    assert one.still_ours()
    os.write(one.fd, b"bytes")
    assert content(one) == b"bytes"


def test_where_a_partial_file_and_its_note_lie_is_pinned(
    claim: Callable[..., Partial], directory: str
) -> None:
    partial = claim()
    assert partial.path == f"{directory}/7780bc05ff329f65e407.part"
    assert partial.note_path == f"{directory}/7780bc05ff329f65e407.note"


def test_a_url_is_claimed_once_over_threads_and_processes(
    claim: Callable[..., Partial], partials: Partials, others: Partials
) -> None:
    first = claim()
    assert partials.claim(URL) is None
    assert others.claim(URL) is None
    assert in_child(lambda: others.claim(URL) is None)
    os.write(first.fd, b"bytes")
    assert others.claim(URL) is None
    drop(first)
    assert in_child(lambda: others.claim(URL) is not None)
    claim()


def test_of_many_who_claim_at_once_one_gets_it(directory: str, clock: Clock) -> None:
    start = threading.Barrier(16)
    got: list[Partial] = []

    def run() -> None:
        start.wait()
        partial = Partials(directory, Writer(directory, Modes()), clock).claim(URL)
        if partial is not None:
            got.append(partial)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([partial for partial in got if partial.still_ours()]) == 1
    for partial in got:
        os.close(partial.fd)


def test_a_killed_process_gives_its_claim_up(
    partials: Partials, claim: Callable[..., Partial]
) -> None:
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        partials.claim(URL)
        os.write(write, b"!")
        signal.pause()
    os.read(read, 1)
    assert partials.claim(URL) is None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert claim().still_ours()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("url", ["https://h/\n", "https://h/ä", "file:///\udcff", "x" * 65_536])
def test_any_name_can_be_claimed_noted_and_resumed(claim: Callable[..., Partial], url: str) -> None:
    first = claim(url)
    first.note(VALIDATOR)
    os.write(first.fd, b"bytes")
    drop(first)
    assert claim(url).kept == 5


# -- resuming ---------------------------------------------------------------------------------


def test_what_a_dead_fetch_left_is_resumed_where_it_ended(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    left(b"first half, ")
    again = claim()
    assert (again.kept, again.validator) == (12, VALIDATOR)
    os.write(again.fd, b"second half")
    assert content(again) == b"first half, second half"


@pytest.mark.parametrize(
    "validator",
    [
        VALIDATOR,
        Validator(etag='"only"'),
        Validator(last_modified="Tue, 14 Nov 2023 22:13:20 GMT"),
        Validator(etag='W/"weak"', last_modified="Tue, 14 Nov 2023 22:13:20 GMT", size=0),
        Validator(etag='"ä\udcff, with spaces"'),
        Validator(etag='W/"weak"'),
        Validator(size=5),
        Validator(),
    ],
)
def test_what_the_body_began_with_comes_back(
    claim: Callable[..., Partial], left: Callable[..., str], validator: Validator
) -> None:
    left(b"bytes", validator)
    found = claim().validator
    assert found is not None
    assert (found.etag or "") == (validator.etag or "").replace("\udcff", "?")
    assert found.last_modified == validator.last_modified
    assert (found.size, found.source) == (validator.size, validator.source)


def test_a_header_with_line_breaks_forges_nothing(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    left(b"bytes", Validator(etag='"a\nb\nc\nd\ne"', size=7))
    found = claim().validator
    assert found is not None
    assert (found.etag, found.size) == ('"a b c d e"', 7)


def test_what_has_no_note_is_not_resumed(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    left(b"bytes", None)
    again = claim()
    assert (again.kept, again.validator, content(again)) == (0, None, b"")


@pytest.mark.parametrize("offset", [0, 6, 9, 27, 40, -1])
def test_a_note_that_is_damaged_is_none(
    claim: Callable[..., Partial], left: Callable[..., str], offset: int
) -> None:
    path = left(b"bytes")
    damage.flip(path.replace(".part", ".note"), offset)
    again = claim()
    assert (again.kept, again.validator, content(again)) == (0, None, b"")


def test_a_note_of_another_url_is_none(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    path = left(b"bytes")
    other = claim("https://host/other")
    other.note(VALIDATOR)
    os.rename(other.note_path, path.replace(".part", ".note"))
    assert claim().kept == 0


def test_an_emptied_file_is_a_fresh_one(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    left(b"")
    again = claim()
    assert (again.kept, again.validator) == (0, None)


def test_the_note_of_a_dead_fetch_does_not_stand_for_the_bytes_of_a_later_one(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    """Or bytes of two versions could be glued together."""
    os.unlink(left(b"old version"))  # killed while it committed: the note is left
    second = claim()
    os.write(second.fd, b"new version, of a server that sends no validator")
    drop(second)
    third = claim()
    assert (third.kept, third.validator, content(third)) == (0, None, b"")


def test_a_restart_drops_the_note_with_the_bytes(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    path = left(b"old version")
    second = claim()
    second.restart()
    assert not os.path.exists(path.replace(".part", ".note"))
    os.write(second.fd, b"new version, of a server that sends no validator")
    assert content(second).startswith(b"new")
    drop(second)
    assert claim().kept == 0


# -- giving up --------------------------------------------------------------------------------


def test_a_discarded_fetch_leaves_nothing(claim: Callable[..., Partial], directory: str) -> None:
    partial = claim()
    partial.note(VALIDATOR)
    os.write(partial.fd, b"bytes")
    partial.discard()
    assert files(directory) == []


def test_who_lost_the_name_leaves_the_file_that_has_it_now(
    claim: Callable[..., Partial], directory: str
) -> None:
    partial = claim()
    os.unlink(partial.path)
    assert not partial.still_ours()
    with open(partial.path, "wb") as file:
        file.write(b"another's")
    assert not partial.still_ours()
    partial.discard()
    assert files(directory) == [os.path.basename(partial.path)]


# -- sealed files -----------------------------------------------------------------------------


def seal(path: str) -> None:
    os.chmod(path, 0o444)


def test_what_was_sealed_by_a_dead_fetch_is_started_over(
    claim: Callable[..., Partial], left: Callable[..., str]
) -> None:
    path = left(b"bytes")
    seal(path)
    again = claim()
    assert (again.kept, content(again)) == (0, b"")
    assert os.stat(again.path).st_mode & 0o200


def test_what_has_its_final_name_already_is_never_written_to(
    claim: Callable[..., Partial], left: Callable[..., str], tmp_path: Path
) -> None:
    path = left(b"bytes")
    os.link(path, tmp_path / "object")
    again = claim()
    os.write(again.fd, b"others")
    assert (tmp_path / "object").read_bytes() == b"bytes"


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("state", ["sealed", "linked"])
def test_users_start_over_what_they_may_not_write_to(
    open_tmp: str, clock: Clock, state: str
) -> None:
    os.chmod(open_tmp, 0o777)

    def leave() -> str:
        partial = Partials(open_tmp, Writer(open_tmp, Modes()), clock).claim(URL)
        assert partial is not None
        os.write(partial.fd, b"bytes")
        os.fchmod(partial.fd, 0o444)
        if state == "linked":
            os.link(partial.path, f"{open_tmp}/object")
        return partial.path

    path = in_child(leave, uid=ALICE)

    def again() -> bytes:
        partial = Partials(open_tmp, Writer(open_tmp, Modes()), clock).claim(URL)
        assert partial is not None
        return content(partial)

    assert in_child(again, uid=ALICE) == b""
    assert os.path.exists(path)


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("linked", [False, True])
def test_a_file_that_is_being_committed_is_left_to_who_commits_it(
    open_tmp: str, clock: Clock, linked: bool
) -> None:
    """Between sealing it and giving it its final name it looks like one of a dead fetch."""
    os.chmod(open_tmp, 0o777)

    def use() -> tuple[bool, bool]:
        partials = Partials(open_tmp, Writer(open_tmp, Modes()), clock)
        first = partials.claim(URL)
        assert first is not None
        os.write(first.fd, b"bytes")
        os.fchmod(first.fd, 0o444)
        if linked:
            os.link(first.path, f"{open_tmp}/object")
        return partials.claim(URL) is None, first.still_ours()

    assert in_child(use, uid=ALICE) == (True, True)


# -- other hosts, other users, file systems without locks -------------------------------------


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda name: monkeypatch.setattr(socket, "gethostname", lambda: name)


def test_what_was_written_before_the_machine_started_again_is_not_gone_on_with(
    claim: Callable[..., Partial], left: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not synced: where power was lost, it may be zeros."""
    left(b"first half, ")
    monkeypatch.setattr("fscache.urls.partials._boot", lambda: "another boot")
    again = claim()
    assert (again.kept, again.validator, content(again)) == (0, None, b"")


def test_what_another_host_left_is_copied_after_a_minute_of_silence(
    claim: Callable[..., Partial],
    left: Callable[..., str],
    partials: Partials,
    clock: Clock,
    elsewhere: Callable[[str], None],
) -> None:
    path = left(b"first half, ")
    os.utime(path, (clock.now, clock.now))
    inode = os.stat(path).st_ino
    with open(path, "rb") as theirs:
        elsewhere("another-host")
        assert partials.claim(URL) is None
        clock.advance(FOREIGN_SILENCE - 1)
        assert partials.claim(URL) is None
        clock.advance(2)
        ours = claim()
        assert (ours.kept, ours.validator) == (12, VALIDATOR)
        assert os.fstat(ours.fd).st_ino != inode
        os.write(ours.fd, b"second half")
        assert theirs.read() == b"first half, "
    assert content(ours) == b"first half, second half"
    assert ours.still_ours()
    assert partials.claim(URL) is None
    drop(ours)
    assert claim().kept == 23  # the note names this host now


def test_a_copy_that_does_not_fit_leaves_what_was_there(
    left: Callable[..., str],
    partials: Partials,
    directory: str,
    elsewhere: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = left(b"bytes")
    os.utime(path, (0, 0))
    elsewhere("another-host")
    before = files(directory)

    def full(_fd: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        partials.claim(URL)
    assert files(directory) == before


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int, _how: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def lying_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_bytes_are_copied_after_a_minute_of_silence(
    claim: Callable[..., Partial], left: Callable[..., str], partials: Partials, clock: Clock
) -> None:
    path = left(b"bytes")
    os.utime(path, (clock.now, clock.now))
    inode = os.stat(path).st_ino
    assert partials.claim(URL) is None
    clock.advance(FOREIGN_SILENCE)
    ours = claim()
    assert ours.kept == 5
    assert os.fstat(ours.fd).st_ino != inode


@pytest.mark.parametrize("locks", ["no_locks", "lying_locks"])
def test_where_locks_lie_nobody_writes_to_a_file_that_another_may_be_writing(
    claim: Callable[..., Partial], locks: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(locks)
    first = claim()
    os.write(first.fd, b"first's bytes, not noted yet")
    second = claim()
    os.write(second.fd, b"second's")
    assert content(first) == b"first's bytes, not noted yet"
    assert content(second) == b"second's"
    assert not first.still_ours()
    assert second.still_ours()


@pytest.mark.usefixtures("users")
def test_what_another_user_left_is_copied_so_that_it_can_be_sealed(
    open_tmp: str, clock: Clock
) -> None:
    os.chown(open_tmp, 0, LAB)
    os.chmod(open_tmp, 0o2770)

    def make() -> Root:
        root = Root(f"{open_tmp}/cache", now=clock, modes=Modes(LAB))
        root.ensure()
        return root

    def leave() -> None:
        root = make()
        partial = Partials(f"{root.path}/partial", root.writer, clock).claim(URL)
        assert partial is not None
        partial.note(VALIDATOR)
        os.write(partial.fd, b"first half, ")

    def go_on() -> tuple[int, bytes, int]:
        root = make()
        partial = Partials(f"{root.path}/partial", root.writer, clock).claim(URL)
        assert partial is not None
        kept = partial.kept
        os.write(partial.fd, b"second half")
        root.writer.seal(partial.fd)
        return kept, content(partial), os.fstat(partial.fd).st_uid

    in_child(leave, uid=ALICE, groups=[LAB], umask=0o077)
    assert in_child(go_on, uid=BOB, groups=[LAB], umask=0o077) == (
        12,
        b"first half, second half",
        BOB,
    )


@pytest.mark.usefixtures("users")
def test_a_file_of_another_user_that_cannot_be_opened_is_waited_for_and_then_replaced(
    open_tmp: str, clock: Clock
) -> None:
    """Its owner was killed before the group could have it."""
    os.chmod(open_tmp, 0o777)

    def claim_it() -> bool:
        partial = Partials(open_tmp, Writer(open_tmp, Modes()), clock).claim(URL)
        return partial is not None and os.write(partial.fd, b"bytes") == 5

    assert in_child(claim_it, uid=ALICE, umask=0o077)
    [name] = files(open_tmp)
    os.utime(f"{open_tmp}/{name}", (clock.now, clock.now))
    assert not in_child(claim_it, uid=BOB)
    clock.advance(FOREIGN_SILENCE)
    assert in_child(claim_it, uid=BOB)
    assert os.stat(f"{open_tmp}/{name}").st_uid == BOB


# -- sweeping ---------------------------------------------------------------------------------


def test_old_leftovers_of_every_kind_are_swept(
    partials: Partials, left: Callable[..., str], directory: str, clock: Clock
) -> None:
    path = left(b"bytes")
    seal(path)
    with open(f"{directory}/t-0123.1.1", "wb"):
        pass
    os.mkdir(f"{directory}/t-0123.1.2")
    for name in os.listdir(directory):
        os.utime(f"{directory}/{name}", (clock.now, clock.now))
    clock.advance(SWEEP_AGE - 1)
    assert partials.sweep() == []
    clock.advance(1)
    assert len(partials.sweep()) == 4
    assert os.listdir(directory) == []


def test_a_fetch_under_way_is_not_swept_however_slow_it_is(
    partials: Partials, others: Partials, claim: Callable[..., Partial], clock: Clock
) -> None:
    partial = claim()
    clock.advance(10**9)
    assert others.sweep() == []
    assert partial.still_ours()


def test_sweeping_removes_one_name_of_an_object_and_not_the_object(
    partials: Partials, left: Callable[..., str], tmp_path: Path, clock: Clock
) -> None:
    os.link(left(b"bytes", None), tmp_path / "object")
    clock.advance(10**9)
    assert len(partials.sweep()) == 1
    assert (tmp_path / "object").read_bytes() == b"bytes"


def test_a_directory_that_is_not_there_needs_no_sweeping(clock: Clock, tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "nowhere"), Modes())
    assert Partials(str(tmp_path / "nowhere"), writer, clock).sweep() == []


@pytest.mark.usefixtures("users")
def test_leftovers_of_others_that_we_may_not_remove_are_no_error(
    open_tmp: str, clock: Clock
) -> None:
    with open(f"{open_tmp}/t-0.1.1", "wb"):
        pass
    os.chmod(f"{open_tmp}/t-0.1.1", 0o644)
    clock.advance(10**9)
    writer = Writer(open_tmp, Modes())
    assert in_child(Partials(open_tmp, writer, clock).sweep, uid=ALICE) == []
    assert files(open_tmp) == ["t-0.1.1"]
