"""The task record: its keys, and how their values are told apart. Pure.

Keys are those of IPython's table and ipyparallel's later ones; a record may have further keys of its
own. Times are instants: whatever time zone a datetime came with, it is kept as microseconds since
the epoch and comes back in UTC. A datetime without a zone is taken as local time, with a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fscache.errors import InvalidRecordError, UnknownFieldError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    Record = dict[str, object]

FIELDS = (
    "msg_id",
    "header",
    "metadata",
    "content",
    "buffers",
    "submitted",
    "client_uuid",
    "engine_uuid",
    "started",
    "completed",
    "resubmitted",
    "received",
    "result_header",
    "result_metadata",
    "result_content",
    "result_buffers",
    "queue",
    "execute_input",
    "execute_result",
    "error",
    "stdout",
    "stderr",
    "label",
    "display_data",
)
BUFFERS = ("buffers", "result_buffers")
DATES = ("submitted", "started", "completed", "received")
TEXTS = ("client_uuid", "engine_uuid", "queue", "label")
INTS = (*DATES, *BUFFERS)
"""Columns of the index that hold numbers: instants, and the bytes of a record's buffers."""

ALIASES = {"complete": "completed"}
"""Names that IPython's documentation uses for others in its examples."""

NULL = -(2**63)
"""Stands for None in a column of numbers."""

_ALWAYS = tuple(field for field in FIELDS if field != "display_data")
EMPTY: Record = dict.fromkeys(_ALWAYS)
"""A full record has at least these keys: `display_data` has come late, and is there where it is."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY, SECOND = 24 * 60 * 60, 1_000_000
"""In seconds, in microseconds: adding the parts of a difference is faster than dividing it."""
FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
"""The instants that a datetime can be."""
MAX_ID_BYTES = 0xFFFF


class NaiveDatetimeWarning(UserWarning):
    """A datetime without a time zone was taken as local time."""


def to_instant(value: datetime) -> int:
    """Return microseconds since the epoch; warns of a datetime without a zone.

    Raises:
        ValueError: in UTC it lies before the year 1 or after 9999, so `to_datetime` has none for it.
    """
    given = value
    try:
        if value.tzinfo is None:
            warnings.warn(
                f"{value.isoformat()} has no time zone and is taken as local time",
                NaiveDatetimeWarning,
                stacklevel=_level_outside(),
            )
            value = value.astimezone()
        instant = (value - EPOCH) // MICROSECOND
        if FIRST <= instant <= LAST:
            return instant
    except (ValueError, OverflowError):  # what `astimezone` raises for them
        pass
    raise ValueError(f"{given.isoformat()} lies outside the years 1 to 9999 of UTC")


def _level_outside() -> int:
    """Return the stack level, for who calls this, of the line of the user's program."""
    from inspect import currentframe

    level, frame = 0, currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("fscache."):
        level, frame = level + 1, frame.f_back
    return level


def to_datetime(instant: int) -> datetime:
    """Return the instant as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=instant)


def date_instant(msg_id: str, field: str, value: object) -> int:
    """Return what the column of a date field holds; raises InvalidRecordError."""
    if value is None:
        return NULL
    if not isinstance(value, datetime):
        raise InvalidRecordError(msg_id, f"{field} must be None or a datetime, not {value!r}")
    try:
        return to_instant(value)
    except ValueError as exc:
        raise InvalidRecordError(msg_id, f"{field}: {exc}") from exc


def check_id(msg_id: object) -> bytes:
    """Return a task's id as bytes.

    Any text will do, separators and `..` too: no path is ever made of it.

    Raises:
        InvalidRecordError: no text, empty, half a character, or over 65,535 bytes.
    """
    if not isinstance(msg_id, str) or not msg_id:
        raise InvalidRecordError(repr(msg_id), "a task's id is a text that is not empty")
    try:
        data = msg_id.encode()
    except UnicodeEncodeError as exc:  # half a character: the catalog could not name it
        raise InvalidRecordError(repr(msg_id)[:80], "a task's id is whole characters") from exc
    if len(data) > MAX_ID_BYTES:
        raise InvalidRecordError(f"{msg_id[:40]}…", f"the id has over {MAX_ID_BYTES} bytes")
    return data


def check_record(msg_id: str, record: object) -> None:
    """Raise InvalidRecordError where a record, or what is to be changed of one, cannot be one."""
    if not isinstance(record, Mapping):
        raise InvalidRecordError(msg_id, f"a record is a mapping, not {record!r:.80}")
    for key in record:
        if isinstance(key, str) and key.startswith("\x01"):
            raise InvalidRecordError(
                msg_id, f"a key cannot begin with the character 1: {key!r:.80}"
            )


def check_keys(keys: Iterable[str] | str | None, known: Collection[str]) -> list[str] | None:
    """Return the keys to extract, `msg_id` first; None for all.

    Raises:
        UnknownFieldError: no record has such a key.
    """
    names = asked_keys(keys)
    for name in names or ():
        if name not in known:
            raise unknown_field(name, known)
    return names


def asked_keys(keys: Iterable[str] | str | None) -> list[str] | None:
    """Return the keys that a record has when `keys` are asked for, `msg_id` first; None for all."""
    wanted = [keys] if isinstance(keys, str) else list(keys or ())
    if not wanted:
        return None
    return list(dict.fromkeys(("msg_id", *(ALIASES.get(key, key) for key in wanted))))


def unknown_field(name: str, known: Iterable[str]) -> UnknownFieldError:
    """Return the error for a key that no record has, with the known one most like it."""
    return UnknownFieldError(str(name), nearest(str(name), known))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like `name`, empty if none is."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else ""


def is_pending(record: Mapping[str, object]) -> bool:
    """Whether a task has not completed."""
    return record.get("completed") is None
