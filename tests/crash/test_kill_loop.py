"""Two writers and a reader, killed at random again and again: what was acknowledged stays.

The writers note each finished operation in a file outside the root, after it. Values describe themselves
(`name|version|length|hash`), so that any reader can judge any bytes it gets.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from fscache.objects.digest import digest_of
from fscache.records.root import Root
from fscache.urls.destination import CacheDestination
from fscache.urls.index import URLIndex
from stager.destination import Validator
from tests.crash.conftest import faults, read, sweep
from tests.support.processes import fork
from tests.support.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KILLS = 40
URLS = [f"https://host/{number}" for number in range(6)]
pytestmark = pytest.mark.slow


def value(name: str, version: int) -> bytes:
    """Bytes that say whose they are, of a length that depends on the version."""
    body = random.Random(f"{name} {version}").randbytes(version * 977 % 50_000)
    return f"{name}|{version}|{len(body)}|{digest_of(body)}|".encode() + body


def judge(data: bytes) -> tuple[str, int]:
    """Return name and version of a value; AssertionError if it is not whole and right."""
    name, version, length, digest, body = data.split(b"|", 4)
    assert len(body) == int(length), "torn"
    assert digest_of(body) == digest.decode(), "wrong bytes"
    return name.decode(), int(version)


def write(root: Root, who: int, acknowledged: str) -> None:
    """Put objects and stage URLs for ever, each version once acknowledged before the next."""
    index = URLIndex(root)
    destination = CacheDestination(root, index, max_size=None)
    dice = random.Random(os.getpid())
    journal = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        version = dice.randrange(1, 100_000)
        if dice.random() < 0.3:
            data = value(f"object {who}", version)
            address = root.objects().put_bytes(data).address
            os.write(journal, f"object {address} {version}\n".encode())
            continue
        url = dice.choice(URLS)
        claim = destination.claim(url)
        if claim is None:
            continue
        # What a killed fetch left names its version in its note, as an ETag would.
        if claim.validator is not None and claim.kept:
            version = int(claim.validator.etag or "0")
            data = value(url, version)
        else:
            data = value(url, version)
            claim.note(Validator(str(version)))
        rest = data[claim.kept :]
        for start in range(0, len(rest), 7000):
            os.write(claim.fd, rest[start : start + 7000])
        claim.commit(staged(url, data))
        os.write(journal, f"url {url} {version}\n".encode())


def look(root: Root, complaints: str) -> None:
    """Read for ever; write down what is not right."""
    index = URLIndex(root)
    while True:
        for url in URLS:
            hit = index.find(url)
            if hit is None:
                continue
            try:
                name, _version = judge(read(hit.path))
                assert name == url, f"bytes of {name}"
            except (AssertionError, ValueError, OSError) as exc:
                with open(complaints, "a", encoding="utf-8") as file:
                    file.write(f"{url}: {exc!r}\n")


def start(work: Callable[[], None]) -> int:
    pid = fork()
    if pid == 0:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - the parent reads it
            os.write(2, f"{exc!r}\n".encode())
        finally:
            os._exit(1)  # they never end by themselves
    return pid


def test_whatever_is_killed_whenever_what_was_acknowledged_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "cache")
    acknowledged, complaints = str(tmp_path / "acknowledged"), str(tmp_path / "complaints")
    Root(path, now=time.time).ensure()

    def open_root() -> Root:
        return Root(path, now=time.time)

    work = [
        lambda: write(open_root(), 1, acknowledged),
        lambda: write(open_root(), 2, acknowledged),
        lambda: look(open_root(), complaints),
    ]
    dice = random.Random(7)
    children = [start(each) for each in work]
    ended = []
    try:
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.01, 0.12))  # at any moment: that is the point
            which = dice.choice([0, 0, 1, 1, 2])
            os.kill(children[which], signal.SIGKILL)
            _pid, status = os.waitpid(children[which], 0)
            ended.append(os.WTERMSIG(status))
            children[which] = start(work[which])
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            ended.append(os.WTERMSIG(os.waitpid(pid, 0)[1]))

    assert not os.path.exists(complaints), read(complaints).decode()
    assert set(ended) == {signal.SIGKILL}, "a child ended by itself"
    assert faults(path) == []
    root = open_root()
    index = URLIndex(root)
    # A line that a kill cut short was not acknowledged.
    lines = read(acknowledged).decode().split("\n")[:-1]
    assert len(lines) > KILLS
    for line in lines:
        kind, name, version = line.split(" ")
        if kind == "object":
            data = read(root.objects().locate(name[:20], int(name[21:] or 0)))
            assert judge(data)[1] == int(version)
        else:
            hit = index.find(name, verify=True)
            assert hit is not None, f"{name} was acknowledged and is gone"
            assert judge(read(hit.path))[0] == name
    assert sweep(path) == []
    assert faults(path) == []
