"""Promises of stager.proxies."""

from __future__ import annotations

import pytest

from stager.errors import ConnectionFailedError
from stager.proxies import Proxies

PROXY = "http://proxy:3128"


def test_each_scheme_has_its_proxy() -> None:
    proxies = Proxies(http="http://one:1", https="https://two")
    assert [proxies(f"{scheme}://h/a").url for scheme in ("http", "https")] == [
        "http://one:1",
        "https://two:443",
    ]
    assert Proxies(http="http://one:1")("https://h/a") is None


@pytest.mark.parametrize(
    ("entry", "url", "direct"),
    [
        ("*", "http://anything/a", True),
        ("example.org", "http://example.org/a", True),
        ("example.org", "http://www.example.org/a", True),
        (".example.org", "http://example.org/a", True),
        ("*.example.org", "http://www.example.org/a", True),
        ("EXAMPLE.org", "https://www.Example.ORG:8443/a?b=c", True),
        ("example.org.", "http://example.org./a", True),
        ("example.org", "http://badexample.org/a", False),
        ("example.org", "http://example.org.evil.net/a", False),
        ("example.org", "http://evil.net/example.org", False),
        ("example.org:8080", "http://www.example.org:8080/a", True),
        ("example.org:8080", "http://example.org/a", False),
        ("example.org:443", "https://example.org/a", True),
        ("10.0.0.0/8", "http://10.1.2.3/a", True),
        ("10.1.2.3/8", "http://10.9.9.9/a", True),
        ("10.0.0.0/8", "http://11.0.0.1/a", False),
        ("10.1.2.3", "http://10.1.2.3:8080/a", True),
        ("10.1.2.3:80", "http://10.1.2.3/a", True),
        ("10.1.2.3:80", "http://10.1.2.3:81/a", False),
        ("1.2.3", "http://10.1.2.3/a", False),
        ("::1", "http://[::1]/a", True),
        ("[::1]:81", "http://[::1]:81/a", True),
        ("fd00::/8", "http://[fd12::1]/a", True),
        ("fd00::/8", "http://10.0.0.1/a", False),
        ("10.0.0.0/8", "http://name/a", False),
        (".", "http://name/a", False),
        ("", "http://name/a", False),
    ],
)
def test_no_proxy_is_read_as_curl_and_requests_read_it(entry: str, url: str, direct: bool) -> None:
    proxies = Proxies(http=PROXY, https=PROXY, bypassed=["other.net", entry])
    assert (proxies(url) is None) is direct


def test_the_rules_are_gone_through_once_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    proxies = Proxies(http=PROXY, bypassed=["other.net"])
    (entry,) = proxies._bypassed
    fits = type(entry).fits
    monkeypatch.setattr(
        type(entry), "fits", lambda *given: (asked.append(given), fits(*given))[1], raising=True
    )
    first, *others = [proxies(f"http://h:81/{n}") for n in range(100)]
    assert all(each is first for each in others)
    assert len(asked) == 1


@pytest.mark.parametrize("wrong", ["socks5://p:1", "http://", "http://a b/", "ftp://p"])
def test_a_proxy_that_is_no_url_is_told_of_when_it_is_needed(wrong: str) -> None:
    proxies = Proxies(http=wrong, https=PROXY)
    assert proxies("https://h/a") is not None
    with pytest.raises(ConnectionFailedError, match="the proxy that is set cannot be used"):
        proxies("http://h/a?key=s3cret")
