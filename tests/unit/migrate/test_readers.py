"""Older stores are told apart and brought over: every byte, every URL, and nothing that is damaged."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from fscache.admin.purge import Purge
from fscache.errors import StoreError
from fscache.migrate.migration import Migration
from fscache.migrate.readers import detect
from fscache.migrate.transfer import Transfer
from fscache.migrate.urls import URLList
from fscache.objects.digest import digest_of
from fscache.objects.purge import Policy
from fscache.urls.index import URLIndex
from tests.support import damage, migrations
from tests.support.catalogs import (
    DAY,
    assert_catalog_is_true,
    keep,
    keeper_of,
    objects_on_disk,
)
from tests.support.listing import files, listing
from tests.support.migrations import BODIES, COMMIT, hub_url, migrate, put, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from fscache.migrate.item import Passed
    from fscache.records.root import Root


@pytest.fixture
def old(tmp_path: Path) -> str:
    os.mkdir(tmp_path / "old")
    return str(tmp_path / "old")


def assert_here(root: Root, urls: dict[str, str]) -> None:
    """Every URL stands for its body, by a look-up that hashes it."""
    for name, url in urls.items():
        hit = URLIndex(root).find(url, verify=True)
        assert hit is not None, url
        with open(hit.path, "rb") as file:
            assert file.read() == BODIES[name]


def bodies_here(root: Root) -> set[str]:
    return set(objects_on_disk(root))


ALL = {digest_of(body)[:20] for body in BODIES.values()}
URLS = {name: url_of(name) for name in BODIES}


# -- directories ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512", "blake2b"])
@pytest.mark.parametrize("split", [0, 2])
def test_files_named_by_a_hash_of_their_bytes(
    live: Root, old: str, algorithm: str, split: int
) -> None:
    migrations.flat(old, algorithm, split)
    assert detect(old) == "directory"
    done = migrate(live, old)
    assert (done.moved.files, done.moved.urls, done.passed) == (4, 0, 0)
    assert bodies_here(live) == ALL
    assert_catalog_is_true(live)


def test_a_damaged_file_among_those_named_by_hashes_stays(live: Root, old: str) -> None:
    made = migrations.flat(old)
    damage.flip(f"{old}/{made['file2.nc']}", 5)
    passed: list[Passed] = []
    done = migrate(live, old, passed=passed)
    assert (done.moved.files, done.passed) == (3, 1)
    assert passed[0].path == f"{old}/{made['file2.nc']}"
    assert passed[0].why.startswith("damaged: its sha256 is ")
    assert len(bodies_here(live)) == 3
    assert files(f"{live.path}/partial") == [os.path.basename(log_of(live))]


def log_of(root: Root) -> str:
    (name,) = [each for each in os.listdir(f"{root.path}/partial") if each.endswith(".log")]
    return f"{root.path}/partial/{name}"


def test_our_own_addresses_under_another_split(live: Root, old: str) -> None:
    """2+18 of somebody's own, without FORMAT."""
    for body in BODIES.values():
        address = digest_of(body)[:20]
        put(f"{old}/{address[:2]}/{address[2:]}", body)
    damage.flip(put(f"{old}/{'ab'}/{'0' * 18}", b"no such bytes"), 1)
    done = migrate(live, old)
    assert (done.moved.files, done.passed) == (4, 1)
    assert bodies_here(live) == ALL


def test_names_that_are_hashes_of_urls(live: Root, old: str) -> None:
    for name, body in BODIES.items():
        put(f"{old}/{hashlib.sha256(url_of(name).encode()).hexdigest()}", body)
    done = migrate(live, old, lines=URLS.values())
    assert (done.moved.files, done.moved.urls, done.passed) == (4, 4, 0)
    assert_here(live, URLS)
    assert_catalog_is_true(live)


def test_plain_names_with_a_list_in_any_mixture(live: Root, old: str) -> None:
    for name, body in BODIES.items():
        put(f"{old}/{name}", body)
    put(f"{old}/below/deeper.nc", b"of no URL")
    sha = hashlib.sha256(BODIES["file2.nc"]).hexdigest()
    md5 = hashlib.md5(BODIES["file3.nc"]).hexdigest()
    lines = [
        "# a comment",
        "",
        url_of("file0.nc"),
        f"file1.nc {url_of('file1.nc')}",
        f"file2.nc sha256:{sha} {url_of('file2.nc')}",
        f"file3.nc {md5}",
    ]
    done = migrate(live, old, lines=lines, base_url="https://host.example/path/")
    assert (done.moved.files, done.moved.urls, done.passed) == (5, 4, 0)
    assert_here(live, URLS)
    entry = URLIndex(live).entry(url_of("file2.nc"))
    assert entry is not None
    assert (entry.checksums, entry.staged_by) == ({"sha256": sha}, "ann@host")


