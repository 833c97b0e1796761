"""Administration is killed, or fails, at each system call of what it does, one after the other.

After each: nothing that was there is lost or wrong, the catalog can be opened and is true once the
files are read, and the same command, called again, does what is missing.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fscache.admin.purge import Purge
from fscache.errors import FscacheError
from fscache.kv.local import LocalStore
from fscache.migrate.resplit import Resplit
from fscache.objects.digest import digest_of
from fscache.objects.layout import Split
from fscache.objects.purge import Policy
from fscache.records.pins import Pins
from fscache.records.root import Root, translated
from fscache.tasks import backends
from fscache.urls.index import URLIndex
from tests.crash.conftest import read, sweep
from tests.support import migrations
from tests.support.catalogs import DAY, keep, keeper_of, objects_of, objects_on_disk, open_root
from tests.support.listing import files
from tests.support.strace import traced
from tests.support.wrecks import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.strace import Call

pytestmark = pytest.mark.usefixtures("injection")

LARGE, BUFFER = b"large" * 15_000, b"buffer" * 1000
OLD = {f"https://host/{number}": b"old %d" % number * 50 for number in range(3)}
YOUNG = {"https://host/young": b"young"}


def cache(top: str) -> Root:
    return Root(f"{top}/cache", now=time.time)


def problems(root: Root, urls: dict[str, bytes], *, dangling: bool = False) -> list[str]:
    """Return what is wrong with a root, whose URLs stand for these bytes."""
    allowed = {"dangling"} if dangling else set()
    found, _done = verify(root)
    wrong = [f"{each.what} {each.path}" for each in found if each.what not in allowed]
    for url, body in urls.items():
        hit = URLIndex(root).find(url)
        if hit is None:
            wrong.append(f"{url} is lost")
        elif read(hit.path) != body:
            wrong.append(f"{url} has other bytes")
    keeper_of(root).reindex()
    listed = keeper_of(root).ask(
        lambda catalog: dict(catalog.db.execute("SELECT address, size FROM objects"))
    )
    if listed != objects_on_disk(root):
        wrong.append("the catalog, made anew, is not true")
    return wrong


# -- what is done -----------------------------------------------------------------------------


def fill(top: str) -> None:
    root = open_root(f"{top}/cache")
    for url, body in OLD.items():
        stored = keep(root, body, url)
        then = int((time.time() - 10 * DAY) * 1e9)
        os.utime(stored.path, ns=(then, stored.status.st_mtime_ns))
    for url, body in YOUNG.items():
        keep(root, body, url)


def fill_and_list(top: str) -> None:
    fill(top)
    keeper_of(cache(top)).reindex()  # which sees the files' own times


def purge(top: str) -> None:
    Purge(keeper_of(cache(top)), Policy(older_than=DAY), timeout=20).run()


def is_purged(top: str) -> list[str]:
    root = cache(top)
    left = objects_on_disk(root).keys() - {digest_of(body)[:20] for body in YOUNG.values()}
    return [f"{address} is still there" for address in left] + problems(root, YOUNG, dangling=True)


def reindex(top: str) -> None:
    keeper_of(cache(top)).reindex()


def is_indexed(top: str) -> list[str]:
    root = cache(top)
    said: list[str] = []
    listed = keeper_of(root, said).ask(objects_of)
    wrong = [] if listed == objects_on_disk(root) else ["the catalog is not true"]
    return wrong + [f"set aside: {each}" for each in said] + problems(root, {**OLD, **YOUNG})


def fold(top: str) -> None:
    keeper_of(cache(top)).open().close()


def keep_some(top: str) -> None:
    root = cache(top)
    with translated(root.path):  # as `Cache` and the stager do
        for number in range(2):
            keep(root, b"new %d" % number, f"https://new/{number}")


def is_listed(top: str) -> list[str]:
    return problems(cache(top), {**OLD, **YOUNG, "https://new/1": b"new 1"})


def old_astropy(top: str) -> None:
    open_root(f"{top}/cache")
    migrations.astropy(f"{top}/old")


def old_root(top: str) -> None:
    open_root(f"{top}/cache")
    root = Root(f"{top}/old", now=time.time, object_split=Split(2, 18))
    root.ensure()
    keep(root, b"body", "https://host/a", "https://host/b")
    LocalStore(root).put("small", "x")
    LocalStore(root).put("large", LARGE)
    Pins(root).add("https://host/a", by="ann")
    tasks = backends.in_files(root)
    tasks.add_record("task", {"msg_id": "task", "buffers": [BUFFER]})
    tasks.close()


def migrate(top: str) -> None:
    migrations.migrate(cache(top), f"{top}/old")


def migrate_away(top: str) -> None:
    migrations.migrate(cache(top), f"{top}/old", remove=True)


def astropy_is_here(top: str) -> list[str]:
    urls = {migrations.url_of(name): body for name, body in migrations.BODIES.items()}
    return problems(cache(top), urls)


def astropy_is_somewhere(top: str) -> list[str]:
    """Every file is whole in the old place or in the new one, at any moment."""
    wrong = []
    for name, body in migrations.BODIES.items():
        hit = URLIndex(cache(top)).find(migrations.url_of(name))
        there = [f"{top}/old/{each}" for each in files(f"{top}/old")]
        if (hit is None or read(hit.path) != body) and body not in map(read, there):
            wrong.append(f"{name} is nowhere")
    return wrong


def root_is_here(top: str) -> list[str]:
    root = cache(top)
    wrong = problems(root, {"https://host/a": b"body", "https://host/b": b"body"})
    store = LocalStore(root)
    if (store.get("small", None), store.get("large", None)) != ("x", LARGE):
        wrong.append("key-values are lost")
    if Pins(root).names() != {"https://host/a"}:
        wrong.append("pins are lost")
    tasks = backends.in_files(root)
    try:
        if [tasks.get_record(each["msg_id"])["buffers"] for each in tasks.db_query({})] != [
            [BUFFER]
        ]:
            wrong.append("tasks are lost")
    finally:
        tasks.close()
    return wrong


def split(top: str) -> None:
    work = Resplit(cache(top), Split(2, 18))
    with translated(top):
        work.run()
    Resplit(cache(top), Split(2, 18)).remove_old()


def is_split(top: str) -> list[str]:
    wrong = problems(cache(top), {**OLD, **YOUNG})
    if {name.count("/") for name in files(f"{top}/cache/objects")} != {1}:
        wrong.append("names of the old split are left")
    return wrong


def nothing_lost(top: str) -> list[str]:
    return problems(cache(top), {**OLD, **YOUNG})


def young_stay(top: str) -> list[str]:
    return problems(cache(top), YOUNG, dangling=True)


def fine(_top: str) -> list[str]:
    return []


@dataclass(frozen=True)
class Work:
    """Something that is done: what comes before, how it is judged, and what a crash must leave."""

    before: Callable[[str], None]
    do: Callable[[str], None]
    done: Callable[[str], list[str]]
    kept: Callable[[str], list[str]] = fine
    between: Callable[[str], None] = fine


WORK = {
    "purge": Work(fill_and_list, purge, is_purged, young_stay),
    "reindex": Work(fill_and_list, reindex, is_indexed, nothing_lost),
    "first listing": Work(fill, fold, is_indexed, nothing_lost),
    "fold": Work(fill_and_list, fold, is_listed, nothing_lost, keep_some),
    "record": Work(fill_and_list, keep_some, is_listed, nothing_lost),
    "migrate astropy": Work(old_astropy, migrate, astropy_is_here, astropy_is_somewhere),
    "migrate astropy away": Work(old_astropy, migrate_away, astropy_is_here, astropy_is_somewhere),
    "migrate a root": Work(old_root, migrate, root_is_here),
    "migrate a root away": Work(old_root, migrate_away, root_is_here),
    "split": Work(fill, split, is_split, nothing_lost),
}


@pytest.fixture(params=WORK)
def work(request: pytest.FixtureRequest) -> Work:
    return WORK[request.param]


class Bench:
    """Fresh states before some work: made anew, since a copy has other inodes."""

    def __init__(self, top: str, work: Work) -> None:
        self.top = top
        self.work = work
        self.count = 0

    def make(self) -> str:
        self.count += 1
        path = f"{self.top}/{self.count}"
        os.mkdir(path)
        self.work.before(path)
        self.work.between(path)
        return path

    def calls(self) -> list[Call]:
        """What the work does to the disk, when nothing goes wrong."""
        path = self.make()
        run = traced(lambda: self.work.do(path))
        if run.error is not None:
            raise run.error
        assert self.work.done(path) == []
        changing = [call for call in run.calls if path in call.text and changes(call)]
        shutil.rmtree(path)
        return changing


def changes(call: Call) -> bool:
    """Whether a call leaves another state on the disk than the one before it."""
    return not call.name.startswith("open") or "O_CREAT" in call.text


def left_wrong(work: Work, path: str) -> list[str]:
    """Judge what a crash left, do the work again, and judge it once more."""
    wrong = work.kept(path)
    work.do(path)
    wrong += [f"after the next attempt: {fault}" for fault in work.done(path)]
    wrong += [f"left for ever: {name}" for name in sweep(f"{path}/cache")]
    return wrong


def report(wrong: dict[str, list[str]]) -> str:
    return "\n".join(f"{call}\n    {fault}" for call, found in wrong.items() for fault in found)


def test_killed_at_any_call_nothing_is_lost_and_the_next_goes_on(
    work: Work, quick_tmp: str
) -> None:
    bench = Bench(quick_tmp, work)
    wrong = {}
    killed = 0
    for call in bench.calls():
        path = bench.make()
        run = traced(lambda: work.do(path), f"{call.name}:signal=SIGKILL:when={call.number}")  # noqa: B023
        killed += run.killed
        found = left_wrong(work, path)
        if found:
            wrong[f"{call.name} {call.number}: {call.text[-120:]}"] = found
        shutil.rmtree(path)
    assert not wrong, report(wrong)
    assert killed >= 5


FAILURES = {"write": "ENOSPC", "pwrite": "ENOSPC", "link": "ENOSPC", "rename": "ENOSPC"}


def test_failing_at_any_call_is_a_typed_error_and_the_next_goes_on(
    work: Work, quick_tmp: str
) -> None:
    bench = Bench(quick_tmp, work)
    wrong: dict[str, list[str]] = {}
    for call in bench.calls():
        if call.name == "close":
            continue  # the descriptor is closed all the same
        path = bench.make()
        error = next((FAILURES[each] for each in FAILURES if call.name.startswith(each)), "EIO")
        if "O_CREAT" in call.text or call.name.startswith("mkdir"):
            error = "ENOSPC"
        run = traced(lambda: work.do(path), f"{call.name}:error={error}:when={call.number}")  # noqa: B023
        found = []
        if run.error is not None and not isinstance(run.error, FscacheError):
            found.append(f"raised {run.error!r} {getattr(run.error, '__notes__', '')}")
        found += left_wrong(work, path)
        if found:
            wrong[f"{call.name} {call.number} {error}: {call.text[-120:]}"] = found
        shutil.rmtree(path)
    assert not wrong, report(wrong)
