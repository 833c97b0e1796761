from __future__ import annotations

import pytest

from fscache.errors import GridAddressError, InsecureGridError
from fscache.grid.addresses import check_protection, in_full


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("head", "tls://head:8786"),
        ("head:1", "tls://head:1"),
        ("tls://head", "tls://head:8786"),
        ("tls://head.site.edu:8786", "tls://head.site.edu:8786"),
        ("tls://head:8786/", "tls://head:8786"),
        ("127.0.0.1:8936", "tls://127.0.0.1:8936"),
        ("tcp://127.0.0.1:5", "tcp://127.0.0.1:5"),
        ("[::1]:7", "tls://[::1]:7"),
    ],
)
def test_what_is_left_out_is_added(given: str, full: str) -> None:
    assert in_full(given) == full
    assert in_full(full) == full


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://head:8786",
        "inproc://1.2.3.4/1/2",
        "tls://",
        "tls://head:99999",
        "head:0",
        "head:port",
        "::1",
        "a b",
        "tls://head:1/x",
        "user@head",
    ],
)
def test_what_is_no_address_is_said(given: str) -> None:
    with pytest.raises(GridAddressError, match="tls://host:port") as raised:
        in_full(given)
    assert raised.value.address == given


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1"])
def test_this_machine_needs_no_certificates(address: str) -> None:
    check_protection(address, certificates=False)
    with pytest.raises(InsecureGridError, match="tls://"):
        check_protection(address, certificates=True)  # they would go unused


@pytest.mark.parametrize("address", ["tcp://head:1", "tcp://10.0.0.1:1", "tls://127.0.0.1:1"])
def test_everything_else_needs_them(address: str) -> None:
    with pytest.raises(InsecureGridError, match="workers init"):
        check_protection(address, certificates=False)
    check_protection(address.replace("tcp", "tls"), certificates=True)
