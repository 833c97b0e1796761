"""Promises of fscache.cli.outputs and table."""

from __future__ import annotations

import pytest

from fscache.cli.outputs import place
from fscache.cli.table import aligned


def test_one_url_goes_to_the_file() -> None:
    assert place(["http://h/a"], "out.nc", is_directory=False) == ["out.nc"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/dir/a.nc", "a.nc"),
        ("http://h/a%20b.nc?version=2#top", "a b.nc"),
        ("http://h/..%2e", "..."),
    ],
)
def test_into_a_directory_a_file_keeps_the_name_in_its_url(url: str, name: str) -> None:
    assert place([url], "dir", is_directory=True) == [f"dir/{name}"]


@pytest.mark.parametrize(
    "url",
    ["http://h/", "http://h", "http://h/a/", "http://h/..", "http://h/%2e%2e", "http://h/%00",
     "http://h/..%2f..%2fetc%2fpasswd", "http://h/?a.nc"],
)  # fmt: skip
def test_a_url_cannot_name_a_file_elsewhere(url: str) -> None:
    with pytest.raises(ValueError, match="no file name"):
        place([url], "dir", is_directory=True)


@pytest.mark.parametrize(
    ("urls", "output", "is_directory", "why"),
    [
        (["http://h/a", "http://h/b"], "file", False, "no directory file"),
        (["http://h/a"], "new/", False, "no directory new/"),
        (["http://h/x/a", "http://h/y/a"], "dir", True, "end in a"),
    ],
)
def test_files_that_would_replace_each_other_are_refused(
    urls: list[str], output: str, is_directory: bool, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        place(urls, output, is_directory=is_directory)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("a", "1", "x"), ("bcd", "数据", "y\x1b"), ("", "333", "")]
    assert aligned(rows, right=frozenset({1})) == ["a       1  x", "bcd  数据  y\\x1b", "      333"]
    assert aligned([]) == []
