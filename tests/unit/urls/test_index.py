"""Promises of fscache.urls.index."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from fscache.errors import RootPermissionError, StoreError
from fscache.objects.digest import digest_of
from fscache.records.access import INTERVAL
from fscache.records.root import Root
from fscache.urls.index import URLIndex
from tests.support import damage
from tests.support.listing import files, listing
from tests.support.mounts import with_read_only
from tests.support.processes import ALICE, in_child
from tests.support.staging import URL, stage_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clock
    from tests.support.staging import Stage

DATA = b"the bytes of a file\n"


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def touched(root: Root) -> list[bytes]:
    """The records of touches in the root's journal."""
    return [
        line
        for name in os.listdir(f"{root.path}/journal")
        for line in read(f"{root.path}/journal/{name}").split(b"\n")
        if b" touch " in line
    ]


# -- hits -------------------------------------------------------------------------------------


def test_what_was_staged_is_found(index: URLIndex, stage: Stage, clock: Clock) -> None:
    assert index.find(URL) is None
    path = stage(URL, DATA)
    hit = index.find(URL)
    assert hit is not None
    assert hit.path == path
    assert read(hit.path) == DATA
    assert hit.address == digest_of(DATA)[:20]
    assert hit.entry.digest == digest_of(DATA)
    assert hit.entry.fetched_at == hit.entry.checked_at == clock.now
    assert hit.entry.checksums == {"sha256": hashlib.sha256(DATA).hexdigest()}
    assert index.find(URL + "2") is None


