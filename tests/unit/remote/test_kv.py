"""Key-values of a server: what is too large for one call, or for a path, or for the server."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fscache import errors
from fscache.kv import ABSENT
from fscache.remote import portions
from fscache.remote.address import parse
from fscache.server.limits import MAX_CALL, MAX_VALUE, Limits
from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fscache.kv import KeyValues
    from tests.support.servers import Serving

LARGE = MAX_CALL + 1  # bytes of a value that no call can carry


@pytest.fixture
def kv(served: Serving, tmp_path: Path) -> Iterator[KeyValues]:
    with served.remote(tmp_path / "node") as node:
        yield node.kv


def test_a_value_beyond_the_servers_limit_is_refused_with_the_limit(kv: KeyValues) -> None:
    with pytest.raises(errors.RefusedRequestError, match=f"at most {MAX_VALUE} bytes"):
        kv.put("v", bytes(MAX_VALUE + 1))
    assert "v" not in kv
    kv.put("v", b"again")
    assert kv.get("v") == b"again"


def test_a_key_that_is_no_text_is_the_callers_fault_here_as_on_a_root(
    kv: KeyValues, caplog: pytest.LogCaptureFixture
) -> None:
    for ask in (kv.get, kv.delete, kv.incr, kv.version, lambda key: kv.multiget([key])):
        with pytest.raises(ValueError, match="surrogates not allowed"):
            ask("\ud800")
    with pytest.raises(ValueError, match="surrogates not allowed"):
        kv.put("\ud800", 1)
    assert caplog.text == ""


def test_many_values_go_in_as_many_calls_as_they_need(kv: KeyValues) -> None:
    given = {f"k{number:02}": bytes([number]) * 1_000_000 for number in range(30)}
    given["large"] = b"x" * LARGE
    kv.multiput(given, ttl=100, tags=["t"])
    assert kv.multiget(given) == given
    assert kv.tagged("t") == sorted(given)
    assert kv.ttl("large") == pytest.approx(100, abs=50)


def test_cas_takes_values_that_no_call_can_carry(kv: KeyValues) -> None:
    one, two = b"1" * LARGE, b"2" * LARGE
    assert kv.cas("k", ABSENT, one)
    assert not kv.cas("k", ABSENT, two)
    assert not kv.cas("k", two, b"small")
    assert not kv.cas("none", two, b"small")
    assert kv.cas("k", one, two, tags=["t"])
    assert kv.tags("k") == ("t",)
    assert kv.cas("k", kv.version("k"), one)
    assert not kv.cas("k", "small", two)
    assert kv.get("k") == one
    assert kv.cas("k", one, "small")
    assert kv.cas("k", "small", one)


def test_a_large_cas_asked_for_twice_with_one_token_is_made_once(kv: KeyValues) -> None:
    one, two = b"1" * LARGE, b"2" * LARGE
    assert kv.cas("k", ABSENT, one, once="a")
    assert kv.cas("k", ABSENT, two, once="a")
    assert kv.get("k") == one
    assert kv.cas("k", one, "new", once="b")
    assert kv.cas("k", one, "new", once="b")
    assert not kv.cas("k", one, "new", once="c")


@pytest.mark.parametrize("char", ["x", "\r", "\0", "\U0001f552"])
@pytest.mark.parametrize("length", [700, 1000, 7000])
def test_keys_that_become_long_in_a_path_are_keys(kv: KeyValues, char: str, length: int) -> None:
    key = char * length
    kv.put(key, "value")
    assert kv.get(key) == "value"
    assert kv.cas(key, "value", "new")
    assert kv.pop(key) == "new"
    assert not kv.delete(key)


def test_any_number_of_keys_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "MOST", 10_000)
    given = {f"key-{number}": number for number in range(0, 300, 3)}
    asked = [f"key-{number}" for number in range(300)]
    with (
        serving(tmp_path / "root", limits=Limits(call=12_000)) as served,
        served.remote(tmp_path / "node") as node,
    ):
        node.kv.multiput(given)
        assert node.kv.multiget(asked, None) == dict.fromkeys(asked) | given


def test_no_call_is_made_larger_than_a_server_takes() -> None:
    from fscache.remote.codec import encode_call

    pairs = [(char * 1000, b"v" * 500_000) for char in "x\r\0\U0001f552" for _ in range(50)]
    made = list(portions.portions(pairs))
    assert [pair for portion in made for pair in portion] == pairs
    assert len(made) > 1
    for portion in made:
        document = encode_call("kv.multiput", (portion, "default", None, [], True))
        assert len(document) <= portions.MOST + 1000 <= MAX_CALL
    assert list(portions.portions([])) == []


# -- other processes --------------------------------------------------------------------------


def test_a_store_goes_to_another_process_without_its_token(
    served: Serving, kv: KeyValues, tmp_path: Path
) -> None:
    packed = pickle.dumps(kv.store("other", serializer=pickle))
    assert served.token().encode() not in packed
    program = (
        "import pickle, sys\n"
        "store = pickle.load(sys.stdin.buffer)\n"
        "store.put('complex', 1j)\n"
        "print(store)\n"
    )

    def run(**more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", program],
            input=packed,
            capture_output=True,
            check=False,
            env={**os.environ, **more},
        )

    done = run(FSCACHE_TOKEN=served.token())
    assert done.stdout.decode() == f"RemoteStore('{served.address}', 'other')\n"
    assert kv.store("other", serializer=pickle).get("complex") == 1j
    assert b"AccessDeniedError" in run(FSCACHE_TOKEN="").stderr


@pytest.mark.parametrize("text", ["head", "head:1", "https://head:2", "http://[::1]:3"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    address = parse(f"{text.replace('//', '//token:secret@')}" if "//" in text else text)
    assert "secret" not in address.url
    assert replace(address, token=None) == parse(address.url)
