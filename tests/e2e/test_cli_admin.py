"""`fscache admin …` as an administrator calls it: processes of their own, tables, JSON lines and CSV."""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache.kv.local import LocalStore
from fscache.units import format_size
from fscache.urls.lease import leased
from tests.support import damage, migrations
from tests.support.catalogs import DAY, age, keep, objects_on_disk, open_root
from tests.support.commands import PROGRAM, Shell
from tests.support.listing import files, listing
from tests.support.mounts import with_tmpfs
from tests.support.origin import Origin
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from fscache.records.root import Root
    from tests.support.commands import Ran

BODIES = {f"https://host{n % 2}.example/{n}": b"%d" % n * 1000 * (n + 1) for n in range(5)}
URLS = list(BODIES)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(str(tmp_path), {"FSCACHE_ROOT": str(tmp_path / "cache")})


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A root with URLs used 10, 9, … days ago, and a key-value."""
    made = open_root(str(tmp_path / "cache"))
    for number, (url, body) in enumerate(BODIES.items()):
        age(made, keep(made, body, url).path, (10 - number) * DAY)
    LocalStore(made).put("key", "value")
    return made


def admin(shell: Shell, *arguments: str, code: int = 0) -> Ran:
    done = shell.run("admin", *arguments)
    assert done.code == code, done.err
    return done


def names(done: Ran) -> list[Any]:
    return [each["name"] for each in done.objects]


# -- ls ---------------------------------------------------------------------------------------


def test_ls_as_a_table(shell: Shell, root: Root) -> None:
    lines = admin(shell, "ls", "--kind", "url", "--reverse", "--limit", "2").lines
    assert lines[0].split() == [
        *["ACCESSED", "STORED", "SIZE", "HITS", "KEPT", "BY", "ADDRESS", "NAME"]
    ]
    assert [line.split()[-1] for line in lines[1:]] == URLS[:2]
    accessed, stored, size, hits, kept, by, address, name = lines[1].split()
    then = time.strptime(accessed, "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(then) - time.timezone - (time.time() - 10 * DAY)) < 3700
    assert stored.endswith("Z")
    assert (size, hits, kept, by, name) == ("1000", "0", "-", "ann@host", URLS[0])
    assert address in objects_on_disk(root)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--sort", "atime", "--kind", "url"), [4, 3, 2, 1, 0]),
        (("--sort", "size", "--kind", "url", "--reverse"), [0, 1, 2, 3, 4]),
        (("--sort", "age", "--kind", "url"), [0, 1, 2, 3, 4]),
        (("--sort", "name", "--kind", "url"), [0, 2, 4, 1, 3]),
        (("--limit", "1"), ["default/key"]),
        (("--filter", "size>2KiB", "--filter", "accessed>180h"), [2]),
        (("--filter", "url~host1"), [3, 1]),
        (("--filter", "host=host0.example", "--limit", "2"), [4, 2]),
        (("--kind", "kv"), ["default/key"]),
        (("--kind", "task"), []),
        (("--limit", "0"), []),
    ],
)
def test_ls_sorts_filters_and_cuts_off(
    shell: Shell, root: Root, arguments: tuple[str, ...], expected: list[Any]
) -> None:
    listed = names(admin(shell, "ls", "--json", *arguments))
    assert listed == [URLS[each] if isinstance(each, int) else each for each in expected]


def test_ls_says_all_that_is_known(shell: Shell, root: Root) -> None:
    admin(shell, "pin", URLS[0])
    path = shell.run("path", URLS[1]).lines[0]
    with leased(lambda: path):  # type: ignore[arg-type, return-value]
        rows = {row["name"]: row for row in admin(shell, "ls", "--json").objects}
    assert {name for name, row in rows.items() if row["pinned"]} == {URLS[0]}
    assert {name for name, row in rows.items() if row["leased"]} == {URLS[1]}
    row = rows[URLS[1]]
    assert (row["kind"], row["size"], row["hits"], row["staged_by"]) == (
        *("url", 2000, 1, "ann@host"),
    )
    assert abs(row["accessed"] - time.time()) < 60
    assert row["disk"] == 4096
    assert rows["default/key"]["address"] is None


def test_ls_as_csv_is_ls_as_json(shell: Shell, root: Root) -> None:
    lines = admin(shell, "ls", "--csv").lines
    read = list(csv.DictReader(lines))
    objects = admin(shell, "ls", "--json").objects
    assert [row["name"] for row in read] == [each["name"] for each in objects]
    for row, each in zip(read, objects, strict=True):
        assert row == {key: "" if value is None else str(value) for key, value in each.items()}


def test_a_listing_of_nothing_has_its_heading_in_csv(shell: Shell, root: Root) -> None:
    columns = set(admin(shell, "ls", "--json").objects[0])
    (heading,) = admin(shell, "ls", "--csv", "--filter", "name=nothing").lines
    assert set(heading.split(",")) == columns
    open_root(f"{root.path}-empty")
    admin(shell, "snapshot", "empty.csv", "--root", f"{root.path}-empty")
    written = Path(shell.home, "empty.csv").read_text()
    assert set(written.removesuffix("\n").split(",")) == columns - {"leased"}


def test_a_limit_beyond_all_numbers_is_none(shell: Shell, root: Root) -> None:
    assert len(admin(shell, "ls", "--json", "--limit", "9" * 30).objects) == 6


def test_ls_works_while_the_cache_is_in_use_and_by_its_readers(shell: Shell, root: Root) -> None:
    with root.shared:  # a writer is in the midst of something
        assert len(admin(shell, "ls", "--json").objects) == 6


def imports(shell: Shell, *arguments: str) -> tuple[bytes, set[str]]:
    """Run an admin command; return what it prints, and the modules that it has imported."""
    code = f"""if True:
        import sys
        sys.argv = ["fscache", "admin", *{arguments!r}]
        from fscache.cli.main import run
        try:
            run()
        finally:
            print(*sys.modules, file=sys.stderr)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], env=shell.environ, capture_output=True, check=False
    )
    return done.stdout, set(done.stderr.decode().split())


