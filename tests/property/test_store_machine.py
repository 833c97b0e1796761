"""Objects and entries against a dict, with damage: right bytes or a miss, never wrong bytes.

Names and bytes are made to collide, so that slots and tombstones take part.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fscache.fs.atomic import Modes, Writer
from fscache.objects.store import ObjectStore
from fscache.records.entries import EntryStore
from fscache.records.entryfile import name_hash
from tests.support import damage
from tests.support.listing import files

names = st.sampled_from([b"a", b"b", b"c", b"aa", b"ab", b"ba", b"", b"\xff\n"])
payloads = st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * 4096, b"y" * 10_000]))


class FewDigests:
    """A digest with two values."""

    def __init__(self) -> None:
        self._length = 0

    def update(self, data: bytes | memoryview) -> None:
        self._length += len(data)

    def hexdigest(self) -> str:
        return f"{self._length % 2}" * 32


def few_hashes(name: bytes) -> str:
    return f"{len(name) % 2}" * 20


class StoreMachine(RuleBasedStateMachine):
    """`EntryStore` and `ObjectStore` in one directory."""

    hash_name = staticmethod(few_hashes)

    def __init__(self) -> None:
        super().__init__()
        self.top = tempfile.mkdtemp(prefix="fscache-test-")
        self.now = 1_700_000_000.0
        self.entries_model: dict[bytes, bytes] = {}
        self.may_be_missing: set[bytes] = set()
        self.reopen()

    def teardown(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)

    # -- what users do ------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        writer = Writer(f"{self.top}/partial", Modes())
        self.objects = ObjectStore(
            f"{self.top}/objects",
            writer,
            now=lambda: self.now,
            guard=contextlib.nullcontext,
            new_hasher=FewDigests,
        )
        self.entries = EntryStore(
            f"{self.top}/entries",
            b"key",
            writer,
            quarantine=f"{self.top}/quarantine",
            hash_name=self.hash_name,
        )

    @rule(name=names, payload=payloads)
    def write(self, name: bytes, payload: bytes) -> None:
        self.entries.write(name, payload)
        self.entries_model[name] = payload
        self.may_be_missing.discard(name)
        assert self.entries.read(name) == payload

    @rule(name=names)
    def delete(self, name: bytes) -> None:
        deleted = self.entries.delete(name)
        assert deleted <= (name in self.entries_model)
        assert deleted or name not in self.entries_model or name in self.may_be_missing
        self.entries_model.pop(name, None)
        self.may_be_missing.discard(name)
        assert self.entries.read(name) is None

    @rule(data=payloads)
    def put(self, data: bytes) -> None:
        stored = self.objects.put_bytes(data)
        with open(stored.path, "rb") as file:
            assert file.read() == data
        assert stored.path in self.objects.slots(stored.address[:20])

    @rule(seconds=st.floats(0, 1e8))
    def age(self, seconds: float) -> None:
        self.now += seconds

    # -- what happens to them -----------------------------------------------------------------

    def everything(self, below: str) -> list[str]:
        return [f"{self.top}/{below}/{name}" for name in files(f"{self.top}/{below}")]

    def lose_entries(self) -> None:
        self.may_be_missing = set(self.entries_model)

    @precondition(lambda self: self.everything("entries"))
    @rule(data=st.data())
    def damage_an_entry(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.everything("entries")))
        size = os.path.getsize(path)
        if size and data.draw(st.booleans()):
            damage.flip(path, data.draw(st.integers(0, size - 1)))
        else:
            os.truncate(path, data.draw(st.integers(0, max(size - 1, 0))))
        self.lose_entries()

    @precondition(lambda self: self.everything("objects"))
    @rule(data=st.data())
    def damage_an_object(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.everything("objects")))
        size = os.path.getsize(path)
        if size and data.draw(st.booleans()):
            damage.flip(path, data.draw(st.integers(0, size - 1)), keep_times=True)
        else:
            os.truncate(path, data.draw(st.integers(0, size + 1)))

    @precondition(lambda self: len(self.everything("entries")) > 1)
    @rule(data=st.data())
    def misname_an_entry(self, data: st.DataObject) -> None:
        """Put a good file under another's name."""
        one, other = data.draw(
            st.lists(
                st.sampled_from(self.everything("entries")), min_size=2, max_size=2, unique=True
            )
        )
        if os.path.dirname(one) == os.path.dirname(other):
            return  # the same hash: it would be a slot moved, not a name mistaken
        shutil.copyfile(one, f"{self.top}/copy")
        os.rename(f"{self.top}/copy", other)
        self.lose_entries()

    @rule(name=st.sampled_from(["entries", "objects", "partial", "quarantine", "entries/00"]))
    def delete_a_directory(self, name: str) -> None:
        shutil.rmtree(f"{self.top}/{name}", ignore_errors=True)
        if name.startswith("entries"):
            self.lose_entries()

    @rule()
    def copy_elsewhere(self) -> None:
        elsewhere = tempfile.mkdtemp(prefix="fscache-test-")
        shutil.copytree(self.top, elsewhere, dirs_exist_ok=True)
        shutil.rmtree(self.top)
        self.top = elsewhere
        self.reopen()

    # -- what must hold -----------------------------------------------------------------------

    @invariant()
    def every_name_has_its_bytes_or_is_a_miss(self) -> None:
        for name in [b"a", b"b", b"c", b"aa", b"ab", b"ba", b"", b"\xff\n"]:
            found = self.entries.read(name)
            if found is None:
                assert name not in self.entries_model or name in self.may_be_missing, name
            else:
                assert found == self.entries_model.get(name), name

    @invariant()
    def a_listing_has_no_more_than_there_is(self) -> None:
        listed = [(name, payload) for name, payload, _ in self.entries.scan()]
        assert {name for name, _ in listed} <= set(self.entries_model)

    @invariant()
    def no_temporary_file_is_left(self) -> None:
        assert files(f"{self.top}/partial") == []


class UncollidingMachine(StoreMachine):
    """The same with the real hash, so that damage to one entry can be told from the others'."""

    hash_name = staticmethod(name_hash)

    def lose_entries(self) -> None:
        whole = {
            name
            for name in self.entries_model
            if os.path.exists(self.entries.path(name)) and self.good(name)
        }
        self.may_be_missing = set(self.entries_model) - whole

    def good(self, name: bytes) -> bool:
        from fscache.records.entryfile import decode

        with open(self.entries.path(name), "rb") as file:
            try:
                return decode(file.read())[1] == name
            except ValueError:
                return False


TestStore = StoreMachine.TestCase
TestStoreWithoutCollisions = UncollidingMachine.TestCase
