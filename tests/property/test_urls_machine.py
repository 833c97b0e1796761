"""URLs in a root against a dict, with damage: right bytes or a miss, never wrong bytes."""

from __future__ import annotations

import os
import shutil
import tempfile

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fscache.objects.digest import digest_of
from fscache.records.root import Root
from fscache.urls.destination import CacheDestination
from fscache.urls.index import URLIndex
from stager.destination import Validator
from tests.support import damage
from tests.support.listing import files
from tests.support.staging import staged

URLS = [f"https://host/{name}" for name in "abc"]
BODIES = [b"", b"one", b"two", b"a longer body, " * 20, b"A longer body, " * 20]
urls = st.sampled_from(URLS)
bodies = st.sampled_from(BODIES)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class URLMachine(RuleBasedStateMachine):
    """One root, its URL index and its destination."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="fscache-test-")
        self.path = f"{self.home}/0"
        self.now = 1_700_000_000.0
        self.model: dict[str, bytes] = {}
        self.may_be_missing: set[str] = set()
        self.rotten: set[str] = set()
        self.begun: dict[str, bytes] = {}
        self.reopen()

    def teardown(self) -> None:
        del self.root, self.index, self.destination
        shutil.rmtree(self.home, ignore_errors=True)

    # -- what users do ------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.root = Root(self.path, now=lambda: self.now)
        self.root.ensure()
        self.index = URLIndex(self.root)
        self.destination = CacheDestination(self.root, self.index, max_size=None)

    @rule(url=urls, body=bodies)
    def stage(self, url: str, body: bytes) -> None:
        claim = self.destination.claim(url)
        assert claim is not None
        assert claim.kept == 0 or self.begun[url].startswith(os.pread(claim.fd, 1000, 0))
        claim.restart()
        os.write(claim.fd, body)
        path = claim.commit(staged(url, body))
        assert read(path) == body
        self.has(url, body)

    @rule(url=urls, body=bodies, share=st.floats(0, 1), noted=st.booleans())
    def begin(self, url: str, body: bytes, share: float, noted: bool) -> None:
        """Fetch a part, and be killed."""
        claim = self.destination.claim(url)
        assert claim is not None
        claim.restart()
        if noted:
            claim.note(Validator(etag=digest_of(body)))
        os.write(claim.fd, body[: int(len(body) * share)])
        self.begun[url] = body
        claim.release(keep=True)

    @rule(url=urls)
    def resume(self, url: str) -> None:
        """Go on with what was begun, as the server does if the body is still the same."""
        claim = self.destination.claim(url)
        assert claim is not None
        if not claim.kept:
            claim.release(keep=False)
            return
        body = self.begun[url]
        assert claim.validator == Validator(etag=digest_of(body)), "a note of other bytes"
        assert os.pread(claim.fd, 1000, 0) == body[: claim.kept]
        os.write(claim.fd, body[claim.kept :])
        assert read(claim.commit(staged(url, body))) == body
        self.has(url, body)

    @rule(url=urls)
    def forget(self, url: str) -> None:
        self.index.forget(url)
        self.model.pop(url, None)
        assert self.index.find(url) is None

    @rule(url=urls)
    def verify(self, url: str) -> None:
        hit = self.index.find(url, verify=True)
        if hit is None:
            assert url not in self.model or url in self.may_be_missing | self.rotten
            self.may_be_missing |= self.sharing(url)
        else:
            assert read(hit.path) == self.model[url]
        self.rotten.discard(url)

    @rule(seconds=st.floats(0, 1e8))
    def age(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        self.destination.sweep()

    def has(self, url: str, body: bytes) -> None:
        self.model[url] = body
        self.may_be_missing.discard(url)
        self.rotten.discard(url)

    def sharing(self, url: str) -> set[str]:
        """All URLs that may share an object with this one."""
        body = self.model.get(url)
        return {other for other, data in self.model.items() if data == body}

    # -- what happens to them -----------------------------------------------------------------

    def everything(self, below: str) -> list[str]:
        return [f"{self.path}/{below}/{name}" for name in files(f"{self.path}/{below}")]

    def lose_all(self) -> None:
        self.may_be_missing = set(self.model)

    @precondition(lambda self: self.everything("objects"))
    @rule(data=st.data())
    def damage_an_object(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.everything("objects")))
        size = os.path.getsize(path)
        if size and data.draw(st.booleans()):
            os.utime(path, (0, 0))  # not the mtime it was verified with
            damage.flip(path, data.draw(st.integers(0, size - 1)))
        else:
            length = data.draw(st.integers(0, size + 3).filter(lambda length: length != size))
            os.truncate(path, length)
        self.lose_all()

    @precondition(lambda self: self.everything("objects"))
    @rule(data=st.data())
    def rot(self, data: st.DataObject) -> None:
        """Other bytes under the same size and time: only `verify` can see that."""
        path = data.draw(st.sampled_from(self.everything("objects")))
        if os.path.getsize(path):
            damage.flip(path, data.draw(st.integers(0, os.path.getsize(path) - 1)), keep_times=True)
            self.rotten |= set(self.model)
            self.lose_all()

    @precondition(lambda self: len(self.everything("objects")) > 1)
    @rule(data=st.data())
    def misplace_an_object(self, data: st.DataObject) -> None:
        one, other = data.draw(
            st.lists(
                st.sampled_from(self.everything("objects")), min_size=2, max_size=2, unique=True
            )
        )
        os.rename(one, other)
        self.lose_all()

    @precondition(lambda self: self.everything("urls"))
    @rule(data=st.data())
    def damage_an_entry(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.everything("urls")))
        size = os.path.getsize(path)
        if size and data.draw(st.booleans()):
            damage.flip(path, data.draw(st.integers(0, size - 1)))
        else:
            os.truncate(path, data.draw(st.integers(0, max(size - 1, 0))))
        self.lose_all()

    @precondition(lambda self: len(self.everything("urls")) > 1)
    @rule(data=st.data())
    def misname_an_entry(self, data: st.DataObject) -> None:
        one, other = data.draw(
            st.lists(st.sampled_from(self.everything("urls")), min_size=2, max_size=2, unique=True)
        )
        os.rename(one, other)
        self.lose_all()

    @precondition(lambda self: any(p.endswith(".note") for p in self.everything("partial")))
    @rule(data=st.data())
    def damage_a_note(self, data: st.DataObject) -> None:
        notes = [path for path in self.everything("partial") if path.endswith(".note")]
        path = data.draw(st.sampled_from(notes))
        if data.draw(st.booleans()):
            os.unlink(path)
        elif os.path.getsize(path):
            damage.flip(path, data.draw(st.integers(0, os.path.getsize(path) - 1)))

    @rule(name=st.sampled_from(["objects", "urls", "partial", "quarantine", "locks", "journal"]))
    def delete_a_directory(self, name: str) -> None:
        shutil.rmtree(f"{self.path}/{name}", ignore_errors=True)
        self.lose_all()
        self.reopen()  # a process that has the locks open would not see that they are gone

    @rule(times=st.booleans())
    def copy_elsewhere(self, times: bool) -> None:
        elsewhere = f"{self.home}/{int(os.path.basename(self.path)) + 1}"
        shutil.copytree(self.path, elsewhere, copy_function=shutil.copy2 if times else shutil.copy)
        shutil.rmtree(self.path)
        self.path = elsewhere
        self.reopen()
        # Another inode: every object is hashed again at its next hit.
        self.rotten.clear()

    # -- what must hold -----------------------------------------------------------------------

    @invariant()
    def every_url_has_its_bytes_or_is_a_miss(self) -> None:
        for url in URLS:
            if url in self.rotten:
                continue
            hit = self.index.find(url)
            if hit is None:
                assert url not in self.model or url in self.may_be_missing, url
            else:
                assert read(hit.path) == self.model.get(url), url

    @invariant()
    def a_tier_agrees_and_changes_nothing(self) -> None:
        tier = URLIndex(Root(self.path, now=lambda: self.now), read_only=True)
        before = files(self.path)
        for url in URLS:
            hit = tier.find(url, verify=True)
            assert hit is None or read(hit.path) == self.model.get(url), url
        assert files(self.path) == before


TestURLs = URLMachine.TestCase