def test_a_listing_imports_little(shell: Shell, root: Root) -> None:
    admin(shell, "ls")  # makes the catalog
    heavy = {"dataclasses", "inspect", "filelock", "requests", "fscache.errors", "fscache.tasks"}
    out, imported = imports(shell, "ls", "--limit", "2")
    assert out.count(b"\n") == 3
    assert heavy & imported == set()


def test_a_plan_imports_no_kinds_of_which_there_are_none(shell: Shell, root: Root) -> None:
    admin(shell, "ls")
    out, imported = imports(shell, "purge", "--dry-run", "--older-than", "7d")
    assert out.count(b"\n") == 5
    assert {"fscache.errors", "fscache.tasks"} & imported == set()  # a key-value is there


# -- du, snapshot -----------------------------------------------------------------------------


def test_du_adds_up(shell: Shell, root: Root) -> None:
    rows = admin(shell, "du", "--json").objects
    sums = {(row["by"], row["name"]): row for row in rows}
    size = sum(map(len, BODIES.values()))
    assert sums["total", "total"]["count"] == 6
    assert sums["kind", "url"]["size"] == size
    assert sums["host", "host1.example"]["size"] == len(BODIES[URLS[1]]) + len(BODIES[URLS[3]])
    assert sums["age", "7 d – 30 d"]["count"] == 4
    disk = sums["disk", "total"]
    assert disk["objects"] >= size
    assert disk["disk"] == sum(
        value for key, value in disk.items() if key not in {"by", "name", "disk"}
    )
    table = admin(shell, "du", "--by", "host").lines
    assert table[0].split() == ["BY", "NAME", "COUNT", "SIZE", "DISK"]
    assert any(line.split()[:3] == ["host", "host0.example", "3"] for line in table)
    assert not any(line.startswith("age") for line in table)


