"""The backend `none`: functions run, and nothing is kept of them."""

# ruff: noqa: ARG002 - it takes what every backend takes

from __future__ import annotations

from fscache.errors import NoTaskDataError
from fscache.tasks.cull import Limits
from fscache.tasks.face import Tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, NoReturn

    from fscache.tasks.face import Keys, Query


class NoTasks(Tasks):
    """Takes every record and keeps none: to ask for one is a NoTaskDataError, which is a KeyError."""

    limits = Limits()
    """As other backends have; there is nothing to cull."""

    def add_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Do nothing."""

    def update_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Do nothing."""

    def drop_record(self, msg_id: str) -> None:
        """Do nothing."""

    def drop_matching_records(self, check: Query) -> int:
        """Do nothing."""
        return 0

    def purge(
        self,
        query: Query | None = None,
        *,
        records: int | None = None,
        size: int | None = None,
        age: float | None = None,
    ) -> int:
        """Do nothing."""
        return 0

    def get_record(self, msg_id: str) -> NoReturn:
        """Raise NoTaskDataError."""
        raise NoTaskDataError

    def find_records(self, check: Query, keys: Keys = None) -> NoReturn:
        """Raise NoTaskDataError."""
        raise NoTaskDataError

    def get_history(self) -> NoReturn:
        """Raise NoTaskDataError."""
        raise NoTaskDataError

    def db_query(self, query: Query, keys: Keys = None) -> NoReturn:
        """Raise NoTaskDataError."""
        raise NoTaskDataError

    def count(self, query: Query) -> NoReturn:
        """Raise NoTaskDataError."""
        raise NoTaskDataError

    def wait(self, msg_ids: str | Iterable[str], timeout: float | None = None) -> NoReturn:
        """Raise NoTaskDataError."""
        raise NoTaskDataError

    def is_own(self, msg_id: str) -> NoReturn:
        """Raise NoTaskDataError."""
        raise NoTaskDataError
