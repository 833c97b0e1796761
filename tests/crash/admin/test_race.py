"""A purge races eight readers and eight writers, in processes of their own: nobody loses a file.

Bytes describe themselves, so that any reader can judge any bytes it gets. What a writer names must be
there as long as the grace time promises; what a reader holds a lease on, as long as it does.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from fscache.admin.purge import Purge
from fscache.cache import Cache
from fscache.config import load
from fscache.errors import FscacheError, NotCachedError, OfflineError
from fscache.objects.digest import digest_of
from fscache.objects.purge import Policy
from fscache.records.root import Root
from tests.support.catalogs import DAY, assert_catalog_is_true, keep, keeper_of, open_root
from tests.support.processes import fork
from tests.support.wrecks import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READERS = WRITERS = 8
SECONDS = 6.0
NAMES = 40
pytestmark = pytest.mark.slow


def url_of(number: int) -> str:
    return f"https://host/{number}"


def value(number: int, version: int) -> bytes:
    """Bytes that say whose they are, of a length that depends on the version."""
    body = random.Random(f"{number} {version}").randbytes(version * 977 % 20_000)
    return f"{number}|{version}|{digest_of(body)}|".encode() + body


def judge(data: bytes, number: int) -> None:
    """Raise AssertionError unless these are whole bytes of this number."""
    whose, _version, digest, body = data.split(b"|", 3)
    assert int(whose) == number, f"bytes of {whose.decode()}"
    assert digest_of(body) == digest.decode(), "torn or wrong bytes"


def open_cache(path: str) -> Cache:
    return Cache(path, config=load({"HOME": path, "FSCACHE_OFFLINE": "1"}))


def read(path: str, complaints: str) -> None:
    """Look URLs up and read them for ever, half of them under a lease."""
    cache = open_cache(path)
    dice = random.Random(os.getpid())
    while True:
        number = dice.randrange(NAMES)
        try:
            if dice.random() < 0.5:
                with cache.lease(url_of(number)) as place:
                    data = place.read_bytes()
                    # It looks as if nobody had asked for it: the lease alone keeps it.
                    os.utime(place, ns=(0, os.stat(place).st_mtime_ns))
                    time.sleep(dice.random() / 5)
                    assert place.read_bytes() == data, "the lease did not hold"
            else:
                with cache.open(url_of(number)) as file:
                    data = file.read(100)
                    time.sleep(dice.random() / 200)
                    data += file.read()
            judge(data, number)
        except (OfflineError, NotCachedError):
            continue  # purged: that is no loss
        except (AssertionError, ValueError, OSError, FscacheError) as exc:
            complain(complaints, f"reader, {url_of(number)}: {exc!r}")


def write(path: str, complaints: str) -> None:
    """Keep old and new bytes for ever; what was kept is there, for it is young."""
    root = Root(path, now=time.time)
    cache = open_cache(path)
    dice = random.Random(os.getpid())
    while True:
        number = dice.randrange(NAMES)
        data = value(number, dice.randrange(4))  # of few versions: most are there already
        try:
            stored = keep(root, data, url_of(number))
            time.sleep(dice.random() / 200)
            with open(stored.path, "rb") as file:
                assert file.read() == data, "other bytes than were kept"
            address = cache.put(data)
            judge(cache.path(address).read_bytes(), number)
            # From now on it looks like something that nobody has asked for in a while.
            if dice.random() < 0.7:
                os.utime(stored.path, ns=(0, stored.status.st_mtime_ns))
        except (AssertionError, ValueError, OSError, FscacheError) as exc:
            complain(complaints, f"writer, {url_of(number)}: {exc!r}")


def complain(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text + "\n")


def start(work: Callable[[], None]) -> int:
    pid = fork()
    if pid == 0:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - the parent sees that it ended
            os.write(2, f"{exc!r}\n".encode())
        finally:
            os._exit(1)
    return pid


def test_a_purge_against_readers_and_writers_loses_nobodys_file(tmp_path: Path) -> None:
    path, complaints = str(tmp_path / "cache"), str(tmp_path / "complaints")
    root = open_root(path)
    for number in range(NAMES):
        keep(root, value(number, 0), url_of(number))
    children = [start(lambda: read(path, complaints)) for _ in range(READERS)]
    children += [start(lambda: write(path, complaints)) for _ in range(WRITERS)]
    keeper_of(root).reindex()
    taken = rounds = 0
    spared: dict[str, int] = {}
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            # Writers set times back behind the journal's back; only the files tell of that.
            os.unlink(f"{path}/catalog.sqlite")
            keeper_of(root).reindex()
            done = Purge(keeper_of(root), Policy(older_than=DAY), timeout=60).run()
            taken += done.taken
            rounds += 1
            for why, count in done.spared.items():
                spared[why] = spared.get(why, 0) + count
    finally:
        ended = []
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            ended.append(os.WTERMSIG(os.waitpid(pid, 0)[1]))
    if os.path.exists(complaints):
        pytest.fail((tmp_path / "complaints").read_text()[:3000])
    assert set(ended) == {signal.SIGKILL}, "a child ended by itself"
    assert rounds >= 2
    assert taken >= 20, (taken, spared)
    # Killed writers leave at most what verify reports as harmless: an entry without its object.
    keeper_of(root).reindex()
    found, _done = verify(root)
    assert {each.what for each in found} <= {"dangling"}, found
    assert_catalog_is_true(root)