def test_a_snapshot_is_the_whole_listing_by_name(shell: Shell, root: Root, tmp_path: Path) -> None:
    assert admin(shell, "snapshot", "a.jsonl").lines == ["6 lines in a.jsonl"]
    admin(shell, "snapshot", "a.csv")
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    with open(tmp_path / "a.csv", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [row["name"] for row in rows]
    assert admin(shell, "snapshot", "-").out == (tmp_path / "a.jsonl").read_bytes()
    assert not (tmp_path / "-").exists()
    shell.run("forget", URLS[2])
    admin(shell, "snapshot", "b.jsonl")
    before, after = ((tmp_path / name).read_text().splitlines() for name in ("a.jsonl", "b.jsonl"))
    (gone,) = set(before) - set(after)
    assert json.loads(gone)["name"] == URLS[2]


# -- purge, pin -------------------------------------------------------------------------------


def test_purge_plans_and_then_does_it(shell: Shell, root: Root) -> None:
    before = files(root.path)
    plan = admin(shell, "purge", "--older-than", "7d", "--dry-run", "--json").objects
    assert [each["name"] for each in plan[:-1]] == URLS[:4]
    assert plan[-1] == {
        "dry_run": True,
        "objects": 4,
        "freed": sum(len(BODIES[url]) for url in URLS[:4]),
        "used": sum(map(len, BODIES.values())),
        "short": 0,
        "spared": {},
    }
    after = files(root.path)
    assert [name for name in after if name not in {*before, "catalog.sqlite"}] == []
    done = admin(shell, "purge", "--older-than", "7d")
    assert done.lines[0].startswith("4 objects, freed ")
    assert names(admin(shell, "ls", "--json", "--kind", "url")) == [URLS[4]]


def test_purge_by_size_with_a_low_mark_and_a_pattern(shell: Shell, root: Root) -> None:
    used = sum(map(len, BODIES.values()))
    size = str(used - 500)
    (done,) = admin(shell, "purge", "--max-size", size, "--match", "*host1*", "--json").objects[-1:]
    assert (done["objects"], done["freed"]) == (1, 2000)
    assert URLS[1] not in names(admin(shell, "ls", "--json"))
    left = used - 2000
    (done,) = admin(
        shell, "purge", "--max-size", str(left - 1), "--low-water", "50%", "--json"
    ).objects[-1:]
    assert done["used"] - done["freed"] <= left / 2
    (done,) = admin(shell, "purge", "--min-free", "100%", "--grace", "30d", "--json").objects[-1:]
    assert (done["objects"], done["short"] > 0) == (0, True)
    assert "young" in done["spared"]
    (told,) = admin(shell, "purge", "--max-size", "0", "--grace", "30d").lines
    assert told.endswith(", spared: what was used lately")
    limits = ("--max-size", "1KiB", "--low-water", "50%", "--grace", "30d")
    left = shell.run("admin", "purge", *limits, "--json")
    over = left.objects[-1]["used"] - 1024
    assert left.objects[-1]["short"] == over
    assert f"still {format_size(over)} over the limit" in left.err


def test_pinned_objects_stay_until_they_are_unpinned(shell: Shell, root: Root) -> None:
    address = next(a for a, size in objects_on_disk(root).items() if size == 2000)
    assert admin(shell, "pin", URLS[0], address).lines == [URLS[0], address]
    assert admin(shell, "pin", URLS[0], "--json").objects == [
        {"name": URLS[0], "pinned": True, "changed": False}
    ]
    # Pinning looks them up, which is a use: they are young now, and pinned besides.
    for each in objects_on_disk(root):
        age(root, root.objects().locate(each), 20 * DAY)
    (done,) = admin(shell, "purge", "--older-than", "7d", "--json").objects[-1:]
    assert (done["objects"], done["spared"]) == (3, {"pinned": 2})
    assert admin(shell, "unpin", URLS[0], address).lines == [URLS[0], address]
    again = admin(shell, "unpin", URLS[0])
    assert (again.out, again.err) == (b"", f"fscache: not pinned: {URLS[0]}\n")
    assert admin(shell, "purge", "--older-than", "7d", "--json").objects[-1]["objects"] == 2
    assert shell.run("admin", "pin", "https://nowhere/x").code == 3
    assert shell.run("admin", "pin", "nonsense").code == 2


def test_without_a_limit_there_is_nothing_to_purge(
    shell: Shell, root: Root, tmp_path: Path
) -> None:
    assert "nothing to do" in admin(shell, "purge").err
    done = shell.run("admin", "purge", "--match", "*")
    assert done.code == 2
    assert "--older-than 0s" in done.err
    config = tmp_path / "config.toml"
    config.write_text('max_size = "12KiB"\nlow_water = "50%"')
    done = shell.run("admin", "purge", "--json", FSCACHE_CONFIG=str(config))
    assert done.objects[-1]["used"] - done.objects[-1]["freed"] <= 6 * 1024


# -- reindex, verify --------------------------------------------------------------------------


def test_reindex_finds_what_came_by_other_means(shell: Shell, root: Root) -> None:
    admin(shell, "ls")
    root.objects().put_bytes(b"rsynced")
    with open(f"{root.path}/objects/note", "wb") as file:
        file.write(b"?")
    done = admin(shell, "reindex")
    assert "6 objects" in done.lines[0]
    assert "new to the catalog: 1, gone from it: 0; 1 strays" in done.lines[0]
    assert f"stray: {root.path}/objects/note" in done.err
    (found,) = admin(shell, "reindex", "--json").objects
    assert (found["objects"], found["new"], found["strays"]) == (
        6,
        0,
        [f"{root.path}/objects/note"],
    )
    assert found["entries"] == {"kv": 1, "url": 5}


def test_on_a_terminal_reindex_and_verify_show_how_far_they_are(shell: Shell, root: Root) -> None:
    for number in range(200):  # more directories than are read at a time
        keep(root, b"%d" % number, f"https://many/{number}")
    for command, phases in (("reindex", ["objects", "url", "index"]), ("verify", ["verify"])):
        terminal = Terminal(80, 24)
        try:
            with shell.start("admin", command, stderr=terminal.stream) as process:
                out, _ = process.communicate(timeout=60)
            written = terminal.read()
        finally:
            terminal.close()
        assert process.returncode == 0
        for phase in phases:
            assert re.search(rf"{phase} +(\[#* *\] \d+/\d+|\d+00)\r", written), written
        assert written.endswith("\x1b[K")  # nothing of it is left
        assert b"205 objects" in out
    assert "[" not in admin(shell, "reindex").err


@pytest.mark.parametrize("lost", ["catalog.sqlite", "journal", "both"])
def test_losing_what_is_derived_loses_nothing(shell: Shell, root: Root, lost: str) -> None:
    before = names(admin(shell, "ls", "--json", "--sort", "name"))
    if lost in ("catalog.sqlite", "both"):
        os.unlink(f"{root.path}/catalog.sqlite")
    if lost in ("journal", "both"):
        subprocess.run(["rm", "-r", f"{root.path}/journal"], check=True)
    assert names(admin(shell, "ls", "--json", "--sort", "name")) == before
    admin(shell, "reindex")
    assert names(admin(shell, "ls", "--json", "--sort", "name")) == before


def test_verify_repairs_from_the_origin_and_says_so_by_its_exit_code(
    shell: Shell, tmp_path: Path
) -> None:
    with Origin() as origin:
        urls = [origin.add(f"/{name}", b"body of %d" % name * 50) for name in range(3)]
        paths = [str(path) for path in shell.run("get", *urls).lines]
        assert admin(shell, "verify").lines[-1].endswith("3 entries: nothing wrong")
        damage.flip(paths[0], keep_times=True)
        os.unlink(paths[1])
        done = admin(shell, "verify", "--json", code=5)
        assert {each["finding"] for each in done.objects[:-1]} == {"flipped", "dangling"}
        assert (done.objects[-1]["found"], done.objects[-1]["repaired"]) == (2, 0)
        done = admin(shell, "verify", "--repair")
        assert f"flipped: {paths[0]}: its digest is " in done.lines[0]
        assert "    repaired: moved to quarantine, fetched again" in done.lines
        assert done.lines[-1].endswith("2 wrong, 2 repaired")
        assert admin(shell, "verify", "--sample", "50%", "--rate", "10MB").code == 0
        assert admin(shell, "verify", "--unverified-for", "30d", "--json").objects[-1]["hashed"] < 3
        for path, name in zip(paths, range(3), strict=True):
            with open(path, "rb") as file:
                assert file.read() == b"body of %d" % name * 50


# -- migrate ----------------------------------------------------------------------------------


def test_migrate_plans_brings_and_removes(shell: Shell, tmp_path: Path) -> None:
    old = str(tmp_path / "old")
    migrations.astropy(old)
    plan = admin(shell, "migrate", old, "--dry-run", "--json").objects
    urls = {migrations.url_of(name) for name in migrations.BODIES}
    assert {each["urls"][0] for each in plan[:-1]} == urls
    assert (plan[-1]["files"], plan[-1]["urls"], plan[-1]["dry_run"]) == (4, 4, True)
    assert not (tmp_path / "cache" / "FORMAT").exists()
    done = admin(shell, "migrate", old)
    assert f"{old} is read as astropy" in done.err
    assert done.lines[0].startswith("4 files (")
    assert shell.run("cat", migrations.url_of("file2.nc")).out == migrations.BODIES["file2.nc"]
    (again,) = admin(shell, "migrate", old, "--json", "--remove-source").objects
    assert (again["again"], again["removed"]) == (4, 4)
    assert files(old) == []


def test_migrate_says_by_its_exit_code_that_something_stays(shell: Shell, tmp_path: Path) -> None:
    old = str(tmp_path / "old")
    made = migrations.flat(old)
    damage.flip(f"{old}/{made['file1.nc']}", 3)
    done = admin(shell, "migrate", old, code=1)
    assert f"stays: {old}/{made['file1.nc']}: damaged: its sha256 is " in done.err


def test_what_is_no_store_to_migrate_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("neither files nor SQLite")
    done = admin(shell, "migrate", "notes.txt", code=7)
    assert "notes.txt: neither a directory nor an SQLite file" in done.err
    (tmp_path / "empty").mkdir()
    for more in ((), ("--dry-run",)):
        done = admin(shell, "migrate", "empty", "--from", "fscache", *more, code=7)
        assert "empty: there is no cache here" in done.err
    assert not (tmp_path / "cache").exists()


def test_lines_of_urls_that_stand_for_no_file_are_told(shell: Shell, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "a.nc").write_bytes(b"a")
    lines = "\ufeffa.nc https://host/a\r\nb.nc https://host/b\r\nhttps://host/c.nc\r\n"
    (tmp_path / "urls").write_text(lines)
    for more in (["--dry-run"], []):
        done = admin(shell, "migrate", str(old), "--urls", "urls", *more)
        assert done.err.endswith("urls: 2 stand for no file there: b.nc …\n")
    assert names(admin(shell, "ls", "--json")) == ["https://host/a"]


def test_names_of_foreign_files_cannot_steer_a_terminal(shell: Shell, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "\x1b[2Jfile").write_bytes(b"x")
    (old / "\x1b[2Jlink").symlink_to("nothing")
    done = admin(shell, "migrate", str(old), "--dry-run")
    assert r"\x1b[2Jfile" in done.lines[0]
    assert r"\x1b[2Jlink" in done.err


def test_migrate_another_root_with_all_that_is_in_it(
    shell: Shell, root: Root, tmp_path: Path
) -> None:
    admin(shell, "pin", URLS[0])
    new = str(tmp_path / "new")
    (done,) = admin(shell, "migrate", root.path, "--root", new, "--json").objects
    assert (done["files"], done["urls"], done["keys"], done["pins"]) == (5, 5, 1, 1)
    listed = admin(shell, "ls", "--root", new, "--json").objects
    assert {each["name"] for each in listed} == {*URLS, "default/key"}
    assert [each["name"] for each in listed if each["pinned"]] == [URLS[0]]
    assert shell.run("kv", "get", "key", "--root", new).lines == ["value"]


def test_migrate_to_another_split(shell: Shell, root: Root) -> None:
    plan = admin(shell, "migrate", "--split", "2+18", "--dry-run", "--json").objects
    assert plan == [{"dry_run": True, "objects": 5, "from": "4+4+12", "to": "2+18"}]
    admin(shell, "migrate", "--split", "2+18", "--remove-source")
    assert {name.count("/") for name in files(f"{root.path}/objects")} == {1}
    for url, body in BODIES.items():
        assert shell.run("cat", url).out == body
    assert admin(shell, "verify").lines[-1].endswith("nothing wrong")


# -- what makes no sense ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ls", "--filter", "size>big"), "size>big"),
        (("ls", "--filter", "size>-1"), "not a size"),
        (("ls", "--filter", "colour=red"), "no field 'colour'"),
        (("ls", "--limit", "-1"), "not a number from 0: '-1'"),
        (("ls", "--sort", "colour"), "invalid choice"),
        (("ls", "--csv", "--json"), "exclude each other"),
        (("purge", "--max-size", "-5GiB"), "--max-size"),
        (("purge", "--max-size", "lots"), "lots"),
        (("purge", "--older-than", "-1d"), "--older-than"),
        (("purge", "--min-free", "110%"), "--min-free"),
        (("purge", "--low-water", "0.9"), "not a percentage"),
        (("verify", "--sample", "-5%"), "--sample"),
        (("verify", "--rate", "0"), "a rate is more than 0"),
        (("migrate",), "give either SOURCE or --split"),
        (("migrate", "", "--remove-source"), "SOURCE is empty"),
        (("migrate", "--split", "3+3"), "not parts of 20 digits, such as 2+18: '3+3'"),
        (("migrate", "--split", "a+b"), "not parts of 20 digits, such as 2+18: 'a+b'"),
        (("migrate", "--split", "2+18", "--from", "pooch"), "--from says something about a SOURCE"),
        (("migrate", "--split", "2+18", "--copy"), "--copy says something about a SOURCE"),
        (("migrate", ".", "--base-url", "https://h/"), "--base-url is for the names in --urls"),
        (("snapshot",), "FILE"),
        (("pin",), "URL|ADDRESS"),
    ],
)
def test_arguments_that_make_no_sense_are_named_and_change_nothing(
    shell: Shell, root: Root, arguments: tuple[str, ...], said: str
) -> None:
    before = listing(root.path)
    done = admin(shell, *arguments, code=2)
    assert done.out == b""
    assert said in (done.err if "--json" not in arguments else done.errors[0]["error"]["message"])
    assert listing(root.path) == before


