from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fscache import errors
from fscache.remote.asking import SpoolAsker
from fscache.remote.cache import RemoteCache
from fscache.server.spool import Spool

if TYPE_CHECKING:
    from fscache.records.root import Root


def names_below(path: Path) -> list[str]:
    return sorted(
        os.path.relpath(f"{directory}/{name}", path)
        for directory, directories, files in os.walk(path)
        for name in directories + files
    )


@pytest.mark.parametrize("given", ["nothing", "empty", "unserved", "new-missing", "no-cache"])
def test_a_spool_that_nobody_serves_is_an_error_at_once_and_is_not_made(
    tmp_path: Path, root: Root, given: str
) -> None:
    path = tmp_path / "served"
    if given == "empty":
        path.mkdir()
    elif given == "no-cache":
        (path / "spool/new").mkdir(parents=True)
        (path / "spool/tmp").mkdir()
    elif given != "nothing":
        root.ensure()
        path = Path(root.path)
        if given == "new-missing":
            (path / "spool/tmp").mkdir(parents=True)
    before = names_below(tmp_path)
    with pytest.raises(errors.ServerUnreachableError, match=r"there is no .*(FORMAT|spool/new)"):
        SpoolAsker(str(path)).stage([["http://h/a"]], {})
    assert names_below(tmp_path) == before


def test_a_miss_asks_no_spool_that_is_not_there(tmp_path: Path) -> None:
    with (
        RemoteCache(f"spool:{tmp_path}/served", root=tmp_path / "own") as node,
        pytest.raises(errors.ServerUnreachableError, match="there is no"),
    ):
        node.get("http://127.0.0.1:9/a", timeout=5)
    assert not (tmp_path / "served").exists()


def test_a_spool_that_is_served_takes_requests_without_its_temporary_directory(root: Root) -> None:
    root.ensure()
    spool = Spool(root)
    spool.ensure()
    os.rmdir(f"{root.path}/spool/tmp")
    (identity,) = SpoolAsker(root.path).stage([["http://h/a"]], {})
    assert [f"{name}.0" for name in spool.dropped()] == [identity]
