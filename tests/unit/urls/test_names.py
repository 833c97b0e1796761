"""Promises of fscache.urls.names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.urls.names import plain
from stager.errors import InvalidURLError
from stager.urls import parse


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/path", "https://host/path"),
        ("https://host/path?q=1&r=2", "https://host/path?q=1&r=2"),
        ("https://host/Path/UPPER", "https://host/Path/UPPER"),
        ("HTTPS://HOST/Path", "https://host/Path"),
        ("https://user:secret@host/path", "https://host/path"),
        ("https://host/path#fragment", "https://host/path"),
        ("https://host", "https://host"),
        ("https://host:8443/p", "https://host:8443/p"),
        ("https://host/with@sign", "https://host/with@sign"),
        ("http://h/", "http://h/"),
        ("file:///data/File", "file:///data/File"),
        ("https://host/ä", "https://host/ä"),
        ("https://[::1]/x", "https://[::1]/x"),
    ],
)
def test_the_name_of_a_url(url: str, name: str) -> None:
    assert plain(url) == name
    assert plain(name) == name


@pytest.mark.parametrize(
    "url", ["", "host/path", "https:///nohost#x", "/etc/passwd", "\ud800", "http://h/\udcff"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidURLError):
        plain(url)


urls = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP", "ftp", "file"]),
    st.sampled_from(["", "u:p@", "u@"]),
    st.sampled_from(["host", "Host.Example", "host:80", "[::1]:8080", ""]),
    st.one_of(
        st.just(""),
        st.text(st.characters(), max_size=20).map(lambda path: f"/{path}"),
        st.text(st.sampled_from("/ab@#?é:"), max_size=8).map(lambda path: f"/{path}"),
    ),
)


@given(urls)
def test_the_short_way_gives_the_name_that_the_stager_gives(url: str) -> None:
    try:
        name = parse(url).url
    except InvalidURLError:
        # What cannot be asked for is refused here, or has a name under which nothing ever lies.
        try:
            name = plain(url)
        except InvalidURLError:
            return
        with pytest.raises(InvalidURLError):
            parse(name)
    else:
        assert plain(url) == name


@given(st.text())
def test_every_text_has_a_name_with_bytes_or_is_refused(url: str) -> None:
    try:
        plain(url).encode("utf-8")
    except InvalidURLError:
        pass
