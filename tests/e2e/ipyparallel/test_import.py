"""What ipyparallel's own SQLite backend has written, brought over."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("ipyparallel", reason="ipyparallel is not installed")

from fscache.cache import Cache
from fscache.migrate import taskdb

if TYPE_CHECKING:
    from pathlib import Path

# In a process of its own: it registers converters for all of sqlite3, and leaves a loop behind.
WRITE = """
import asyncio, pickle, sys
from datetime import timedelta
from jupyter_client.session import Session
from ipyparallel import util
from ipyparallel.controller.hub import init_record
from ipyparallel.controller.sqlitedb import SQLiteDB

async def main(directory):
    util._disable_session_extract_dates()
    session = Session()
    written = []
    for start in range(3):  # each takes the table of the one before for none of its own
        db = SQLiteDB(location=directory)
        for number in range(40):
            message = session.msg("apply_request", content={"start": start})
            message["buffers"] = [memoryview(bytes([number]) * 5000), b"second"]
            record = init_record(message)
            msg_id = record["msg_id"]
            db.add_record(msg_id, record)
            done = record["submitted"] + timedelta(seconds=number)
            if number % 2:
                db.update_record(msg_id, {
                    "started": record["submitted"], "completed": done, "engine_uuid": "e1",
                    "result_header": {"date": done, "msg_type": "apply_reply"},
                    "result_metadata": {"started": done}, "result_content": {"status": "ok"},
                    "result_buffers": [b"r" * number], "stdout": "x" * number, "label": "l",
                    "execute_result": {"data": {"text/plain": "1"}},
                })
            written.append(db.get_record(msg_id))
        db.close()
    sys.stdout.buffer.write(pickle.dumps(written))

asyncio.run(main(sys.argv[1]))
"""


def told(record: dict[str, Any]) -> dict[str, Any]:
    """What a record says, without what their backend gets wrong."""
    said = {key: value for key, value in record.items() if value}
    for key in ("buffers", "result_buffers"):
        if key in said:
            said[key] = list(said[key])
    if isinstance(said.get("execute_result"), str):
        said["execute_result"] = json.loads(said["execute_result"])
    started = said.get("result_metadata", {}).get("started")
    if isinstance(started, str):
        # What looks like a date is one there; as it came to the controller it is a text.
        said["result_metadata"] = {"started": datetime.fromisoformat(started)}
    return said


def test_every_record_is_what_their_backend_reads(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, check=True, timeout=60
    )
    theirs = pickle.loads(done.stdout)
    path = str(tmp_path / "tasks.db")
    assert taskdb.count(path) == taskdb.Imported(tables=3, records=120)
    with Cache(tmp_path / "cache") as cache:
        taskdb.import_file(path, cache.tasks, lambda *why: pytest.fail(str(why)))
        ours = [told(record) for record in cache.tasks.find_records({})]
    assert isinstance(ours[0]["header"]["date"], datetime)
    assert ours == [told(record) for record in theirs]
