"""Changes in place and a loss of power: nothing that the disk was sure to show is ever lost again.

The real code writes a real file, and each call that writes, names or syncs is noted. After every one of
them all that a disk may show is worked out, by a model that promises little:

- each sector written since the file's last sync is as it was then, or as any write since has left it;
- the file has its length of then, or that of any write since; what nobody has written is zeros;
- the name stands for what it stood for when its directory was last synced, or for anything since.

Of what is shown, the oldest value counts. No call of a writer that promises durability may make it older,
whoever else has written to the file, and how, before. Who promises less may lose it; the next writer
goes on from there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fscache.fs.atomic import Modes, Writer
from fscache.fs.group import Group, Known
from fscache.records import cells
from fscache.records.entries import EntryStore
from fscache.records.entryfile import BadEntryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECTOR = 512
NAME = b"key"
SIZES = {"short": 0, "long": 600, "longer": 1200}  # of one sector, two and three
WRITERS = ("power", "another", "process")
STEPS = st.lists(
    st.tuples(st.sampled_from(WRITERS), st.sampled_from([*SIZES, "short", "flush", "delete"])),
    max_size=10,
)


class Quiet(Group):
    """Syncs when it is told to, and at no other time."""

    def _start(self) -> None:
        pass


class File:
    """The bytes of a file: what is synced, and all that they were since."""

    def __init__(self) -> None:
        self.states = [b""]

    def write(self, data: bytes, at: int) -> None:
        now = self.states[-1]
        self.states.append(now[:at].ljust(at, b"\0") + data + now[at + len(data) :])

    def sync(self) -> None:
        del self.states[:-1]

    def images(self) -> Iterator[bytes]:
        longest = max(map(len, self.states))
        padded = [state.ljust(longest, b"\0") for state in self.states]
        sectors = [
            sorted({state[at : at + SECTOR] for state in padded})
            for at in range(0, longest, SECTOR)
        ]
        for chosen in product(*sectors):
            whole = b"".join(chosen)
            for length in {len(state) for state in self.states}:
                yield whole[:length]


class Disk:
    """One key's file, its directory and that one's: what they may look like after a loss of power."""

    def __init__(self, top: str, path: str) -> None:
        self.top = top
        self.path = path
        self.files: dict[int, File] = {}
        self.named: list[File | None] = [None]
        self.has_directory = False
        self.trusted = True
        """Whether the calls that come are those of a writer that promises durability."""
        self.oldest = -1
        self._lock = threading.Lock()

    def shown(self) -> set[int]:
        """Return the numbers of the values that may be found, -1 where there may be none."""
        found = {_number(image) for file in self.named if file for image in file.images()}
        return found | ({-1} if None in self.named or not self.has_directory else set())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the calls made inside."""
        with pytest.MonkeyPatch.context() as patch:
            real_open, real_unlink = os.open, os.unlink

            def opened(path: str, flags: int, *more: Any, **options: Any) -> int:
                fd = real_open(path, flags, *more, **options)
                if flags & os.O_EXCL:
                    self.files[os.fstat(fd).st_ino] = File()
                return fd

            def unlink(path: str, *more: Any, **options: Any) -> None:
                real_unlink(path, *more, **options)
                if path == self.path:
                    self._note(lambda: self.named.append(None))

            def follow(name: str, take: Callable[..., object]) -> None:
                real = getattr(os, name)

                def call(*args: Any) -> Any:
                    result = real(*args)
                    self._note(lambda: take(*args))
                    return result

                patch.setattr(os, name, call)

            patch.setattr(os, "open", opened)
            patch.setattr(os, "unlink", unlink)
            follow("write", lambda fd, data: self._file(fd).write(data, 0))
            follow("pwrite", lambda fd, data, at: self._file(fd).write(data, at))
            for name in ("fsync", "fdatasync"):
                follow(name, self._sync)
            for name in ("link", "rename"):
                follow(name, lambda _old, new: self.named.append(self._file(new)))
            yield

    def _file(self, which: int | str) -> File:
        return self.files[os.stat(which).st_ino]

    def _sync(self, fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path == os.path.dirname(self.path):
            del self.named[:-1]
        elif path == self.top:
            self.has_directory = True
        else:
            self._file(fd).sync()

    def _note(self, take: Callable[[], object]) -> None:
        with self._lock:  # several files are synced at once
            take()
            now = min(self.shown())
            assert not self.trusted or now >= self.oldest, "what was on the disk is lost"
            self.oldest = now


def _number(image: bytes) -> int:
    try:
        return int(cells.decode(image)[2].split(b" ")[0])
    except BadEntryError:
        return -1


def play(steps: list[tuple[str, str]]) -> None:
    """Do what the steps say; raises AssertionError where a promise is broken."""
    directory = os.path.realpath(tempfile.mkdtemp())
    try:
        os.mkdir(f"{directory}/partial")
        os.mkdir(f"{directory}/kv")

        def opened(group: Group | None) -> EntryStore:
            writer = Writer(f"{directory}/partial", Modes(), durable=group is not None, group=group)
            return EntryStore(f"{directory}/kv", b"key", writer, quarantine=None)

        groups = {"power": Quiet(), "another": Quiet(), "process": None}
        stores = {who: opened(group) for who, group in groups.items()}
        disk = Disk(f"{directory}/kv", stores["power"].path(NAME))
        last = ""
        with disk.watched():
            for number, (who, what) in enumerate(steps):
                group = groups[who]
                disk.trusted = group is not None and what != "delete"
                if what == "delete":
                    stores[who].delete(NAME)
                    last = ""
                elif what != "flush":
                    payload = b"%d " % number + bytes([65 + number]) * SIZES[what]
                    stores[who].write(NAME, payload, in_place=True, mtime_ns=10**18 + number)
                    assert stores[who].read(NAME) == payload
                    last = who
                    newest = number
                elif group is not None:
                    group.flush()
                    if last == who:
                        assert disk.shown() == {newest}, "what was flushed is not on the disk"
    finally:
        shutil.rmtree(directory)


@given(STEPS)
@example([("power", "short"), ("power", "flush"), *[("power", "short")] * 4, ("power", "flush")])
@example([("process", "short")] * 3 + [("power", "short"), ("power", "flush")])
def test_no_value_that_the_disk_had_is_lost(steps: list[tuple[str, str]]) -> None:
    play(steps)


# -- what the test would find -----------------------------------------------------------------

DURABLE = [("power", "long"), ("power", "flush")]
CHANGE = ("power", "long")


def _never_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Group, "secure", lambda *_args: True)