def test_without_a_list_files_are_found_by_address(live: Root, old: str) -> None:
    for name, body in BODIES.items():
        put(f"{old}/{name}", body)
    assert migrate(live, old).moved.urls == 0
    assert bodies_here(live) == ALL


def test_what_is_no_file_stays_and_no_link_is_followed(live: Root, old: str) -> None:
    put(f"{old}/file", b"bytes")
    os.symlink("/etc/passwd", f"{old}/link")
    os.mkfifo(f"{old}/pipe")
    passed: list[Passed] = []
    done = migrate(live, old, passed=passed)
    assert done.moved.files == 1
    assert sorted((each.path, each.why) for each in passed) == [
        (f"{old}/link", "not a regular file"),
        (f"{old}/pipe", "not a regular file"),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a b c https://x/y", "more than name, checksum and URL"),
        ("file.nc", "no URL for file.nc"),
        ("file.nc zz", "not a checksum: zz"),
        ("file.nc https://x/y https://x/z", "not a checksum"),
        ("https://", "line 2"),
    ],
)
def test_a_line_that_cannot_be_understood_is_named(line: str, why: str) -> None:
    with pytest.raises(ValueError, match="line 2: ") as caught:
        URLList.parse(["https://good/one", line])
    assert why in str(caught.value)


def test_two_urls_that_end_alike_are_taken_for_neither(live: Root, old: str) -> None:
    put(f"{old}/data.nc", b"bytes")
    done = migrate(live, old, lines=["https://a/data.nc", "https://b/data.nc"])
    assert (done.moved.files, done.moved.urls) == (1, 0)


# -- pooch ------------------------------------------------------------------------------------


def test_a_cache_of_pooch_with_a_list_of_urls(live: Root, old: str) -> None:
    migrations.pooch(old)
    assert detect(old) == "pooch"
    done = migrate(live, old, lines=URLS.values())
    assert (done.moved.files, done.moved.urls, done.passed) == (4, 4, 0)
    assert_here(live, URLS)


def test_a_registry_of_pooch_with_its_base_url(live: Root, old: str) -> None:
    for name, body in BODIES.items():
        put(f"{old}/sub/{name}", body)
    damage.flip(f"{old}/sub/file1.nc", 2)
    lines = [f"sub/{name} {hashlib.sha256(body).hexdigest()}" for name, body in BODIES.items()]
    done = migrate(live, old, form="pooch", lines=lines, base_url="https://host.example/path/")
    assert (done.moved.files, done.moved.urls, done.passed) == (3, 3, 1)
    whole = {name: f"https://host.example/path/sub/{name}" for name in BODIES if name != "file1.nc"}
    assert_here(live, whole)


def test_what_pooch_left_half_done_or_unpacked_stays(live: Root, old: str) -> None:
    migrations.pooch(old)
    put(f"{old}/tmpab12cd_9", b"half")
    put(f"{old}/{'0' * 32}-a.zip.unzip/inside", b"unpacked")
    put(f"{old}/{'0' * 32}-b.gz.decomp", b"unpacked")
    passed: list[Passed] = []
    done = migrate(live, old, passed=passed)
    assert done.moved.files == 4
    assert sorted(each.why for each in passed) == [
        "left by a download that did not end",
        "unpacked from another file",
        "unpacked from another file",
    ]


# -- astropy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "/download", "/download/url"])
def test_a_cache_of_astropy_from_any_of_its_directories(live: Root, old: str, below: str) -> None:
    migrations.astropy(old)
    assert detect(f"{old}{below}") == "astropy" or below == "/download"
    done = migrate(live, f"{old}{below}", form="astropy")
    assert (done.moved.files, done.moved.urls, done.passed) == (4, 4, 0)
    assert_here(live, URLS)


def test_downloads_of_astropy_that_are_not_whole_stay(live: Root, old: str) -> None:
    made = migrations.astropy(old)
    os.unlink(made["file0.nc"])
    os.unlink(f"{os.path.dirname(made['file1.nc'])}/url")
    put(f"{os.path.dirname(made['file2.nc'])}/url", b"not a url")
    passed: list[Passed] = []
    done = migrate(live, old, passed=passed)
    assert (done.moved.files, len(passed)) == (1, 3)
    assert {each.why for each in passed} == {"no download", "its URL cannot be read"}


