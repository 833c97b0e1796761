"""What is wrong with a task, a query over tasks, or a result.

The whole tree is drawn in `fscache.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass

from credentials.errors import FscacheError


@dataclass(eq=False)
class TaskError(FscacheError):
    """The task database could not do what was asked."""

    code = "task"
    message = "the task database failed"


@dataclass(eq=False)
class NoSuchTaskError(TaskError, KeyError):
    """There is no record of this id, or no longer."""

    code = "no-such-task"
    message = "no task {msg_id!r}"

    msg_id: str


@dataclass(eq=False)
class TaskExistsError(TaskError, KeyError):
    """There is a record of this id already."""

    code = "task-exists"
    message = "there is a task {msg_id!r} already"

    msg_id: str


@dataclass(eq=False)
class UnknownFieldError(TaskError, KeyError):
    """No record has such a key; `nearest` is the known one most like it, or empty."""

    code = "unknown-field"

    name: str
    nearest: str

    def __str__(self) -> str:
        return f"task records have no key {self.name!r}{_meant(self.nearest)}"


@dataclass(eq=False)
class UnknownOperatorError(TaskError, KeyError):
    """Queries have no such operator; `nearest` is the known one most like it, or empty."""

    code = "unknown-operator"

    name: str
    nearest: str

    def __str__(self) -> str:
        return f"task queries have no operator {self.name!r}{_meant(self.nearest)}"


def _meant(nearest: str) -> str:
    return f"; did you mean {nearest!r}?" if nearest else ""


@dataclass(eq=False)
class NoTaskDataError(TaskError, KeyError):
    """The backend `none` keeps no records, so there is nothing to read."""

    code = "no-task-data"
    message = "no task records are kept here: the setting tasks is none"


@dataclass(eq=False)
class InvalidQueryError(TaskError, ValueError):
    """A query's operator cannot take the value it was given."""

    code = "invalid-query"
    message = "query: {why}"

    why: str


@dataclass(eq=False)
class InvalidRecordError(TaskError, ValueError):
    """A record has an id or a value that cannot be kept."""

    code = "invalid-record"
    message = "task {msg_id}: {why}"

    msg_id: str
    why: str


@dataclass(eq=False)
class TaskFailedError(TaskError):
    """A task ended with an exception, of which this much was recorded."""

    code = "task-failed"
    message = "task {msg_id} failed: {ename}: {evalue}"

    msg_id: str
    ename: str
    evalue: str
    traceback: str


@dataclass(eq=False)
class NeedFailedError(TaskError):
    """Something that a task needs did not come, so it was not run."""

    code = "need-failed"
    message = "need {need} was not met: {why}"

    need: str
    why: str


@dataclass(eq=False)
class InvalidPreconditionError(TaskError, ValueError):
    """A precondition cannot have this name."""

    code = "invalid-precondition"
    message = "a precondition's name has 1 to 512 printable characters: {name!r}"

    name: str


@dataclass(eq=False)
class ResultUnavailableError(TaskError):
    """A task's function or result was not kept in a form that this process may or can load."""

    code = "result-unavailable"
    message = "task {msg_id}: {why}"

    msg_id: str
    why: str