def test_a_hit_reads_none_of_the_bytes(
    index: URLIndex, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stage(URL, DATA)
    opened: list[str] = []
    real = os.open

    def record(path: str, *arguments: int) -> int:
        opened.append(path)
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", record)
    assert index.find(URL, touch=False) is not None
    monkeypatch.undo()
    assert path not in opened
    assert len(opened) == 1  # its entry


def test_an_access_is_recorded_at_most_once_an_hour(
    index: URLIndex, root: Root, stage: Stage, clock: Clock
) -> None:
    path = stage(URL, DATA)
    before = os.stat(path)
    clock.advance(86_400 * 10_000)
    first = clock.now
    index.find(URL)
    assert os.stat(path).st_atime == first
    clock.advance(INTERVAL - 1)
    index.find(URL)
    assert os.stat(path).st_atime == first
    clock.advance(2)
    index.find(URL)
    assert os.stat(path).st_atime == clock.now
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns
    assert len(touched(root)) == 2


def test_an_access_is_recorded_also_after_the_clock_was_set_back(
    index: URLIndex, stage: Stage, clock: Clock
) -> None:
    path = stage(URL, DATA)
    os.utime(path, ns=(int(2e18), os.stat(path).st_mtime_ns))
    index.find(URL)
    assert os.stat(path).st_atime == clock.now


def test_a_look_without_touching_changes_nothing(
    index: URLIndex, root: Root, stage: Stage, clock: Clock
) -> None:
    path = stage(URL, DATA)
    clock.advance(10**9)
    before = listing(root.path), os.stat(path).st_atime_ns
    assert index.find(URL, touch=False) is not None
    assert (listing(root.path), os.stat(path).st_atime_ns) == before


def test_a_forgotten_url_is_a_miss_and_its_object_stays(index: URLIndex, stage: Stage) -> None:
    path = stage(URL, DATA)
    assert index.forget(URL)
    assert index.find(URL) is None
    assert not index.forget(URL)
    assert read(path) == DATA


def test_an_object_that_is_gone_is_a_miss(index: URLIndex, root: Root, stage: Stage) -> None:
    os.unlink(stage(URL, DATA))
    assert index.find(URL) is None
    shutil.rmtree(f"{root.path}/objects")
    assert index.find(URL) is None
    with open(f"{root.path}/objects", "wb"):
        pass
    assert index.find(URL) is None
    assert index.entry(URL) is not None


# -- trust ------------------------------------------------------------------------------------


def test_bytes_that_changed_are_a_miss_with_its_reason_and_go_to_quarantine(
    index: URLIndex, root: Root, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    path = stage(URL, DATA)
    damage.flip(path)
    with caplog.at_level(logging.WARNING, "fscache"):
        assert index.find(URL) is None
    assert path in caplog.text
    assert "digest" in caplog.text
    assert not os.path.exists(path)
    assert len(os.listdir(f"{root.path}/quarantine")) == 1
    assert stage(URL, DATA) == path
    assert index.find(URL) is not None


@pytest.mark.parametrize("length", [0, 1, len(DATA) - 1, len(DATA) + 1])
def test_another_length_is_seen_even_with_the_same_time(
    index: URLIndex, stage: Stage, length: int
) -> None:
    path = stage(URL, DATA)
    status = os.stat(path)
    os.truncate(path, length)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert index.find(URL) is None


def test_bytes_that_rot_under_the_same_size_and_time_are_found_by_verify_and_only_so(
    index: URLIndex, stage: Stage
) -> None:
    path = stage(URL, DATA)
    damage.flip(path, 5, keep_times=True)
    assert index.find(URL) is not None
    assert index.find(URL, verify=True) is None
    assert index.find(URL) is None
    assert not os.path.exists(path)


def test_verify_trusts_good_bytes(index: URLIndex, stage: Stage) -> None:
    path = stage(URL, DATA)
    hit = index.find(URL, verify=True)
    assert hit is not None
    assert hit.path == path


def test_a_copied_root_is_hashed_once_and_then_trusted(
    index: URLIndex, root: Root, stage: Stage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(URL, DATA)
    shutil.copytree(root.path, f"{root.path}-2")  # other inodes, and other times
    copied = URLIndex(Root(f"{root.path}-2", now=clock))
    hit = copied.find(URL)
    assert hit is not None
    assert read(hit.path) == DATA
    assert hit.path.startswith(f"{root.path}-2/")
    before = os.stat(hit.path)
    entry = copied.entry(URL)
    assert entry is not None
    assert entry.matches(before)


def test_a_touched_file_is_hashed_again_and_trusted(index: URLIndex, stage: Stage) -> None:
    path = stage(URL, DATA)
    os.utime(path, (0, 0))
    assert index.find(URL) is not None
    entry = index.entry(URL)
    assert entry is not None
    assert entry.matches(os.stat(path))


@pytest.mark.parametrize("kind", ["directory", "link", "dangling link", "pipe"])
def test_what_is_no_file_is_no_object(index: URLIndex, root: Root, stage: Stage, kind: str) -> None:
    path = stage(URL, DATA)
    os.rename(path, f"{root.path}/elsewhere")
    if kind == "directory":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.symlink(f"{root.path}/elsewhere" + ("?" if kind == "dangling link" else ""), path)
        os.utime(f"{root.path}/elsewhere", (0, 0))
    assert index.find(URL) is None
    assert read(stage(URL, DATA)) == DATA


def test_bytes_that_the_disk_does_not_give_back_are_a_miss(
    index: URLIndex, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stage(URL, DATA)
    os.utime(path, (0, 0))

    def broken(_fd: int, _buffers: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "readv", broken)
    assert index.find(URL) is None
    monkeypatch.undo()
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    "line",
    [
        "digest ../../../../../../../../../etc/",
        "digest ffff",
        "slot 99",
        "size many",
    ],
)
def test_an_entry_that_leads_elsewhere_is_a_miss_and_moves_nothing(
    index: URLIndex, root: Root, stage: Stage, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    stage(URL, DATA)
    payload = root.entries("urls", b"url").read(URL.encode())
    assert payload is not None
    root.entries("urls", b"url").write(URL.encode(), payload + b"\n" + line.encode())
    before = files(root.path)
    with caplog.at_level(logging.WARNING, "fscache"):
        assert index.find(URL) is None
    assert URL in caplog.text
    assert files(root.path) == before
    stage(URL, DATA)
    assert index.find(URL) is not None


def test_an_entry_of_somebody_elses_digest_cannot_take_files_away(
    index: URLIndex, root: Root, stage: Stage
) -> None:
    victim = f"{root.path}/thesis.tex"
    with open(victim, "wb") as file:
        file.write(b"years of work")
    stage(URL, DATA)
    payload = root.entries("urls", b"url").read(URL.encode())
    assert payload is not None
    digest = "../." + "./.." + "/thesis.tex".ljust(24, "x")
    root.entries("urls", b"url").write(URL.encode(), payload + f"\ndigest {digest}".encode())
    assert index.find(URL) is None
    assert read(victim) == b"years of work"


# -- checksums --------------------------------------------------------------------------------


def test_a_checksum_that_is_not_known_is_computed_once_and_kept(
    index: URLIndex, stage: Stage
) -> None:
    path = stage(URL, DATA)
    hit = index.find(URL)
    assert hit is not None
    md5 = hashlib.md5(DATA).hexdigest()
    assert index.checksum(hit, "md5") == md5
    assert index.checksum(hit, "md5") != "0" * 32
    again = index.find(URL)
    assert again is not None
    assert again.entry.checksums["md5"] == md5
    os.unlink(path)
    assert index.checksum(again, "md5") == md5  # without reading


def test_the_digest_is_a_checksum_too(index: URLIndex, stage: Stage) -> None:
    stage(URL, DATA)
    hit = index.find(URL)
    assert hit is not None
    assert index.checksum(hit, "xxh3_128") == digest_of(DATA)
    assert index.checksum(hit, "xxh3_128") != digest_of(b"")


def test_bytes_that_rotted_have_no_checksum_and_none_is_recorded(
    index: URLIndex, stage: Stage
) -> None:
    path = stage(URL, DATA)
    hit = index.find(URL)
    assert hit is not None
    damage.flip(path, keep_times=True)
    assert index.checksum(hit, "md5") is None
    entry = index.entry(URL)
    assert entry is not None
    assert "md5" not in entry.checksums
    assert index.find(URL) is None


def test_an_object_that_was_purged_has_no_checksum(index: URLIndex, stage: Stage) -> None:
    path = stage(URL, DATA)
    hit = index.find(URL)
    assert hit is not None
    os.unlink(path)
    assert index.checksum(hit, "md5") != hashlib.md5(DATA).hexdigest()


def test_what_was_learnt_of_old_bytes_does_not_bring_them_back(
    index: URLIndex, stage: Stage
) -> None:
    stage(URL, DATA)
    old = index.find(URL)
    assert old is not None
    stage(URL, b"new bytes")
    assert index.checksum(old, "md5") == hashlib.md5(DATA).hexdigest()
    hit = index.find(URL)
    assert hit is not None
    assert read(hit.path) == b"new bytes"
    index.forget(URL)
    old.entry.checksums.clear()
    assert index.checksum(old, "md5") == hashlib.md5(DATA).hexdigest()
    assert index.find(URL) is None


# -- listing ----------------------------------------------------------------------------------


def test_all_urls_are_listed_with_their_objects(index: URLIndex, root: Root, stage: Stage) -> None:
    paths = {f"{URL}{number}": stage(f"{URL}{number}", b"%d" % number) for number in range(5)}
    os.unlink(paths[f"{URL}3"])
    root.entries("urls", b"url").write(b"bad", b"no fields")
    found = {entry.url: (path, status is not None) for entry, path, status in index.scan()}
    assert found == {url: (path, not url.endswith("3")) for url, path in paths.items()}


def test_two_urls_of_the_same_bytes_share_one_object(index: URLIndex, stage: Stage) -> None:
    assert stage(URL, DATA) == stage(URL + "2", DATA)
    index.forget(URL)
    hit = index.find(URL + "2")
    assert hit is not None
    assert read(hit.path) == DATA


# -- tiers ------------------------------------------------------------------------------------


@pytest.fixture
def tier(root: Root) -> URLIndex:
    return URLIndex(Root(root.path, now=root.now), read_only=True)


def test_a_hit_in_a_tier_writes_nothing_at_all(
    tier: URLIndex, root: Root, stage: Stage, clock: Clock
) -> None:
    path = stage(URL, DATA)
    clock.advance(10**9)
    before = listing(root.path), os.stat(path).st_atime_ns
    hit = tier.find(URL)
    assert hit is not None
    assert (listing(root.path), os.stat(path).st_atime_ns) == before
    assert tier.find(URL, verify=True) is not None
    assert tier.checksum(hit, "md5") == hashlib.md5(DATA).hexdigest()
    assert tier.checksum(hit, "sha1") != "0" * 40
    os.utime(path, (0, 0))
    before_touched = listing(root.path)
    assert tier.find(URL) is not None
    assert listing(root.path) == before_touched


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root, path: damage.flip(path),
        lambda root, path: os.truncate(path, 3),
        lambda root, path: os.unlink(path),
        lambda root, path: damage.flip(root.entries("urls", b"url").path(URL.encode()), 30),
        lambda root, path: damage.overwrite(root.entries("urls", b"url").path(URL.encode()), b""),
    ],
)
def test_what_is_bad_in_a_tier_is_a_miss_and_stays_as_it_is(
    tier: URLIndex, root: Root, stage: Stage, spoil: Callable[[Root, str], None]
) -> None:
    path = stage(URL, DATA)
    spoil(root, path)
    before = listing(root.path)
    assert tier.find(URL) is None
    assert tier.find(URL, verify=True) is None
    assert listing(root.path) == before


@pytest.mark.usefixtures("mounts")
def test_a_tier_on_a_read_only_file_system_serves(root: Root, stage: Stage) -> None:
    stage(URL, DATA)

    def use() -> bytes:
        hit = URLIndex(Root(root.path, now=root.now), read_only=True).find(URL, verify=True)
        assert hit is not None
        return read(hit.path)

    assert with_read_only(root.path, use) == DATA


@pytest.mark.usefixtures("mounts")
def test_a_root_on_a_read_only_file_system_serves_what_it_has(
    root: Root, stage: Stage, clock: Clock
) -> None:
    path = stage(URL, DATA)
    os.utime(path, (0, 0))  # so that the hit would like to record something
    clock.advance(10**9)

    def use() -> bytes:
        hit = URLIndex(Root(root.path, now=root.now)).find(URL)
        assert hit is not None
        return read(hit.path)

    assert with_read_only(root.path, use) == DATA


# -- users ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("users")
def test_a_root_of_somebody_else_serves_what_it_has_and_records_what_it_can(
    open_tmp: str, clock: Clock
) -> None:
    root = Root(f"{open_tmp}/cache", now=clock)
    root.ensure()
    path = stage_into(root, URL, DATA)
    os.utime(path, (0, 0))
    clock.advance(10**9)

    def use() -> list[bytes]:
        index = URLIndex(Root(root.path, now=clock))
        found = []
        for _ in range(3):
            hit = index.find(URL)
            assert hit is not None
            found.append(read(hit.path))
        return found

    assert in_child(use, uid=ALICE) == [DATA] * 3
    assert os.stat(path).st_mtime == 0


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("closed", ["urls", "objects"])
def test_a_root_that_may_not_be_read_is_a_typed_error_and_such_a_tier_is_passed_over(
    open_tmp: str, clock: Clock, closed: str
) -> None:
    root = Root(f"{open_tmp}/cache", now=clock)
    root.ensure()
    stage_into(root, URL, DATA)
    os.chmod(f"{root.path}/{closed}", 0o700)

    def find(*, read_only: bool) -> object:
        return URLIndex(Root(root.path, now=clock), read_only=read_only).find(URL)

    with pytest.raises(RootPermissionError) as caught:
        in_child(lambda: find(read_only=False), uid=ALICE)
    assert caught.value.path == root.path
    assert in_child(lambda: find(read_only=True), uid=ALICE) is None


def test_a_disk_that_does_not_give_back_an_entry_is_a_typed_error(
    index: URLIndex, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(URL, DATA)

    def broken(_fd: int, _count: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", broken)
    with pytest.raises(StoreError):
        index.find(URL)
