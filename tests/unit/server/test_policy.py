import pytest

from fscache import config, errors
from fscache.server.policy import TargetPolicy, policy_of

PUBLIC = ["93.184.216.34", "2606:2800:220:1::1"]
REFUSED = [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "fec0::1",
    "5f00::1",
    "64:ff9b:1::7f00:1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "168.63.129.16",
    "not an address",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_fetched_from(address: str) -> None:
    TargetPolicy().check_address(address)


@pytest.mark.parametrize("address", REFUSED)
def test_whatever_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(errors.TargetRefusedError):
        TargetPolicy().check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "fd00::1", "::ffff:10.0.0.1"])
def test_private_addresses_can_be_allowed(address: str) -> None:
    TargetPolicy(allow_private=True).check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254", "224.0.0.1"),
        *("64:ff9b:1::a9fe:a9fe", "::ffff:0:169.254.169.254", "::169.254.169.254"),
        *("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    ],
)
def test_allowing_private_addresses_opens_neither_link_local_nor_multicast(address: str) -> None:
    with pytest.raises(errors.TargetRefusedError):
        TargetPolicy(allow_private=True).check_address(address)


def test_a_named_network_is_open_whatever_it_is() -> None:
    given = config.load({}, {"allow_networks": "169.254.10.0/24 10.1.0.0/16"}, "/nonexistent")
    policy = policy_of(given)
    policy.check_address("169.254.10.9")
    policy.check_address("10.1.2.3")
    with pytest.raises(errors.TargetRefusedError):
        policy.check_address("10.2.0.1")


def test_a_network_that_is_none_is_a_bad_setting() -> None:
    given = config.load({}, {"allow_networks": "10.0.0.0/99"}, "/nonexistent")
    with pytest.raises(errors.ConfigError):
        policy_of(given)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://h/",
        "http://127.0.0.1/",
        "http://[::1]:8077/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
    ],
)
def test_urls_are_refused_by_scheme_and_literal_address(url: str) -> None:
    with pytest.raises((errors.TargetRefusedError, errors.InvalidURLError)):
        TargetPolicy().check_url(url)


def test_host_lists_are_patterns_and_deny_wins() -> None:
    policy = TargetPolicy(allow_hosts=("*.org",), deny_hosts=("bad.*",))
    policy.check_url("https://data.example.org/x")
    for url in ("https://example.com/", "https://bad.example.org/", "https://bad.example.org./"):
        with pytest.raises(errors.TargetRefusedError):
            policy.check_url(url)
