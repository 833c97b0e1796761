"""What an administrator waits for at 100,000 objects, beside find and du; and a million rows.

    python benchmarks/admin.py --dir /data/bench [--objects 100000] [names …]

The root is made once in the directory and kept: with a URL for every object, as a cache fills. What
walks the tree is measured warm: the tree is listed before each run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Case, compare, main, repeat

ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
PROGRAM = str(Path(sys.executable).with_name("fscache"))
ROWS = 1_000_000
# A child's peak is at least that of the process that started it, so a small one has to.
PEAK = """if True:
    import os, sys
    program, root = sys.argv[1:]
    output = (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)
    command = [program, "--root", root, "admin", "ls", "--limit", "20"]
    pid = os.posix_spawn(program, command, os.environ, file_actions=[output])
    print(os.wait4(pid, 0)[2].ru_maxrss)
"""


class Bench:
    """One root, and commands on it."""

    def __init__(self, top: str, objects: int) -> None:
        self.path = f"{os.path.abspath(top)}/root-{objects}"
        self.objects = objects

    def make(self) -> None:
        """Fill the root, if it is not there yet."""
        from fscache.cache import Cache
        from fscache.urls.entry import URLEntry
        from fscache.urls.index import URLIndex

        if os.path.exists(f"{self.path}/filled"):
            return
        root = Cache(self.path).root
        root.ensure()
        objects, index = root.objects(), URLIndex(root)
        start = time.perf_counter()
        for number in range(self.objects):
            stored = objects.put_bytes(b"%d" % number * 20)
            url = f"https://host{number % 10}.example/path/to/file{number}.nc"
            now = time.time()
            entry = URLEntry(
                url, stored.digest, slot=stored.slot, size=stored.size,
                inode=stored.status.st_ino, mtime_ns=stored.status.st_mtime_ns,
                fetched_at=now, checked_at=now, staged_by="ann@host",
            )  # fmt: skip
            index.write(entry)
            root.journal.append("put", "url", url, stored.address, stored.size, "ann@host")
        print(f"{self.objects} objects made in {time.perf_counter() - start:.1f} s")
        Path(self.path, "filled").write_bytes(b"")

    def admin(self, *arguments: str) -> None:
        """Run a command to its end, its output thrown away."""
        command = [PROGRAM, "--root", self.path, "admin", *arguments]
        subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)

    def shell(self, command: str) -> None:
        """Run a shell command on the root, its output thrown away."""
        done = subprocess.run(
            command.format(root=self.path), shell=True, check=True, stdout=subprocess.DEVNULL
        )
        assert done.returncode == 0

    def warm(self) -> None:
        """Bring the tree into memory, as far as the machine lets it stay there."""
        self.shell("find {root} -printf '%s'")

    def keeper(self) -> object:
        """Return the root's keeper, in this process."""
        from fscache.admin.keeper import Keeper
        from fscache.cache import Cache

        return Keeper(Cache(self.path).root, say=print)


def listing(bench: Bench, rounds: int) -> dict:
    """`ls` by last access: the catalog against a walk."""
    bench.admin("ls", "--limit", "1")
    find = "find {root}/objects -type f -printf '%A@ %s %p\\n' | sort -rn | head -20"
    cases = [
        Case("find | sort | head", lambda: bench.shell(find), bench.warm),
        Case("admin ls --limit 20", lambda: bench.admin("ls", "--sort", "atime", "--limit", "20")),
    ]
    return compare("The 20 used last", cases, cases[0].name, rounds=rounds)


def usage(bench: Bench, rounds: int) -> dict:
    """`du`: sums from the catalog against a walk."""
    bench.admin("ls", "--limit", "1")
    cases = [
        Case("du -s", lambda: bench.shell("du -s {root}"), bench.warm),
        Case("admin du", lambda: bench.admin("du")),
    ]
    return compare("How much there is", cases, "du -s", rounds=rounds)


