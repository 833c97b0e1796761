"""Every run of the grid is a task record, as those of a task farm are.

What cannot be recorded does not stop the run: it is logged once, and the run goes on.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fscache.grid.mapreduce import Progress

    class TaskDatabase(Protocol):
        """What of a task database is used."""

        def add_record(self, msg_id: str, rec: dict[str, Any]) -> None:
            """Add a record."""

        def update_record(self, msg_id: str, rec: dict[str, Any]) -> None:
            """Change a record."""


class TaskLog:
    """Records runs in a task database, if there is one."""

    def __init__(self, database: TaskDatabase | None) -> None:
        self._database = database

    def begin(self, run: str, title: str, pieces: int) -> None:
        """A run begins."""
        now = datetime.now(UTC)
        self._record(
            "add_record",
            run,
            {
                "header": {"msg_id": run, "msg_type": "grid_run", "date": now},
                "content": {"title": title, "pieces": pieces},
                "metadata": {},
                "submitted": now,
                "started": now,
                "client_uuid": run.rpartition("/")[0],
                "queue": "grid",
                "label": title,
            },
        )

    def end(self, run: str, error: BaseException | None, progress: Progress) -> None:
        """A run has ended."""
        content: dict[str, Any] = {
            "status": "ok",
            "done": progress.done,
            "seconds": progress.seconds,
        }
        if error is not None:
            content |= {
                "status": "error",
                "ename": type(error).__name__,
                "evalue": str(error)[:2000],
            }
        self._record(
            "update_record",
            run,
            {
                "completed": datetime.now(UTC),
                "result_header": {"status": content["status"]},
                "result_content": content,
                "error": None if error is None else content,
            },
        )

    def _record(self, what: str, run: str, record: dict[str, Any]) -> None:
        if self._database is None:
            return
        try:
            getattr(self._database, what)(run, record)
        except Exception:  # its errors are many, and none of them is worth a run
            logging.getLogger("fscache").exception("run %s is not recorded", run)
