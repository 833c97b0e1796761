"""Promises of fscache.urls.source: read in pieces or one after another, the entries are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.records.piecework import Shared
from fscache.records.rows import block_size, entry_row
from fscache.urls.source import URLSource
from tests.support.catalogs import keep

if TYPE_CHECKING:
    from fscache.records.root import Root


def test_pieces_have_what_a_scan_yields(root: Root) -> None:
    for number in range(50):
        keep(root, b"%d" % number, f"https://host/{number}", by="ann@host" if number % 2 else "")
    keep(root, b"odd", "https://host/\udcff")
    source, block = URLSource(root), block_size(root)
    share = source.share(block)
    assert share is not None
    with Shared([share]) as shared:
        rows = [row for _share, some in shared.rest(lambda *_step: None) for row in some]
    scanned = [entry_row("url", named, block) for named in source.scan()]
    # a name that is no UTF-8 is bytes among text
    assert sorted(rows, key=repr) == sorted(scanned, key=repr)
    assert len(rows) == 51


def test_where_nobody_has_put_anything_there_are_no_pieces(root: Root) -> None:
    share = URLSource(root).share(4096)
    assert share is not None
    assert list(share.pieces) == []
