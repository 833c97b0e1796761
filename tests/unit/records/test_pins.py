"""Promises of fscache.records.pins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fscache.records.pins import Pins

if TYPE_CHECKING:
    from fscache.records.root import Root


def test_pins_are_added_once_and_removed_once(root: Root) -> None:
    pins = Pins(root)
    assert pins.names() == set()
    assert pins.add("https://host/a b", by="ann")
    assert not pins.add("https://host/a b", by="bob")
    assert pins.add("0123456789abcdef0123-1", by="ann")
    assert pins.names() == {"https://host/a b", "0123456789abcdef0123-1"}
    assert pins.remove("https://host/a b")
    assert not pins.remove("https://host/a b")
    assert Pins(root).names() == {"0123456789abcdef0123-1"}


def test_a_pin_can_be_read_with_cat(root: Root) -> None:
    Pins(root).add("https://host/a", by="ann")
    (name,) = os.listdir(f"{root.path}/pins")
    with open(f"{root.path}/pins/{name}", encoding="utf-8") as file:
        text = file.read()
    assert "https://host/a\n" in text
    assert text.endswith("by ann")


def test_a_garbage_pin_is_no_pin_and_no_crash(root: Root) -> None:
    pins = Pins(root)
    pins.add("https://host/a", by="ann")
    with open(f"{root.path}/pins/{'0' * 20}", "wb") as file:
        file.write(b"garbage")
    assert pins.names() == {"https://host/a"}
