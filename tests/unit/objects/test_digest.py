"""Promises of fscache.objects.digest: pinned, because they are names on disks."""

from __future__ import annotations

import pytest

from fscache.objects.digest import address_of, digest_of, new_hasher

GOLDEN = {
    b"": "99aa06d3014798d86001c324468d497f",
    b"a": "a96faf705af16834e6c632b61e964e1f",
    b"fscache\n": "572a2d056a4e081479b9ea13240a6551",
    bytes(range(256)): "f1f8a93f50849ac39408a4433b952d71",
    b"\0" * 1_000_000: "ef233fc372a159319d648391f361d99a",
}


@pytest.mark.parametrize(("data", "digest"), GOLDEN.items(), ids=lambda value: repr(value)[:20])
def test_digests_are_those_of_xxh3_128(data: bytes, digest: str) -> None:
    assert digest_of(data) == digest


def test_a_running_digest_does_not_depend_on_the_pieces() -> None:
    data = bytes(range(256)) * 10
    running = new_hasher()
    for start in range(0, len(data), 77):
        running.update(memoryview(data)[start : start + 77])
    assert running.hexdigest() == digest_of(data)


def test_an_address_is_the_first_twenty_digits() -> None:
    assert address_of("99aa06d3014798d86001c324468d497f") == "99aa06d3014798d86001"
