import pytest

from fscache.server.ranges import UnsatisfiableError, not_modified, wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 8)),
        ("bytes=2-4", (2, 3)),
        ("bytes=2-99", (2, 8)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
        ("Bytes=1-1", (1, 1)),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
    ],
)
def test_one_range_is_served_and_what_cannot_be_read_gives_the_whole(
    text: str, expected: tuple[int, int] | None
) -> None:
    assert wanted({"range": text}, 10, '"e"') == expected


@pytest.mark.parametrize(("text", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_range_behind_the_end_cannot_be_served(text: str, size: int) -> None:
    with pytest.raises(UnsatisfiableError):
        wanted({"range": text}, size, '"e"')


def test_a_range_of_other_bytes_gives_the_whole() -> None:
    assert wanted({"range": "bytes=1-2", "if-range": '"other"'}, 10, '"e"') is None
    assert wanted({"range": "bytes=1-2", "if-range": '"e"'}, 10, '"e"') == (1, 2)


def test_known_bytes_are_not_sent_again() -> None:
    assert not_modified({"if-none-match": '"x", W/"e"'}, '"e"')
    assert not_modified({"if-none-match": "*"}, '"e"')
    assert not not_modified({"if-none-match": '"x"'}, '"e"')
    assert not not_modified({}, '"e"')
