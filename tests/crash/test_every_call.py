"""A writer is killed, or fails, at each system call of what it does, one after the other.

After each: the root opens, everything under a final name is whole and right, what was there before is
still there, the next attempt succeeds, and nothing is left but temporary files that get swept.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from fscache.errors import FscacheError, LockTimeoutError
from fscache.fs.atomic import Modes
from fscache.fs.group import Group
from fscache.kv.local import LocalStore
from fscache.records.root import Root, translated
from fscache.urls.destination import CacheDestination
from fscache.urls.index import URLIndex
from stager.destination import Validator
from tests.crash.conftest import faults, read, sweep
from tests.support.processes import ALICE, BOB, LAB, in_child
from tests.support.staging import URL, staged
from tests.support.strace import traced

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.strace import Call

pytestmark = pytest.mark.usefixtures("injection")

OLD = b"what was there before\n"
NEW = b"new bytes, " * 1000


def open_root(path: str) -> Root:
    root = Root(path, now=time.time, durable=True)
    with translated(path):
        root.ensure()
    return root


def destination(root: Root) -> CacheDestination:
    return CacheDestination(root, URLIndex(root), max_size=None)


# -- what is done -----------------------------------------------------------------------------


def nothing(_path: str) -> None:
    pass


def make_root(path: str) -> str:
    open_root(path)
    return ""


def fill(path: str) -> None:
    root = open_root(path)
    with translated(path):
        root.objects().put_bytes(OLD)
    stage(path, OLD, "https://host/old")


def put(path: str) -> str:
    root = open_root(path)
    with translated(path):
        return root.objects().put_bytes(NEW).path


def put_stream(path: str) -> str:
    pieces = [NEW[:5000], NEW[5000:], b""]

    def readinto(view: memoryview) -> int:
        piece = pieces.pop(0)
        view[: len(piece)] = piece
        return len(piece)

    root = open_root(path)
    with translated(path):
        return root.objects().put_stream(readinto).path


def put_known(path: str) -> str:
    root = open_root(path)
    with translated(path):
        return root.objects().put_bytes(OLD).path


def stage(path: str, data: bytes = NEW, url: str = URL) -> str:
    root = open_root(path)
    claim = destination(root).claim(url)
    if claim is None:  # where locks fail, what a dead fetch left is not touched for a minute
        raise LockTimeoutError(path=path, why="claimed by another")
    try:
        with translated(path):
            done = claim.kept
            if done and claim.validator != Validator('"v1"'):
                claim.restart()
                done = 0
            if not done:
                claim.note(Validator('"v1"'))
            os.write(claim.fd, data[done : len(data) // 2])
            os.write(claim.fd, data[max(done, len(data) // 2) :])
        return claim.commit(staged(url, data))
    finally:
        claim.release(keep=False)


def stage_half(path: str) -> None:
    fill(path)
    root = open_root(path)
    claim = destination(root).claim(URL)
    assert claim is not None
    claim.note(Validator('"v1"'))
    os.write(claim.fd, NEW[:100])
    claim.release(keep=True)


def stage_elsewhere(path: str) -> None:
    """As `stage_half`, by another host, long ago."""
    stage_half(path)
    [part] = [name for name in os.listdir(f"{path}/partial") if name.endswith(".part")]
    os.utime(f"{path}/partial/{part}", (0, 0))


def stage_again(path: str) -> str:
    return stage(path, NEW, "https://host/old")


def collide(path: str) -> None:
    fill(path)
    root = open_root(path)
    for name in (b"a", b"b"):
        crowded(root).write(name, b"1")


def crowded(root: Root) -> Any:
    store = root.entries("kv/crowded", b"key")
    store._hash = lambda _name: "0" * 20
    return store


def overwrite(path: str) -> str:
    root = open_root(path)
    with translated(path):
        store = crowded(root)
        store.write(b"b", b"2")
        store.delete(b"a")
        store.write(b"c", b"3")
    return ""


class ByHand(Group):
    """Starts no thread that syncs beside what is told of here."""

    def _start(self) -> None:
        pass


def kv(path: str) -> LocalStore:
    root = open_root(path)
    root.grouped_writer.group = ByHand()
    return LocalStore(root)


def change_twice(path: str) -> None:
    fill(path)
    for number in range(3):
        kv(path).put("key", f"old {number}" * 100)


def change_key(path: str) -> str:
    kv(path).put("key", "new" * 100)
    return ""


@dataclass(frozen=True)
class Work:
    """Something that a writer does: what comes before it, the doing, and how its success shows."""

    before: Callable[[str], None]
    do: Callable[[str], str]
    done: Callable[[str], bool]
    kept: Callable[[str], bool] = lambda _path: True


def has_new(path: str) -> bool:
    hit = URLIndex(Root(path, now=time.time)).find(URL, verify=True)
    return hit is not None and read(hit.path) == NEW


def has_old(path: str) -> bool:
    hit = URLIndex(Root(path, now=time.time)).find("https://host/old", verify=True)
    return hit is not None and read(hit.path) == OLD


def has_either(path: str) -> bool:
    hit = URLIndex(Root(path, now=time.time)).find("https://host/old", verify=True)
    return hit is not None and read(hit.path) in (OLD, NEW)


def has_again(path: str) -> bool:
    hit = URLIndex(Root(path, now=time.time)).find("https://host/old", verify=True)
    return hit is not None and read(hit.path) == NEW


def has_object(path: str) -> bool:
    return Root(path, now=time.time).objects().put_bytes(NEW).new is False


def has_changed_key(path: str) -> bool:
    return bool(kv(path).get("key") == "new" * 100)


def has_last_key(path: str) -> bool:
    return kv(path).get("key") in ("old 2" * 100, "new" * 100)


def has_each_or_its_successor(path: str) -> bool:
    store = crowded(Root(path, now=time.time))
    return store.read(b"b") in (b"1", b"2") and store.read(b"a") in (b"1", None)


def has_been_overwritten(path: str) -> bool:
    store = crowded(Root(path, now=time.time))
    return [store.read(name) for name in (b"a", b"b", b"c")] == [None, b"2", b"3"]


WORK = {
    "make a root": Work(nothing, make_root, lambda path: Root(path, now=time.time).exists),
    "put bytes": Work(fill, put, has_object, has_old),
    "put a stream": Work(fill, put_stream, has_object, has_old),
    "put known bytes": Work(fill, put_known, has_old, has_old),
    "stage": Work(fill, stage, has_new, has_old),
    "resume": Work(stage_half, stage, has_new, has_old),
    "stage anew": Work(fill, stage_again, has_again, has_either),
    "overwrite entries": Work(collide, overwrite, has_been_overwritten, has_each_or_its_successor),
    "change a key": Work(change_twice, change_key, has_changed_key, has_last_key),
}

# -- killed, failing --------------------------------------------------------------------------


@pytest.fixture(params=WORK)
def work(request: pytest.FixtureRequest) -> Work:
    return WORK[request.param]


class Bench:
    """Fresh copies of the state before some work."""

    def __init__(self, top: str, work: Work) -> None:
        self.top = top
        self.count = 0
        self.template = f"{top}/template/cache"
        os.mkdir(f"{top}/template")
        work.before(self.template)

    def copy(self) -> str:
        self.count += 1
        path = f"{self.top}/{self.count}/cache"
        os.mkdir(os.path.dirname(path))
        if os.path.isdir(self.template):
            shutil.copytree(self.template, path)
        return path


def calls_of(work: Work, bench: Bench) -> list[Call]:
    """What the work does to the disk, when nothing goes wrong."""
    path = bench.copy()
    run = traced(lambda: work.do(path))
    if run.error is not None:
        raise run.error
    assert work.done(path)
    return [call for call in run.calls if path in call.text]


def left_wrong(work: Work, path: str) -> list[str]:
    """Judge a root after a crash, do the work again, and judge it once more."""
    wrong = faults(path)
    if not work.kept(path):
        wrong.append("something that was there before is lost")
    work.do(path)
    if not work.done(path):
        wrong.append("the next attempt did not succeed")
    wrong += [f"after the next attempt: {fault}" for fault in faults(path)]
    wrong += [f"left for ever: {name}" for name in sweep(path)]
    if not work.done(path) or not work.kept(path):
        wrong.append("sweeping took too much")
    return wrong


def test_killed_at_any_call_nothing_is_lost_and_nothing_is_wrong(
    work: Work, quick_tmp: str
) -> None:
    bench = Bench(quick_tmp, work)
    wrong = {}
    killed = 0
    for call in calls_of(work, bench):
        path = bench.copy()
        run = traced(lambda: work.do(path), f"{call.name}:signal=SIGKILL:when={call.number}")  # noqa: B023
        killed += run.killed
        found = left_wrong(work, path)
        if found:
            wrong[f"{call.name} {call.number}: {call.text[-120:]}"] = found
        shutil.rmtree(os.path.dirname(path))
    assert not wrong, report(wrong)
    assert killed >= 5


def report(wrong: dict[str, list[str]]) -> str:
    return "\n".join(f"{call}\n    {fault}" for call, found in wrong.items() for fault in found)


FAILURES = {
    "write": "ENOSPC",
    "mkdir": "ENOSPC",
    "link": "ENOSPC",
    "rename": "ENOSPC",
    "unlink": "EIO",
    "fsync": "EIO",
    "fchmod": "EPERM",
    "chmod": "EPERM",
    "ftruncate": "EIO",
    "flock": "ENOLCK",
    "close": "EIO",
    "utimensat": "EPERM",
}


def failure(call: Call) -> str:
    if call.name.startswith("open"):
        return "ENOSPC" if "O_CREAT" in call.text else "EIO"
    for name, error in FAILURES.items():
        if call.name.startswith(name):
            return error
    return "EIO"


def test_failing_at_any_call_is_a_typed_error_and_leaves_nothing(
    work: Work, quick_tmp: str
) -> None:
    bench = Bench(quick_tmp, work)
    wrong: dict[str, list[str]] = {}
    failed = 0
    for call in calls_of(work, bench):
        path = bench.copy()
        error = failure(call)
        run = traced(lambda: work.do(path), f"{call.name}:error={error}:when={call.number}")  # noqa: B023
        found = []
        if run.error is None:
            if not work.done(path):
                found.append("no error, and not done")
        else:
            failed += 1
            if not isinstance(run.error, FscacheError):
                found.append(f"raised {run.error!r} {getattr(run.error, '__notes__', '')}")
        if call.name not in {"unlink", "unlinkat"} and os.path.isdir(f"{path}/partial"):
            before = os.listdir(f"{bench.template}/partial") if work.before is not nothing else []
            found += [
                f"left behind: {name}" for name in set(os.listdir(f"{path}/partial")) - set(before)
            ]
        found += left_wrong(work, path)
        if found:
            wrong[f"{call.name} {call.number} {error}: {call.text[-120:]}"] = found
        shutil.rmtree(os.path.dirname(path))
    assert not wrong, report(wrong)
    assert failed >= 1 or work.do is put_known


# -- a group ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("users")
def test_a_user_killed_at_any_call_locks_no_other_user_of_the_group_out(quick_tmp: str) -> None:
    modes = Modes(LAB, world_readable=False)

    def put_as_member(path: str, data: bytes) -> None:
        root = Root(path, now=time.time, modes=modes)
        with translated(path):
            root.ensure()
            root.objects().put_bytes(data)

    def as_alice(path: str) -> None:
        os.setgroups([LAB])
        os.setgid(ALICE)
        os.setuid(ALICE)
        os.umask(0o077)
        put_as_member(path, NEW)

    def prepare(name: str) -> str:
        os.mkdir(f"{quick_tmp}/{name}")
        os.chown(f"{quick_tmp}/{name}", ALICE, LAB)
        os.chmod(f"{quick_tmp}/{name}", 0o2770)
        return f"{quick_tmp}/{name}/cache"

    first = prepare("first")
    run = traced(lambda: as_alice(first))
    assert run.error is None, run.error
    calls = [call for call in run.calls if first in call.text and not call.name.startswith("open")]
    wrong = []
    for count, call in enumerate(calls):
        path = prepare(str(count))
        traced(lambda: as_alice(path), f"{call.name}:signal=SIGKILL:when={call.number}")  # noqa: B023
        if not os.path.exists(f"{path}/FORMAT"):  # a root in the making is finished by its maker
            in_child(put_as_member, path, NEW, uid=ALICE, groups=[LAB], umask=0o077)
        try:
            in_child(put_as_member, path, NEW, uid=BOB, groups=[LAB], umask=0o077)
            in_child(put_as_member, path, b"others", uid=BOB, groups=[LAB], umask=0o077)
        except FscacheError as exc:
            wrong.append(f"{call.name} {call.number}: {exc}")
        wrong += faults(path)
    assert wrong == []
