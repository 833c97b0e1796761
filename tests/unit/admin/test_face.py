"""Promises of fscache.admin.face: what makes no sense is an error that names it, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fscache.cache import Cache
from fscache.config import load
from fscache.errors import InvalidFilterError
from tests.support.catalogs import DAY, age, keep, objects_on_disk

if TYPE_CHECKING:
    from fscache.records.root import Root


@pytest.mark.parametrize(
    ("method", "arguments", "error", "said"),
    [
        ("ls", {"filters": "size>1kB"}, TypeError, r"a list: \['size>1kB'\]"),
        ("ls", {"filters": [3]}, TypeError, "filter is text, not 3"),
        ("ls", {"filters": ["name~\ud800"]}, InvalidFilterError, "lone surrogate"),
        ("ls", {"limit": "5"}, TypeError, "limit is a number, not '5'"),
        ("ls", {"limit": -1}, ValueError, "limit is a number from 0 on, not -1"),
        ("purge", {"max_size": -1}, ValueError, "max_size is a number from 0 on, not -1"),
        ("purge", {"max_size": "500GiB"}, TypeError, "max_size is a number"),
        ("purge", {"older_than": float("nan")}, ValueError, "older_than is a number from 0 on"),
        ("purge", {"max_size": 0, "grace": -1}, ValueError, "grace is a number from 0 on"),
        (
            "purge",
            {"max_size": 9, "low_water": 90},
            ValueError,
            "low_water is a number from 0 to 1",
        ),
        ("purge", {"min_free": 10}, TypeError, "min_free is text, not 10"),
        ("purge", {"max_size": 0, "match": b"x"}, TypeError, "match is text"),
        ("purge", {"match": "https://*"}, ValueError, "match says which, and not how many"),
        ("unpin", {"name": None}, TypeError, "an address or a URL is text, not NoneType"),
        ("verify", {"sample": 5}, ValueError, "sample is a number from 0 to 1, not 5"),
        ("verify", {"unverified_for": "30d"}, TypeError, "unverified_for is a number"),
        ("verify", {"rate": 0}, ValueError, "rate is more than 0"),
    ],
)
def test_what_makes_no_sense_is_named(
    live: Root, method: str, arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    age(live, keep(live, b"old", "https://host/old").path, 10 * DAY)
    admin = Cache(live.path, config=load({"HOME": live.path})).admin
    with pytest.raises(error, match=said):
        getattr(admin, method)(**arguments)
    assert len(objects_on_disk(live)) == 1
