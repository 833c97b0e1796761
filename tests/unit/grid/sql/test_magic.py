"""`%%fsql` in a real shell of IPython."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import fscache
from fscache.errors import SQLError
from fscache.grid.sql import Result

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A shell with the magic in it."""
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("FSCACHE_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(fscache, "_cache", None)
    settings = pytest.importorskip("traitlets.config").Config()
    settings.HistoryManager.enabled = False  # a database and a thread that a test has no use for
    made = interactive.InteractiveShell(config=settings)
    made.run_line_magic("load_ext", "fscache.grid.sql.magic")
    return made


class Grid:
    """Takes the place of a grid: notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def sql(self, query: str, shared: dict[str, Any], *, progress: Any) -> str:
        self.asked.append((query, shared))
        return f"answer to {query}"


def test_a_cell_is_a_query(shell: Any) -> None:
    found = shell.run_cell_magic("fsql", "", "SELECT 1 AS one,\n 2 AS two\n")
    assert isinstance(found, Result)
    assert found.rows() == [(1, 2)]
    assert "<td>2</td>" in found._repr_html_()


def test_a_line_is_a_query(shell: Any) -> None:
    assert shell.run_line_magic("fsql", "SELECT 3 AS x").rows() == [(3,)]


def test_a_result_is_kept_in_a_variable(shell: Any) -> None:
    assert shell.run_cell_magic("fsql", "-o kept", "SELECT -1 AS x") is None
    assert shell.user_ns["kept"].rows() == [(-1,)]


def test_variables_are_shared(shell: Any) -> None:
    shell.user_ns |= {"least": 2, "SELECT": "not looked at"}
    query = "SELECT sum(x) FROM (VALUES (1), (2), (3)) t(x) WHERE x >= shared.least"
    assert shell.run_cell_magic("fsql", "--quiet", query).rows() == [(5,)]


def test_a_grid_is_named_once_or_for_one_query(shell: Any) -> None:
    first, second = Grid(), Grid()
    shell.user_ns |= {"first": first, "second": second, "n": 5}
    assert shell.run_line_magic("fsql", "--grid first") is None
    assert shell.run_line_magic("fsql", "SELECT shared.n") == "answer to SELECT shared.n"
    assert first.asked == [("SELECT shared.n", {"n": 5})]
    assert shell.run_cell_magic("fsql", "--grid second", "SELECT 2") == "answer to SELECT 2"
    assert shell.run_line_magic("fsql", "SELECT 3") == "answer to SELECT 3"
    assert [query for query, _ in first.asked] == ["SELECT shared.n", "SELECT 3"]


def test_a_comment_is_no_option(shell: Any) -> None:
    assert shell.run_cell_magic("fsql", "", "-- what\nSELECT 1").rows() == [(1,)]


def test_options_of_a_cell_stand_in_its_first_line_alone(shell: Any) -> None:
    assert shell.run_cell_magic("fsql", "", "--comment\nSELECT 4 AS x").rows() == [(4,)]
    for option in ("-o", "--output", "--grid"):
        with pytest.raises(SQLError, match=f"{option} takes a value"):
            shell.run_cell_magic("fsql", option, "SELECT 5")
    with pytest.raises(SQLError, match="no name of a variable"):
        shell.run_cell_magic("fsql", "-o a-b", "SELECT 6")


@pytest.mark.parametrize("line", ["", "--nosuch SELECT 1", "-o x"])
def test_what_is_no_query_is_told(shell: Any, line: str) -> None:
    with pytest.raises(SQLError):
        shell.run_line_magic("fsql", line)
