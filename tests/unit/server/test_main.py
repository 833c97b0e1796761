"""What the command line takes, and what it refuses before anything is served."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fscache.errors import ConfigError
from fscache.server.main import parser
from fscache.server.settings import Settings
from fscache.server.tls import Certificate
from tests.support.origin import certificate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--rate", "0"], ["--rate", "nan"], ["--rate", "-1"], ["--rate", "many"]),
        *(["--scan-interval", "0"], ["--scan-interval", "soon"], ["--max-upload", "big"]),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_says_units_and_defaults() -> None:
    text = " ".join(parser().format_help().split())
    for words in (
        "(default: 5s)",
        "such as 10GiB",
        "(default: any number)",
        "(default: 127.0.0.1)",
    ):
        assert words in text


def test_a_key_without_a_certificate_is_no_plain_server() -> None:
    with pytest.raises(ConfigError, match="no certificate"):
        Certificate(Settings(tls_key="key.pem"))


def test_what_is_no_certificate_with_its_key_is_named(tmp_path: Path) -> None:
    cert, key = certificate(str(tmp_path))
    locked = str(tmp_path / "locked.pem")
    command = ["openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:abc", "-out", locked]
    subprocess.run(command, check=True)
    for given, why in (
        ((cert, None), "a certificate and its key"),
        ((cert, cert), "a certificate and its key"),
        ((key, key), "a certificate and its key"),
        ((cert, locked), "unencrypted"),  # nobody is asked for its password
        ((cert, str(tmp_path / "none")), "none: No such file"),
        ((str(tmp_path / "none"), key), "none: No such file"),
    ):
        with pytest.raises(ConfigError, match=why):
            Certificate(Settings(tls_cert=given[0], tls_key=given[1]))