def purge_plan(bench: Bench, rounds: int) -> dict:
    """A plan that takes half of the objects, and one that takes all."""
    from fscache.admin.purge import Purge
    from fscache.objects.purge import Policy

    keeper = bench.keeper()
    used = Purge(keeper, Policy()).plan().used

    def plan(policy: Policy, count: int) -> None:
        assert Purge(keeper, policy).plan().taken >= count

    half = Policy(max_size=used // 2, grace=0.0)
    everything = Policy(older_than=0.0, grace=0.0)
    share = str(used // 2)
    cases = [
        Case("half, in process", lambda: plan(half, bench.objects // 3)),
        Case("all, in process", lambda: plan(everything, bench.objects)),
        Case(
            "half, admin purge --dry-run",
            lambda: bench.admin("purge", "--dry-run", "--max-size", share, "--grace", "0"),
        ),
    ]
    return compare("The plan of a purge", cases, cases[0].name, rounds=rounds)


def reindex(bench: Bench, rounds: int) -> dict:
    """The catalog from the files against a walk that keeps nothing."""
    find = "find {root} -printf '%A@ %s %p\\n'"
    cases = [
        Case("find", lambda: bench.shell(find), bench.warm),
        Case("admin reindex", lambda: bench.admin("reindex"), bench.warm),
    ]
    return compare("The catalog from the files", cases, "find", rounds=rounds)


def first_ls(bench: Bench, rounds: int) -> dict:
    """The first `ls` of all: every record of the journal is folded. Only before the first reindex."""
    if not os.path.exists(f"{bench.path}/journal/born"):
        print("\nfirst ls: this root has been indexed anew; it is measured on a fresh one")
        return {}

    def forget() -> None:
        Path(bench.path, "catalog.sqlite").unlink(missing_ok=True)

    case = Case("first ls", lambda: bench.admin("ls", "--limit", "20"), forget)
    return compare("The first listing", [case], "first ls", rounds=rounds)


def append(bench: Bench, rounds: int) -> dict:
    """What a record costs a put."""
    journal = bench.keeper().root.journal
    url = "https://host1.example/path/to/file12345.nc"

    def record() -> None:
        journal.append("touch", "url", url, "0123456789abcdef0123", 4096)

    case = Case("append", repeat(record, 20_000))
    return compare("One record of the journal", [case], "append", rounds=rounds)


def million(bench: Bench, rounds: int) -> dict:
    """`ls` with a million rows: time and memory. Changes the catalog, so it comes last."""
    bench.admin("ls", "--limit", "1")
    import sqlite3

    db = sqlite3.connect(f"{bench.path}/catalog.sqlite")
    missing = ROWS - db.execute("SELECT COUNT(*) FROM objects").fetchone()[0]
    numbers = range(missing)
    # Older, smaller and later by name than the real ones: what is shown first is looked at.
    objects = ((f"f{n:019x}", 1, 4096, 1.0 + n, 1.0 + n, -1, 0.0) for n in numbers)
    entries = (
        ("url", f"https://z.example/path/to/file{n}.nc", "z.example", f"f{n:019x}", 1, 4096, 1.0, 1.0, "")
        for n in numbers
    )  # fmt: skip
    db.executemany("INSERT OR IGNORE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)", objects)
    db.executemany(
        "INSERT OR IGNORE INTO entries (kind, name, host, address, size, disk, accessed, stored, by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        entries,
    )
    db.commit()
    size = os.stat(f"{bench.path}/catalog.sqlite").st_size
    rows = db.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
    db.close()
    print(f"\n{rows:,} rows, {size >> 20} MiB")
    cases = [
        Case(
            f"ls --limit 20 --sort {order}",
            lambda order=order: bench.admin("ls", "--limit", "20", "--sort", order),
        )
        for order in ("atime", "size", "name", "hits")
    ]
    cases.append(
        Case(
            "ls --kind url --limit 20", lambda: bench.admin("ls", "--kind", "url", "--limit", "20")
        )
    )
    cases.append(Case("du", lambda: bench.admin("du")))
    figures = compare("A million rows", cases, cases[0].name, rounds=rounds)
    peak = int(
        subprocess.run(
            [sys.executable, "-S", "-c", PEAK, PROGRAM, bench.path],
            env=ENVIRONMENT, check=True, stdout=subprocess.PIPE,
        ).stdout
    )  # fmt: skip
    print(f"\npeak memory of ls --limit 20: {peak / 1024:.0f} MiB")
    figures["peak_kib"] = peak
    Path(bench.path, "catalog.sqlite").unlink()
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    # Filling the root takes minutes: it stays for the next run.
    parser.add_argument("--dir", default=f"{tempfile.gettempdir()}/fscache-bench-admin")
    parser.add_argument("--objects", type=int, default=100_000)
    options, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    made = Bench(options.dir, options.objects)
    made.make()
    runs = (append, listing, usage, purge_plan, first_ls, reindex, million)
    main({run.__name__: lambda rounds, run=run: run(made, rounds) for run in runs})
