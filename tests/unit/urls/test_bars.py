"""Promises of fscache.urls.bars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.urls.bars import Glyphs, columns, file_line, fit, frame, printable, total_line
from stager.request import Progress

GLYPHS = Glyphs(unicode=True)
ASCII = Glyphs(unicode=False)

sizes = st.one_of(st.integers(0, 2**62))
progresses = st.builds(
    Progress, sizes, st.one_of(st.none(), sizes), st.floats(0, 1e15, allow_nan=False)
)


@given(st.text(), st.one_of(st.none(), progresses), st.integers(1, 300))
def test_a_line_takes_exactly_the_width_of_the_terminal(
    name: str, progress: Progress | None, width: int
) -> None:
    for glyphs in (GLYPHS, ASCII):
        line = file_line(printable(name), progress, width, glyphs)
        assert columns(line) == width
        assert line.isprintable()
        if name.isascii() and glyphs is ASCII:
            assert line.isascii()


@given(st.text(), st.integers(0, 60))
def test_text_is_cut_or_padded_to_its_columns(text: str, width: int) -> None:
    assert columns(fit(printable(text), width, GLYPHS)) == width


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert fit("temperature_2024_january_0017.nc", 17, GLYPHS) == "temperat…_0017.nc"
    assert fit("temperature.nc", 14, GLYPHS) == "temperature.nc"
    assert fit("t.nc", 6, GLYPHS) == "t.nc  "


def test_wide_characters_count_twice_and_accents_not_at_all() -> None:
    assert columns("数据") == 4
    assert columns("e\u0301") == 1
    assert fit("数据数据", 5, GLYPHS) == "数…据"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä", "plain ä"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\r\nb", "a\\r\\nb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_nothing_steers_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_narrower_the_terminal_the_less_is_told() -> None:
    progress = Progress(45 << 20, 100 << 20, float(10 << 20))
    lines = [file_line("data.nc", progress, width, ASCII) for width in (90, 70, 60, 40, 25, 4)]
    assert lines == [
        "data.nc                 45% #########             45.0 MiB/100.0 MiB   10.0 MiB/s     0:06",
        "data.nc                  45%  45.0 MiB/100.0 MiB   10.0 MiB/s     0:06",
        "data.nc        45%  45.0 MiB/100.0 MiB   10.0 MiB/s     0:06",
        "data.nc          45%  45.0 MiB/100.0 MiB",
        "data.nc               45%",
        "da~c",
    ]


def test_the_bar_gives_way_to_names() -> None:
    progress = Progress(45 << 20, 100 << 20, float(10 << 20))
    name = "temperature_2024_january_0017.nc"
    assert "#" in file_line(name, progress, 100, ASCII, longest=32)
    line = file_line(name, progress, 90, ASCII, longest=32)
    assert line.startswith(f"{name} ")
    assert "#" not in line


def test_without_a_total_there_is_no_share() -> None:
    line = file_line("data.nc", Progress(45 << 20, None, float(10 << 20)), 60, ASCII)
    assert line == "data.nc                                45.0 MiB   10.0 MiB/s"


def test_of_what_another_process_fetches_no_figures_are_shown() -> None:
    lines = [file_line("data.nc", None, width, ASCII, longest=30) for width in (50, 30, 12, 4)]
    assert lines == [
        "data.nc                waiting for another process",
        "data.nc                waiting",
        "da~c waiting",
        "da~c",
    ]


def test_an_empty_file_is_there_in_full() -> None:
    assert "100%" in file_line("empty", Progress(0, 0, 0.0), 60, ASCII)


def test_the_sum_names_failures_only_when_there_are_some() -> None:
    line = total_line(
        ended=3, files=17, failed=0, size=1 << 30, rate=2.0**20, width=60, glyphs=ASCII
    )
    assert line.rstrip() == "3/17 files  1.0 GiB  1.0 MiB/s"
    line = total_line(
        ended=3, files=17, failed=2, size=1 << 30, rate=2.0**20, width=60, glyphs=ASCII
    )
    assert line.rstrip() == "3/17 files  2 failed  1.0 GiB  1.0 MiB/s"


@pytest.mark.parametrize(
    ("width", "shown"), [(22, "3/17 files  2 failed"), (12, "3/17 files"), (6, "3/17 files")]
)
def test_a_narrow_sum_is_cut_at_its_end(width: int, shown: str) -> None:
    line = total_line(
        ended=3, files=17, failed=2, size=1 << 30, rate=2.0**20, width=width, glyphs=ASCII
    )
    assert columns(line) == width
    assert line.rstrip() == shown if width > 10 else line.startswith("3/1")


@pytest.mark.parametrize(
    ("height", "expected"), [(1, ["sum"]), (3, ["a", "sum"]), (24, ["a", "b", "c", "sum"])]
)
def test_a_frame_fits_the_screen_and_keeps_the_sum(height: int, expected: list[str]) -> None:
    assert frame(["a", "b", "c"], "sum", height) == expected