# -- huggingface_hub --------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "/models--org--name"])
def test_a_cache_of_the_hub_by_commit_branch_and_pull_request(
    live: Root, old: str, below: str
) -> None:
    migrations.huggingface(old)
    assert detect(f"{old}{below}") == "huggingface"
    done = migrate(live, f"{old}{below}")
    assert (done.moved.files, done.moved.urls, done.passed) == (4, 12, 0)
    for revision in (COMMIT, "main", "pr%2F1"):
        assert_here(live, {name: hub_url(name, revision) for name in BODIES})
    entry = URLIndex(live).entry(hub_url("file0.nc"))
    assert entry is not None
    assert entry.etag == f'"{hashlib.sha256(BODIES["file0.nc"]).hexdigest()}"'


@pytest.mark.parametrize(
    ("kind", "prefix"), [("datasets", "datasets/"), ("spaces", "spaces/"), ("models", "")]
)
def test_every_kind_of_repository(live: Root, old: str, kind: str, prefix: str) -> None:
    migrations.huggingface(old, f"{kind}--org--name")
    assert migrate(live, old).moved.files == 4
    assert_here(live, {name: hub_url(name, prefix=prefix) for name in BODIES})


def test_blobs_that_are_damaged_unnamed_or_unfinished_stay(live: Root, old: str) -> None:
    made = migrations.huggingface(old)
    damage.flip(made["file0.nc"], 3)
    damage.flip(made["file1.nc"], 3)
    os.unlink(made["file2.nc"])
    put(f"{os.path.dirname(made['file3.nc'])}/{'1' * 40}", b"no snapshot")
    put(f"{os.path.dirname(made['file3.nc'])}/{'2' * 40}.incomplete", b"half")
    os.symlink("/etc/passwd", f"{old}/models--org--name/snapshots/{COMMIT}/escape")
    passed: list[Passed] = []
    done = migrate(live, old, passed=passed)
    assert done.moved.files == 1
    assert sorted(each.why.partition(":")[0] for each in passed) == [
        "damaged",
        "damaged",
        "it leads out of the cache",
        "its blob is not there",
        "left by a download that did not end",
        "no snapshot names it",
    ]
    assert all(b"root:" not in read(root_file) for root_file in all_objects(live))


def all_objects(root: Root) -> list[str]:
    return [f"{root.path}/objects/{name}" for name in files(f"{root.path}/objects")]


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# -- all of them ------------------------------------------------------------------------------

MAKE = {
    "directory": migrations.flat,
    "pooch": migrations.pooch,
    "astropy": migrations.astropy,
    "huggingface": migrations.huggingface,
}


@pytest.fixture(params=MAKE)
def form(request: pytest.FixtureRequest, old: str) -> str:
    MAKE[request.param](old)
    return str(request.param)


def test_the_old_place_is_only_read(live: Root, old: str, form: str) -> None:
    before = listing(old)
    migrate(live, old, link=False)
    assert listing(old) == before


def test_links_change_its_modes_and_link_counts_alone(live: Root, old: str, form: str) -> None:
    before = {name: (fields[0], *fields[5:7]) for name, fields in listing(old).items()}
    done = migrate(live, old)
    assert set(done.moved.how) <= {"reflink", "link"}
    assert {name: (fields[0], *fields[5:7]) for name, fields in listing(old).items()} == before


def test_a_dry_run_changes_nothing_anywhere(live: Root, old: str, form: str) -> None:
    before = listing(old), listing(live.path)
    found = list(Migration(live, old, form, URLList()).found())
    assert len(found) == 4
    assert (listing(old), listing(live.path)) == before


def test_the_second_time_nothing_is_read_or_written(live: Root, old: str, form: str) -> None:
    migrate(live, old)
    before = listing(f"{live.path}/objects"), listing(f"{live.path}/urls")
    for path in all_objects(live):
        os.chmod(path, 0)  # root reads it all the same; others would fail
    done = migrate(live, old)
    for path in all_objects(live):
        os.chmod(path, 0o444)
    assert (done.moved.files, done.moved.again, done.moved.how) == (4, 4, {})
    after = listing(f"{live.path}/objects"), listing(f"{live.path}/urls")
    assert [{name: each[:7:2] for name, each in tree.items()} for tree in after] == [
        {name: each[:7:2] for name, each in tree.items()} for tree in before
    ]


def test_without_its_log_all_is_found_again(live: Root, old: str, form: str) -> None:
    migrate(live, old)
    before = bodies_here(live)
    os.unlink(log_of(live))
    done = migrate(live, old)
    assert (done.moved.files, done.moved.again) == (4, 0)
    assert bodies_here(live) == before
    assert_catalog_is_true(live)