COMMANDS = [
    ("ls",),
    ("du",),
    ("purge", "--older-than", "1d"),
    ("snapshot", "out"),
    ("pin", "https://h/a"),
    ("unpin", "https://h/a"),
    ("reindex",),
    ("verify",),
    ("migrate", "--split", "2+18"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: each[0])
@pytest.mark.parametrize("what", ["nothing", "foreign", "newer"])
def test_what_is_no_cache_or_a_newer_one_is_refused_untouched(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...], what: str
) -> None:
    path = tmp_path / "cache"
    if what != "nothing":
        path.mkdir()
        (path / "thesis.tex").write_text("mine")
    if what == "newer":
        (path / "FORMAT").write_text("2\nobjects 4+4+12\nentries 2+18\n")
    before = listing(str(tmp_path))
    done = shell.run("admin", *arguments)
    assert done.code in ((7, 3) if what == "nothing" else (7,)), done.err
    assert str(path) in done.err or "https://h/a" in done.err
    if what == "newer":
        assert "format 2 is newer than this program's (1)" in done.err
    assert listing(str(tmp_path)) == before


def newer(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9999")
    db.commit()
    db.close()


def garbage(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(os.urandom(os.path.getsize(path)))


def inner_garbage(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(os.path.getsize(path) - 4096))


def empty(path: str) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("spoil", [newer, garbage, inner_garbage, empty])
def test_a_catalog_from_the_future_or_full_of_garbage_is_made_anew(
    shell: Shell, root: Root, spoil: Any
) -> None:
    before = names(admin(shell, "ls", "--json", "--sort", "name"))
    spoil(f"{root.path}/catalog.sqlite")
    done = admin(shell, "ls", "--json", "--sort", "name")
    assert names(done) == before
    assert "catalog.sqlite cannot be used" in done.err
    (aside,) = [name for name in os.listdir(f"{root.path}/quarantine") if "catalog" in name]
    assert aside.startswith("catalog.sqlite.")
    assert admin(shell, "ls").err == ""


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_in_the_midst_of_reindex_changes_nothing(tmp_path: Path) -> None:
    disk = str(tmp_path / "disk")
    os.mkdir(disk)

    def run() -> list[tuple[int, str, bool, int]]:
        made = open_root(f"{disk}/cache")
        for number in range(400):
            keep(made, b"%d" % number, f"https://host/{number}/{'x' * 200}")
        with open(f"{disk}/ballast", "wb") as file:
            file.write(bytes(1 << 20))
        environment = {"HOME": disk, "PATH": os.defpath, "FSCACHE_ROOT": made.path}

        def call(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [PROGRAM, "admin", *arguments]
            return subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )

        assert call("ls").returncode == 0
        catalog = os.stat(f"{made.path}/catalog.sqlite")
        seen = []
        for spare in (0, 8192, 65536, 131072):  # full at the beginning, and further on
            system = os.statvfs(disk)
            with open(f"{disk}/filler", "wb", buffering=0) as file:
                left = system.f_bavail * system.f_frsize - spare
                try:
                    while left > 0:
                        left -= file.write(bytes(min(left, 65536)))
                except OSError:
                    pass
            done = call("reindex")
            after = os.stat(f"{made.path}/catalog.sqlite")
            same = (catalog.st_ino, catalog.st_size) == (after.st_ino, after.st_size)
            listed = len(call("ls", "--json").stdout.splitlines())
            seen.append((done.returncode, done.stderr, same, listed))
            assert not [name for name in os.listdir(f"{made.path}/partial") if name[0] == "t"]
            os.unlink(f"{disk}/filler")
        assert call("reindex").returncode == 0
        return seen

    for code, error, same, listed in with_tmpfs(disk, "size=5m", run):
        assert code == 6, error
        assert "catalog.sqlite" in error
        assert same
        assert listed == 400


def test_a_root_whose_path_means_something_to_sqlite(shell: Shell, tmp_path: Path) -> None:
    odd = str(tmp_path / "ca#che?mode=ro&x=%41 ü")
    keep(open_root(odd), b"bytes", "https://host/a")
    assert names(admin(shell, "ls", "--json", "--root", odd)) == ["https://host/a"]
    assert "catalog.sqlite" in os.listdir(odd)
    admin(shell, "reindex", "--root", odd)
    assert sorted(os.listdir(tmp_path)) == [os.path.basename(odd)]
