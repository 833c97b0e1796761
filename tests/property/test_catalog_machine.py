"""The catalog against the disk and a dict: whatever is put, asked for, forgotten, purged, lost or broken.

Two processes' worth of roots write to one journal. After any steps the catalog, brought up to date, lists
what is there; hits and last accesses are those that were made.
"""

from __future__ import annotations

import os
import shutil
import tempfile

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fscache.admin.purge import Purge
from fscache.kv.local import LocalStore
from fscache.objects.digest import digest_of
from fscache.objects.purge import Policy
from fscache.records.access import Accesses
from fscache.records.root import Root
from fscache.records.segments import parse_segment
from fscache.urls.index import URLIndex
from tests.support.catalogs import (
    entries_of,
    keep,
    keeper_of,
    objects_of,
    objects_on_disk,
)

BODIES = st.sampled_from([b"%d" % number * (number + 1) for number in range(5)])
URLS = st.sampled_from([f"https://host{n % 2}/{n}" for n in range(4)])
KEYS = st.sampled_from(["a", "b", "line\nbreak"])
WHO = st.sampled_from([0, 1])
LARGE = 70_000


class CatalogMachine(RuleBasedStateMachine):
    @initialize()
    def make(self) -> None:
        self.top = tempfile.mkdtemp(prefix="fscache-test-")
        self.now = 1_700_000_000.0
        path = f"{self.top}/cache"
        self.roots = [Root(path, now=lambda: self.now) for _ in range(2)]
        for root in self.roots:
            root.ensure()
        self.urls: dict[str, str] = {}  # → address
        self.keys: dict[str, str] = {}  # → address, empty for a small value
        self.accessed: dict[str, float] = {}  # of each object
        self.hits: dict[str, int | None] = {}  # None: not to be known any more
        self.unlisted: set[str] = set()  # what came by other means

    def teardown(self) -> None:
        if hasattr(self, "top"):
            shutil.rmtree(self.top)

    # -- what users do ------------------------------------------------------------------------

    def _kept(self, address: str) -> None:
        self.accessed[address] = self.now
        self.hits.setdefault(address, 0)
        self.unlisted.discard(address)

    @rule(who=WHO, body=BODIES, url=URLS)
    def stage(self, who: int, body: bytes, url: str) -> None:
        stored = keep(self.roots[who], body, url)
        self._freshen(stored.path)
        self.urls[url] = stored.address
        self._kept(stored.address)

    @rule(who=WHO, body=BODIES)
    def put(self, who: int, body: bytes) -> None:
        stored = keep(self.roots[who], body)
        self._freshen(stored.path)
        self._kept(stored.address)

    @rule(who=WHO, key=KEYS, large=st.booleans())
    def put_key(self, who: int, key: str, large: bool) -> None:
        before = objects_on_disk(self.roots[0]).keys()
        store = LocalStore(self.roots[who])
        store.put(key, bytes(LARGE) if large else "small")
        address = ""
        if large:
            (address,) = [a for a, size in objects_on_disk(self.roots[0]).items() if size == LARGE]
            self._freshen(self.roots[0].objects().locate(address))
            if address not in before:
                self.hits.pop(address, None)
            self._kept(address)
        self.keys[key] = address

    @rule(who=WHO, key=KEYS)
    def delete_key(self, who: int, key: str) -> None:
        assert LocalStore(self.roots[who]).delete(key) == (key in self.keys)
        self.keys.pop(key, None)

    @rule(who=WHO, url=URLS)
    def forget(self, who: int, url: str) -> None:
        assert URLIndex(self.roots[who]).forget(url) == (url in self.urls)
        self.urls.pop(url, None)

    @rule(who=WHO, data=st.data())
    def touch(self, who: int, data: st.DataObject) -> None:
        known = sorted(self.accessed.keys() - self.unlisted)
        if not known:
            return
        address = data.draw(st.sampled_from(known))
        self.now += 2 * 3600
        path = self.roots[who].objects().locate(address)
        Accesses(self.roots[who]).touch("object", address, address, path, os.stat(path))
        self.accessed[address] = self.now
        if self.hits[address] is not None:
            self.hits[address] += 1

    def _freshen(self, path: str) -> None:
        """Give an object the time of this clock: the kernel's is another one."""
        status = os.stat(path)
        os.utime(path, ns=(int(self.now * 1e9), status.st_mtime_ns))

    # -- what happens to it -------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 4000.0, 100_000.0]))
    def age(self, seconds: float) -> None:
        self.now += seconds

    @rule(days=st.sampled_from([0.0, 0.5, 1.0]))
    def purge(self, days: float) -> None:
        before = objects_on_disk(self.roots[0]).keys()
        Purge(keeper_of(self.roots[0]), Policy(older_than=days * 86400), timeout=20).run()
        gone = before - objects_on_disk(self.roots[0]).keys()
        kept = set(self.keys.values())
        for address in gone:
            assert address not in kept
            # Never what was asked for within the grace time.
            assert self.now - self.accessed.pop(address) >= max(days * 86400, 3600)
            self.hits.pop(address)
        self.urls = {url: each for url, each in self.urls.items() if each not in gone}

    @rule(body=BODIES)
    def arrive_by_other_means(self, body: bytes) -> None:
        data = b"rsynced " + body
        address = digest_of(data)[:20]
        if address not in self.accessed:
            self._freshen(self.roots[0].objects().put_bytes(data).path)
            self.accessed[address] = self.now
            self.hits[address] = 0
            self.unlisted.add(address)

    @rule()
    def reindex(self) -> None:
        found = keeper_of(self.roots[0]).reindex()
        assert found.objects == len(self.accessed)
        self.unlisted.clear()

    @rule(what=st.sampled_from(["catalog", "journal", "both", "garbage"]))
    def lose(self, what: str) -> None:
        path = self.roots[0].path
        catalog = f"{path}/catalog.sqlite"
        if what in ("catalog", "both") and os.path.exists(catalog):
            os.unlink(catalog)
        if what in ("journal", "both"):
            for name in os.listdir(f"{path}/journal"):
                if not os.path.isdir(f"{path}/journal/{name}"):
                    os.unlink(f"{path}/journal/{name}")
            self.now += 11  # whoever writes notices within ten seconds
            self.unlisted.clear()
        if what == "garbage":
            with open(catalog, "wb") as file:
                file.write(os.urandom(5000))
        # What the files do not tell is told by one of the two only as long as it is whole.
        self.hits = dict.fromkeys(self.hits)

    @precondition(lambda self: any(map(os.listdir, [f"{self.roots[0].path}/journal"])))
    @rule(data=st.data())
    def tear(self, data: st.DataObject) -> None:
        """A process was killed while it appended its last record."""
        path = f"{self.roots[0].path}/journal"
        chains = [name for name in sorted(os.listdir(path)) if parse_segment(name)[0]]
        if not chains:
            return
        with open(f"{path}/{chains[-1]}", "ab") as file:
            file.write(b"\n0123456789abcdef put url 17"[: data.draw(st.integers(1, 27))])

    # -- what must hold -----------------------------------------------------------------------

    @invariant()
    def the_catalog_lists_what_is_there(self) -> None:
        if not hasattr(self, "roots"):
            return
        root = self.roots[0]
        catalog = keeper_of(root).open()
        try:
            listed, entries = objects_of(catalog), entries_of(catalog)
            rows = catalog.db.execute("SELECT address, accessed, hits FROM objects").fetchall()
        finally:
            catalog.close()
        there = objects_on_disk(root)
        assert there.keys() == self.accessed.keys()
        assert {a: s for a, s in there.items() if a not in self.unlisted or a in listed} == listed
        assert entries == {
            **{("url", url): address for url, address in self.urls.items()},
            **{("kv", f"default/{key}"): each or None for key, each in self.keys.items()},
        }
        for address, accessed, hits in rows:
            assert abs(accessed - self.accessed[address]) < 0.01
            assert self.hits[address] in (hits, None)


TestCatalog = CatalogMachine.TestCase