def _forgets_that_others_write(patch: pytest.MonkeyPatch) -> None:
    def known(self: Group, path: str, status: os.stat_result, turn: int) -> Known:
        state = (status.st_ino, status.st_mtime_ns, turn)
        found = self._young.get(path)
        if found is None:
            return Known(state)
        found.settled, found.state = found.settled and state, state
        return found

    patch.setattr(Group, "known", known)


def _trusts_what_is_only_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Known, "durable", True)


def _leaves_names_alone(patch: pytest.MonkeyPatch) -> None:
    init = Known.__init__

    def named(self: Known, state: tuple[int, int, int]) -> None:
        init(self, state)
        self.named = True

    patch.setattr(Known, "__init__", named)


@pytest.mark.parametrize(
    ("careless", "steps"),
    [
        (_never_asks, [*DURABLE, CHANGE, CHANGE]),
        (_never_asks, [*DURABLE, ("process", "long"), CHANGE]),
        (_never_asks, [*DURABLE, ("another", "longer"), ("another", "long"), CHANGE]),
        (_forgets_that_others_write, [*DURABLE, ("process", "long"), CHANGE]),
        (_forgets_that_others_write, [*DURABLE, ("another", "long"), CHANGE]),
        (_trusts_what_is_only_noted, [*DURABLE, CHANGE, CHANGE]),
        (_leaves_names_alone, DURABLE),
        (_leaves_names_alone, [("process", "long"), CHANGE, ("power", "flush")]),
    ],
)
def test_the_faults_of_careless_writers_are_found(
    monkeypatch: pytest.MonkeyPatch,
    careless: Callable[[pytest.MonkeyPatch], None],
    steps: list[tuple[str, str]],
) -> None:
    play(steps)
    careless(monkeypatch)
    with pytest.raises(AssertionError, match="on the disk"):
        play(steps)