def test_a_file_that_changed_since_is_brought_again(live: Root, old: str) -> None:
    put(f"{old}/a.nc", b"old bytes")
    migrate(live, old)
    put(f"{old}/b", b"")  # noise
    os.unlink(f"{old}/a.nc")
    put(f"{old}/a.nc", b"new bytes")
    done = migrate(live, old)
    assert (done.moved.files, done.moved.again) == (2, 0)
    assert digest_of(b"new bytes")[:20] in bodies_here(live)


def test_what_was_purged_since_is_brought_again(live: Root, old: str, form: str) -> None:
    migrate(live, old)
    os.unlink(all_objects(live)[0])
    done = migrate(live, old)
    assert (done.moved.files, done.moved.again) == (4, 3)
    assert bodies_here(live) == ALL


def test_removing_leaves_nothing_of_what_was_brought(live: Root, old: str, form: str) -> None:
    put(f"{old}/keep/me.txt", b"kept")
    os.symlink("/etc/passwd", f"{old}/keep/link")
    done = migrate(live, old, form=form, remove=True)
    assert done.moved.removed >= 4
    assert "keep/link" in files(old)
    left = set(files(old)) - {"keep/me.txt", "keep/link"}
    assert {name for name in left if "refs" not in name} == set()
    assert bodies_here(live) >= ALL


def test_what_did_not_come_is_not_removed(live: Root, old: str) -> None:
    made = migrations.flat(old)
    damage.flip(f"{old}/{made['file1.nc']}", 5)
    done = migrate(live, old, remove=True)
    assert (done.moved.removed, done.passed) == (3, 1)
    assert files(old) == [made["file1.nc"]]


def test_a_file_that_changes_between_bringing_and_removing_stays(
    live: Root, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = migrations.flat(old)
    original = Transfer.remove

    def remove(self: Transfer, items: object) -> None:
        os.unlink(f"{old}/{made['file1.nc']}")
        put(f"{old}/{made['file1.nc']}", b"somebody has written this meanwhile")
        original(self, items)  # type: ignore[arg-type]

    monkeypatch.setattr(Transfer, "remove", remove)
    migrate(live, old, remove=True)
    assert files(old) == [made["file1.nc"]]


def test_a_url_that_the_root_knows_keeps_its_bytes(live: Root, old: str) -> None:
    keep(live, b"mine", url_of("file0.nc"))
    migrations.astropy(old)
    passed: list[Passed] = []
    done = migrate(live, old, passed=passed)
    assert done.moved.files == 3
    assert [each.why for each in passed] == ["the root has other bytes for its URL"]
    hit = URLIndex(live).find(url_of("file0.nc"))
    assert hit is not None
    assert read(hit.path) == b"mine"


def test_old_files_stay_old_for_a_purge(live: Root, old: str) -> None:
    made = migrations.astropy(old)
    then = time.time() - 100 * DAY
    for name in set(made) - {"file0.nc"}:
        os.utime(made[name], (then, then))
    migrate(live, old, link=False)
    assert Purge(keeper_of(live), Policy(older_than=50 * DAY), timeout=20).run().taken == 3
    assert bodies_here(live) == {digest_of(BODIES["file0.nc"])[:20]}


def test_last_access_and_modification_come_along(live: Root, old: str) -> None:
    path = put(f"{old}/a.nc", b"bytes")
    os.utime(path, (1e9, 9e8))
    migrate(live, old, lines=["https://host/a.nc"])
    (moved,) = all_objects(live)
    assert os.stat(moved).st_atime == 1e9
    rows = keeper_of(live).ask(
        lambda catalog: catalog.db.execute("SELECT accessed, stored FROM objects").fetchall()
    )
    assert rows[0][0] == 1e9
    entry = URLIndex(live).entry("https://host/a.nc")
    assert entry is not None
    assert entry.fetched_at == 9e8


def test_formats_are_told_by_what_lies_there(old: str, live: Root) -> None:
    assert detect(live.path) == "fscache"
    assert detect(old) == "directory"
    with pytest.raises(FileNotFoundError, match="none"):
        detect(f"{old}/none")
    with pytest.raises(StoreError, match="file: neither a directory nor an SQLite file"):
        detect(put(f"{old}/file", b""))


def test_a_directory_around_a_store_is_not_brought_over_as_plain_files(old: str) -> None:
    """`~/.cache/huggingface` has the user's token beside the store."""
    put(f"{old}/token", b"secret")
    migrations.huggingface(f"{old}/hub")
    with pytest.raises(StoreError, match=f"the store is {old}/hub; give that"):
        detect(old)
    migrations.astropy(f"{old}/other/cache")
    assert detect(f"{old}/other/cache/download") == "astropy"
    with pytest.raises(StoreError, match=f"the store is {old}/other/cache/download; give that"):
        detect(f"{old}/other")
