"""The rules of the house that tools can check: layers, doors, sizes, docstrings.

ruff sees `os.rename(…)` outside `fscache/fs` by itself (TID251); what it cannot see is here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
MODULES = sorted(
    path
    for package in ("fscache", "stager", "credentials")
    for path in (REPOSITORY / package).rglob("*.py")
)
DOORS = {
    "keyring": "credentials/keyring_store.py",
    "watchdog": "fscache/server/watch.py",
    "requests": "stager/transports/",
    "pycurl": "stager/transports/",
    "fsspec": ("stager/transports/", "fscache/bridges/"),
    "xmlrpc": ("fscache/remote/", "fscache/server/"),
    "dask": "fscache/grid/cluster/",
    "distributed": "fscache/grid/cluster/",
    "duckdb": "fscache/grid/",
    "sqlglot": "fscache/grid/",
    "filelock": "fscache/fs/",
}
"""Module → the only place that may import it."""
NAMES_FILES = {
    "hardlink_to",
    "link",
    "link_to",
    "move",
    "rename",
    "renames",
    "replace",
    "symlink",
    "symlink_to",
}
SYNCS = {"fdatasync", "fsync", "sync", "syncfs"}
READS_ENVIRONMENT = {
    "Path.home",
    "getpass.getuser",  # LOGNAME, USER
    "os.environ",
    "os.environb",
    "os.getenv",
    "os.getenvb",
    "os.path.expanduser",  # HOME
    "os.path.expandvars",
    "os.putenv",
}
TELLS_TIME = {"time.time", "time.time_ns", "datetime.utcnow", "datetime.datetime.utcnow"}
HARD_LIMIT = 500


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> set[str]:
    """Return the top-level names of what a module imports anywhere, except for type checkers."""
    found = set()
    pending: list[ast.AST] = [tree(path)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        pending.extend(ast.iter_child_nodes(node))
    return found


def broken_rules(rule: Callable[[Path], Iterator[str]]) -> list[str]:
    return [f"{name(path)}{found}" for path in MODULES for found in rule(path)]


def test_the_layers_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed here")
    done = subprocess.run(
        [command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def test_each_foreign_package_comes_in_by_one_door() -> None:
    def rule(path: Path) -> Iterator[str]:
        for module in sorted(imports(path) & set(DOORS)):
            if not name(path).startswith(DOORS[module]):
                yield f" imports {module}"

    assert broken_rules(rule) == []


def test_only_fs_names_links_and_syncs_files() -> None:
    def rule(path: Path) -> Iterator[str]:
        if name(path).startswith("fscache/fs/"):
            return
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module in {"os", "shutil"}:
                for taken in {alias.name for alias in node.names} & (NAMES_FILES | SYNCS):
                    yield f":{node.lineno} imports {taken}"
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called = node.func.attr
            # `text.replace(old, new)` takes two arguments, `Path.replace(target)` one.
            is_path = called in NAMES_FILES and len(node.args) == 1 and not node.keywords
            if called == "replace" and name(path).startswith("fscache/grid/sql/"):
                is_path = False  # an expression of sqlglot's; there are no paths in this package
            is_os = isinstance(node.func.value, ast.Name) and node.func.value.id in {"os", "shutil"}
            if is_path or (is_os and called in NAMES_FILES | SYNCS):
                yield f":{node.lineno} calls .{called}()"

    assert broken_rules(rule) == []


def test_only_config_reads_the_environment() -> None:
    def rule(path: Path) -> Iterator[str]:
        if name(path).startswith("fscache/config/"):
            return
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in READS_ENVIRONMENT:
                yield f":{node.lineno} reads {ast.unparse(node)}"
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if f"{node.module}.{alias.name}" in READS_ENVIRONMENT:
                        yield f":{node.lineno} imports {alias.name}"

    assert broken_rules(rule) == []


def test_the_clock_is_passed_in() -> None:
    """`time.time` may stand as the default of a parameter, and nowhere is it called."""

    def rule(path: Path) -> Iterator[str]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in TELLS_TIME:
                yield f":{node.lineno} calls {ast.unparse(node.func)}()"

    assert broken_rules(rule) == []


def test_no_module_is_too_long() -> None:
    def rule(path: Path) -> Iterator[str]:
        lines = len(path.read_text("utf-8").splitlines())
        if lines > HARD_LIMIT:
            yield f" has {lines} lines: more than one idea"

    assert broken_rules(rule) == []


def test_every_module_says_what_it_is_and_every_package_is_one() -> None:
    def rule(path: Path) -> Iterator[str]:
        if not ast.get_docstring(tree(path)):
            yield " has no docstring"
        if not (path.parent / "__init__.py").exists():
            yield " lies in no package"

    assert broken_rules(rule) == []


def test_tests_of_units_mirror_the_packages() -> None:
    packages = {name(path.parent) for path in MODULES}
    for directory in (REPOSITORY / "tests" / "unit").rglob("*"):
        if directory.is_dir() and directory.name != "__pycache__":
            relative = directory.relative_to(REPOSITORY / "tests" / "unit").as_posix()
            assert {relative, f"fscache/{relative}"} & packages, relative


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("import keyring", {"keyring"}),
        ("def f():\n  from xmlrpc.client import x", {"xmlrpc"}),
        ("if TYPE_CHECKING:\n  import keyring\nelse:\n  import dask", {"dask"}),
        ("from . import x", set()),
    ],
)
def test_imports_are_seen_wherever_they_stand(tmp_path: Path, code: str, seen: set[str]) -> None:
    (tmp_path / "module.py").write_text(code)
    assert imports(tmp_path / "module.py") == seen
