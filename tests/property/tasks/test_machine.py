"""Task databases of one root against a dict: whatever is done, by whichever of two openings of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fscache.errors import NoSuchTaskError, TaskExistsError
from fscache.records.root import Root
from fscache.tasks import backends
from fscache.tasks.model import EMPTY, FIELDS
from tests.conftest import Clock
from tests.support.catalogs import keeper_of
from tests.support.tasks import hasten_upkeep, matches

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

START = datetime(2025, 6, 1, 12, tzinfo=UTC)
EVERY = dict.fromkeys((*FIELDS, "own"))
IDS = st.sampled_from([*(f"id-{number}" for number in range(6)), "../..", "a/b", "ü \n"])
MOMENTS = st.none() | st.integers(0, 5).map(lambda minutes: START + timedelta(minutes=minutes))
BUFFERS = st.lists(
    st.binary(max_size=10) | st.integers(0, 3).map(lambda number: b"%d" % number * 20_000),
    max_size=3,
)
LENGTHS = st.sampled_from([0, 1, 20, 4000, 20_000])
TEXT = LENGTHS.map(lambda length: "line\n" * length)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "submitted": MOMENTS,
        "completed": MOMENTS,
        "engine_uuid": st.sampled_from([None, "a", "b"]) | TEXT,
        "header": st.sampled_from([None, {"date": START}, {"n": [1, {"a": None}]}]),
        "content": TEXT.map(lambda text: {"text": text}),
        "buffers": st.none() | BUFFERS,
        "result_buffers": st.none() | BUFFERS,
        "stdout": TEXT,
        "own": st.integers(0, 2),
    },
)
QUERIES = st.sampled_from(
    [
        {},
        {"completed": None},
        {"engine_uuid": "a"},
        {"submitted": {"$gte": START}},
        {"header.n.0": 1},
    ]
)


class TasksMachine(RuleBasedStateMachine):
    """Adds, updates, drops, culls; two databases at once, closed and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.clock = Clock()
        self.patch = pytest.MonkeyPatch()
        hasten_upkeep(self.patch)
        self.root = Root(f"{self.directory}/root", now=self.clock)
        self.root.ensure()
        self.model: dict[str, dict[str, Any]] = {}
        self.open = [backends.in_files(self.root) for _ in range(2)]

    @rule(which=st.integers(0, 1), msg_id=IDS, record=CHANGES)
    def add(self, which: int, msg_id: str, record: dict[str, Any]) -> None:
        if msg_id in self.model:
            with pytest.raises(TaskExistsError):
                self.open[which].add_record(msg_id, record)
        else:
            self.open[which].add_record(msg_id, record)
            self.model[msg_id] = {**EMPTY, **record, "msg_id": msg_id}

    @rule(which=st.integers(0, 1), msg_id=IDS, record=CHANGES)
    def update(self, which: int, msg_id: str, record: dict[str, Any]) -> None:
        if msg_id in self.model:
            self.open[which].update_record(msg_id, record)
            self.model[msg_id] |= record
        else:
            with pytest.raises(NoSuchTaskError):
                self.open[which].update_record(msg_id, record)

    @rule(which=st.integers(0, 1), msg_id=IDS, text=TEXT, times=st.integers(1, 40))
    def append(self, which: int, msg_id: str, text: str, times: int) -> None:
        """As a controller does with what a task prints."""
        if msg_id in self.model:
            for _ in range(times):
                before: Any = self.open[which].get_record(msg_id)["stdout"]
                self.open[which].update_record(msg_id, {"stdout": (before or "") + text})
                self.model[msg_id]["stdout"] = (self.model[msg_id]["stdout"] or "") + text

    @rule(source=IDS, copy=IDS, which=st.integers(0, 1))
    def copy_buffers(self, source: str, copy: str, which: int) -> None:
        """As a resubmission does."""
        if source in self.model and copy in self.model:
            buffers = self.open[which].get_record(source)["buffers"]
            self.open[which].update_record(copy, {"result_buffers": buffers})
            self.model[copy]["result_buffers"] = self.model[source]["buffers"]

    @rule(which=st.integers(0, 1), msg_id=IDS)
    def drop(self, which: int, msg_id: str) -> None:
        if msg_id in self.model:
            self.open[which].drop_record(msg_id)
            del self.model[msg_id]
        else:
            with pytest.raises(NoSuchTaskError):
                self.open[which].drop_record(msg_id)

    @rule(which=st.integers(0, 1), query=QUERIES)
    def drop_matching(self, which: int, query: dict[str, Any]) -> None:
        gone = [msg_id for msg_id, record in self.model.items() if matches(record, query)]
        assert self.open[which].drop_matching_records(query) == len(gone)
        for msg_id in gone:
            del self.model[msg_id]

    @rule(which=st.integers(0, 1))
    def purge(self, which: int) -> None:
        self.open[which].purge()
        self.model = {k: record for k, record in self.model.items() if record["completed"] is None}

    @rule(which=st.integers(0, 1))
    def compact(self, which: int) -> None:
        self.open[which].compact()

    @rule(which=st.integers(0, 1), orderly=st.booleans())
    def reopen(self, which: int, orderly: bool) -> None:
        if orderly:
            self.open[which].close()
        self.open[which] = backends.in_files(self.root)

    @rule(seconds=st.sampled_from([0.0, 1.0, 100.0, 10_000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def forget_snapshots(self) -> None:
        directory = f"{self.root.path}/tasks"
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(directory):
                if name.endswith(".index"):
                    os.unlink(f"{directory}/{name}")

    @rule(which=st.integers(0, 1), query=QUERIES)
    def find(self, which: int, query: dict[str, Any]) -> None:
        expected = [msg_id for msg_id, record in self.model.items() if matches(record, query)]
        found = self.open[which].find_records(query, ["msg_id"])
        assert [each["msg_id"] for each in found] == expected

    @invariant()
    def everybody_sees_everything(self) -> None:
        for database in self.open:
            found = {each["msg_id"]: each for each in database.find_records({})}
            expected: dict[Any, Any] = {}
            for msg_id, record in self.model.items():
                expected[msg_id] = {
                    key: value for key, value in record.items() if value is not None
                }
            plain = {
                msg_id: {key: value for key, value in record.items() if value is not None}
                for msg_id, record in found.items()
            }
            assert plain == expected

    def teardown(self) -> None:
        self.patch.undo()
        for database in self.open:
            database.close()
        catalog = keeper_of(self.root).open()
        try:
            rows = catalog.db.execute("SELECT name, address FROM entries WHERE kind = 'task'")
            named = {address for _, address in rows}
        finally:
            catalog.close()
        for record in self.model.values():
            for data in [*(record["buffers"] or ()), *(record["result_buffers"] or ())]:
                assert len(data) <= 4096 or _address(data) in named, "a purge might take it"
        shutil.rmtree(self.directory)


def _address(data: bytes) -> str:
    from fscache.objects.digest import digest_of

    return digest_of(data)[:20]


TestTasks = TasksMachine.TestCase
