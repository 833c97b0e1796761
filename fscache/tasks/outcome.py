"""What came of a task, as its record has it: pickles, and what they are worth.

A pickle runs code when it is loaded: only those are loaded that this user (or root) has written, unless
the caller says that the others are to be trusted.
"""

from __future__ import annotations

import pickle
import sys
import traceback

from fscache.errors import ResultUnavailableError, TaskFailedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fscache.tasks.face import Tasks
    from fscache.tasks.model import Record


def pickled(value: object) -> bytes | None:
    """Return a value's pickle, None where it has none."""
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - whatever a foreign __reduce__ raises: it cannot be pickled
        return None


def unpickle(database: Tasks, record: Record, key: str, *, trust: bool) -> Any:
    """Return what the first of a record's buffers is the pickle of.

    Args:
        database: The record's.
        record: The record.
        key: `buffers` or `result_buffers`.
        trust: Load it, whoever has written it.

    Raises:
        ResultUnavailableError: it may not be loaded, or cannot.
    """
    msg_id = str(record["msg_id"])
    if not trust and not database.is_own(msg_id):
        why = "its pickle was written by another user; pass trust=True to load it all the same"
        raise ResultUnavailableError(msg_id, why)
    buffers: Any = record[key]
    try:
        return pickle.loads(buffers[0])  # noqa: S301 - of this user's, or trusted; see above
    except Exception as exc:
        why = f"its pickle cannot be loaded: {exc}"
        if isinstance(exc, AttributeError) and repr(sys.modules["__main__"]) in why:
            why += "; what a program defines itself no other finds: put it into a module"
        raise ResultUnavailableError(msg_id, why) from exc


def failure(error: BaseException) -> Record:
    """Return what is recorded of an exception."""
    return {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": traceback.format_exception(error),
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def outcome_of(database: Tasks, record: Record, *, trust: bool) -> Any:
    """Return the result in a completed task's record, or raise what the task raised.

    Raises:
        TaskFailedError: it failed, and its exception cannot be had.
        ResultUnavailableError: its result cannot be had, or may not be loaded.
    """
    outcome, kept = _mapping(record["result_content"]), _mapping(record["result_metadata"])
    failed = outcome.get("status") in ("error", "aborted")
    unavailable: ResultUnavailableError | None = None
    if kept.get("format") == "pickle":
        try:
            found = unpickle(database, record, "result_buffers", trust=trust)
        except ResultUnavailableError as exc:
            if not failed:
                raise
            unavailable = exc  # what is recorded of the failure is there all the same
        else:
            if failed:
                raise found
            return found
    msg_id = str(record["msg_id"])
    if failed:
        trace = outcome.get("traceback") or ""
        if isinstance(trace, list):  # with ends of lines, or without, as IPython's
            trace = "\n".join(str(line).removesuffix("\n") for line in trace)
        ename, evalue = str(outcome.get("ename")), str(outcome.get("evalue"))
        raise TaskFailedError(msg_id, ename, evalue, str(trace)) from unavailable
    raise ResultUnavailableError(msg_id, "its result is not one that fscache has kept")
