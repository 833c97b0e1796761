"""The status page: a document that needs nothing but a browser, whatever the transfers are called."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from fscache.server import page
from fscache.server.figures import AGES, Figures, Moving, Space
from stager.request import Progress

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "hr", "img", "input", "link"}
NASTY = 'http://h/<script>alert("x")</script>?a=1&b=2&amp;\'"'


def figures(**changes: Any) -> Figures:
    given: dict[str, Any] = {
        "transfers": (
            Moving("http://h/known", "running", Progress(500, 2000, 1e6), 3),
            Moving("http://h/unknown", "running", Progress(500, None, 0.0), 1),
            Moving(NASTY, "running", Progress(0, 0, 0.0), 1),
            Moving("http://h/waits", "queued", Progress(0, None, 0.0), 2),
        ),
        "waiting": 7,
        "hits": 3,
        "misses": 1,
        "space": Space(tuple((name, 2, 1000) for name, _ in AGES), 10**9, 10**10, 1.0),
        "connections": 5,
        "accepted": 6,
        "answered": 12345,
        "refused": 0,
        "uptime": 90061.0,
    }
    return Figures(**{**given, **changes})


class Document(HTMLParser):
    """Reads a document and fails where a tag is not closed by its own."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.mark.parametrize(
    "shown",
    [
        figures(),
        figures(transfers=(), waiting=0, hits=0, misses=0, space=Space()),
        figures(trouble="the root is <gone>"),
        figures(transfers=figures().transfers * 300),
    ],
    ids=["busy", "idle", "in-trouble", "very-busy"],
)
def test_the_document_is_well_formed_and_needs_no_script_and_nothing_else(shown: Figures) -> None:
    text = page.render(shown)
    document = Document(text)
    names = {tag for tag, _ in document.tags}
    assert names.isdisjoint({"script", "img", "link", "iframe", "object", "a", "form"})
    for _tag, attributes in document.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.keys().isdisjoint({"src", "href", "action"})
    assert "url(" not in text
    assert "@import" not in text


def test_it_reloads_itself_without_a_script() -> None:
    document = Document(page.render(figures()))
    assert ("meta", {"http-equiv": "refresh", "content": "5"}) in document.tags


def test_it_says_what_goes_on() -> None:
    text = " ".join(Document(page.render(figures())).text.split())
    for said in (
        *("25 %", "500 B of 2.0 KiB", "976.6 KiB/s", "size not known"),
        *("75.0%", "12,345", "http://h/waits", "5.9 KiB", "less than an hour ago", "longer ago"),
        NASTY,
    ):
        assert said in text
    bars = [given for tag, given in Document(page.render(figures())).tags if tag == "progress"]
    assert bars == [{"max": "100", "value": "25"}]


def test_of_a_long_queue_it_shows_the_first() -> None:
    text = Document(page.render(figures(transfers=figures().transfers * 300))).text
    assert "… and 700 more." in text
    assert "… and 100 more." in text


def test_trouble_is_said_first_and_escaped() -> None:
    text = page.render(figures(trouble="the root is <gone>"))
    assert "Not working: the root is &lt;gone&gt;." in text


def test_a_browser_shows_it(tmp_path: Path) -> None:
    """What a browser makes of it: every table has its rows."""
    import shutil
    import subprocess

    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    (tmp_path / "page.html").write_text(page.render(figures()), encoding="utf-8")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            f"--user-data-dir={tmp_path}/profile",
            f"file://{tmp_path}/page.html",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("<tr>") == page.render(figures()).count("<tr>")
    assert "http://h/waits" in done.stdout
