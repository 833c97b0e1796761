"""Task records on a server: the same methods as on a root.

Functions still run in this process; their records are kept by the server, and so is who waits for them.
A record travels in one call, its buffers beside the document as they are: 64 MiB together.

What another client has pickled is loaded only where the caller says `trust`: the server cannot tell
which user of one token it was.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fscache.errors import NoSuchTaskError
from fscache.tasks.face import Tasks
from fscache.tasks.model import ALIASES, BUFFERS, DATES, to_datetime, to_instant
from fscache.tasks.operators import LISTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.remote.rpc import RPC
    from fscache.tasks.executor import Resolve
    from fscache.tasks.face import Keys, Query
    from fscache.tasks.model import Record

_PARK = 25.0
_FLAGS = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


class RemoteTasks(Tasks):
    """The task records of one server."""

    def __init__(self, rpc: RPC, *, now: Callable[[], float], resolve: Resolve) -> None:
        """Use a server's records; arguments as for `Tasks`."""
        super().__init__(now=now, resolve=resolve)
        self._rpc = rpc

    def add_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Add a record; see `Tasks.add_record`."""
        # Not repeated: the second would find the first.
        self._rpc("task.add", msg_id, _sent(rec), repeatable=False)

    def get_record(self, msg_id: str) -> Record:
        """Return a record, whole; see `Tasks.get_record`. Its buffers come with it."""
        found: Record = self._rpc("task.get", msg_id)
        return found

    def update_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Change some keys of a record; see `Tasks.update_record`."""
        self._rpc("task.update", msg_id, _sent(rec))

    def drop_record(self, msg_id: str) -> None:
        """Drop a record; see `Tasks.drop_record`."""
        self._rpc("task.drop", msg_id, repeatable=False)

    def drop_matching_records(self, check: Query) -> int:
        """Drop the records that match; see `Tasks.drop_matching_records`."""
        dropped: int = self._rpc("task.drop_matching", _asked(check), repeatable=False)
        return dropped

    def find_records(self, check: Query, keys: Keys = None) -> list[Record]:
        """Return the records that match; see `Tasks.find_records`."""
        found: list[Record] = self._rpc("task.find", _asked(check), _listed(keys))
        return found

    def get_history(self) -> list[str]:
        """Return the ids of all submitted tasks; see `Tasks.get_history`."""
        found: list[str] = self._rpc("task.history")
        return found

    def db_query(self, query: Query, keys: Keys = None) -> list[Record]:
        """Return the records that match, by default without buffers; see `Tasks.db_query`."""
        found: list[Record] = self._rpc("task.query", _asked(query), _listed(keys))
        return found

    def count(self, query: Query) -> int:
        """Return how many records match; see `Tasks.count`."""
        found: int = self._rpc("task.count", _asked(query))
        return found

    def wait(self, msg_ids: str | Iterable[str], timeout: float | None = None) -> bool:
        """Wait until tasks have completed; see `Tasks.wait`. Parks at the server."""
        ids = [msg_ids] if isinstance(msg_ids, str) else list(msg_ids)
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _PARK if until is None else max(0.0, min(_PARK, until - time.monotonic()))
            done: bool = self._rpc("task.wait", ids, left, parked=left)
            if done or (until is not None and time.monotonic() >= until):
                return done

    def purge(
        self,
        query: Query | None = None,
        *,
        records: int | None = None,
        size: int | None = None,
        age: float | None = None,
    ) -> int:
        """Drop completed tasks; see `Tasks.purge`."""
        limits = {"records": records, "size": size, "age": age}
        given = None if query is None else _asked(query)
        dropped: int = self._rpc("task.purge", given, limits, repeatable=False)
        return dropped

    def is_own(self, msg_id: str) -> bool:
        """Return False, or raise NoSuchTaskError: whoever has a token may have written it."""
        if not self.count({"msg_id": msg_id}):
            raise NoSuchTaskError(msg_id)
        return False


def _asked(query: Any) -> Any:
    """Return a query as it travels; a time's text without a zone means this machine's time, too."""
    if not isinstance(query, Mapping):
        return _sent(query)
    found = {}
    for key, item in query.items():
        if key in ("$and", "$or", "$nor") and isinstance(item, list | tuple):
            found[key] = [_asked(each) for each in item]
        else:
            is_date = ALIASES.get(key, key) in DATES
            found[key] = _sent_item(key, _with_zones(item) if is_date else item)
    return found


def _with_zones(operand: Any) -> Any:
    if isinstance(operand, str):
        try:
            return datetime.fromisoformat(operand)
        except ValueError:
            return operand  # the answer will say so
    if isinstance(operand, Mapping):
        return {key: _with_zones(each) for key, each in operand.items()}
    return [_with_zones(each) for each in operand] if isinstance(operand, Iterable) else operand


def _sent(value: Any) -> Any:
    """Return a record or query as it travels: plain containers, bytes, datetimes with a zone.

    A datetime without one means this machine's time, not the server's.
    """
    if isinstance(value, datetime):
        try:
            return to_datetime(to_instant(value))
        except ValueError:
            return repr(value)  # all that is kept of it; where a date belongs, it is refused there
    if isinstance(value, re.Pattern):
        return _text_of(value)
    if isinstance(value, Mapping):
        return {key: _sent_item(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_sent(each) for each in value]
    return value


def _sent_item(key: object, item: Any) -> Any:
    if key in BUFFERS and isinstance(item, Sequence) and _is_binary(item):
        return [bytes(each) for each in item]
    if key in LISTED and isinstance(item, Iterable) and not isinstance(item, str | bytes | Mapping):
        return [_sent(each) for each in item]  # IPython's documentation gives a `map`
    return _sent(item)


def _text_of(pattern: re.Pattern[Any]) -> str | bytes:
    """Return a compiled pattern as one in text, which names its flags itself."""
    text: str | bytes = pattern.pattern
    if isinstance(text, bytes):
        return text  # no text matches it, and the answer will say so
    flags = "".join(letter for letter, flag in _FLAGS.items() if pattern.flags & flag)
    return f"(?{flags}){text}" if flags else text


def _is_binary(items: Sequence[Any]) -> bool:
    return all(isinstance(each, bytes | bytearray | memoryview) for each in items)


def _listed(keys: Keys) -> list[str] | str | None:
    return keys if keys is None or isinstance(keys, str) else list(keys)
