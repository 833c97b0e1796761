"""Promises of fscache.paths: a stand-in that nobody can tell from the real path, except by speed."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import pytest

from fscache.paths import DeferredPath, as_path

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "/cache/objects/0123/4567/89abcdef.nc"
REAL = Path(TEXT)


@pytest.fixture
def path() -> Path:
    return DeferredPath(TEXT)  # type: ignore[return-value]


def test_programs_that_use_pathlib_get_the_real_thing() -> None:
    assert type(as_path(TEXT)) is type(REAL)
    assert as_path(TEXT) == REAL


def test_others_get_a_stand_in_that_imports_nothing_until_it_is_used_as_a_path() -> None:
    code = """if 1:
        import os, sys
        from fscache.paths import as_path
        path = as_path(sys.argv[1])
        assert "pathlib" not in sys.modules, "imported too early"
        assert os.fspath(path) == str(path) == f"{path}" == "%s" % path == sys.argv[1]
        assert os.path.basename(path) == "89abcdef.nc"
        assert not os.path.exists(path)
        assert "pathlib" not in sys.modules, "imported for what a text can do"
        assert path.suffix == ".nc"
        from pathlib import Path
        assert isinstance(path, Path) and path == Path(sys.argv[1])
    """
    subprocess.run(
        [sys.executable, "-S", "-c", code, TEXT], check=True, cwd=Path(__file__).parents[2]
    )


def test_it_passes_for_a_path(path: Path) -> None:
    assert isinstance(path, Path)
    assert isinstance(path, PurePath)
    assert isinstance(path, os.PathLike)
    assert not isinstance(path, str)
    match path:
        case Path():
            pass
        case _:
            pytest.fail("no path")


def test_it_equals_and_hashes_as_the_real_one_both_ways(path: Path) -> None:
    assert path == REAL
    assert path == REAL
    assert not path != REAL  # noqa: SIM202 - `!=` is what is tested
    assert hash(path) == hash(REAL)
    assert {path: 1}[REAL] == 1
    assert path == REAL
    assert path != Path("/other")
    assert path != TEXT
    assert path < Path("/z")
    assert path <= REAL <= path
    assert path > Path("/a")
    assert path >= REAL
    assert sorted([Path("/z"), path]) == [path, Path("/z")]


@pytest.mark.parametrize(
    "use",
    [
        repr,
        bytes,
        str,
        os.fspath,
        "{}".format,
        lambda path: path / "more",
        lambda path: "/top" / path,
        lambda path: path.parent,
        lambda path: path.parts,
        lambda path: path.name,
        lambda path: path.with_suffix(".txt"),
        lambda path: path.relative_to("/cache"),
        lambda path: path.exists(),
        lambda path: list(path.parents),
        lambda path: os.path.join(path, "more"),
        Path,
        copy.copy,
        copy.deepcopy,
        lambda path: pickle.loads(pickle.dumps(path)),
    ],
)
def test_whatever_is_done_with_it_gives_what_the_real_one_gives(
    path: Path, use: Callable[[Path], object]
) -> None:
    assert use(path) == use(REAL)
    assert type(use(path)) is type(use(REAL)) or isinstance(use(path), Path)


def test_pickled_it_is_the_real_one(path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert type(pickle.loads(pickle.dumps(path, protocol))) is type(REAL)


def test_what_paths_cannot_do_it_cannot_either(path: Path) -> None:
    with pytest.raises(AttributeError):
        path.no_such_method()  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        path + "more"  # type: ignore[operator]
    with pytest.raises(TypeError):
        path / 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        path < "text"  # type: ignore[operator]  # noqa: B015


def test_it_opens_and_reads(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    path: Path = DeferredPath(str(tmp_path / "file"))  # type: ignore[assignment]
    assert path.read_bytes() == b"bytes"
    with open(path, "rb") as file:
        assert file.read() == b"bytes"
    with path.open("rb") as file:
        assert file.read() == b"bytes"
