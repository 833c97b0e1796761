from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import pytest

from fscache.errors import InsecureGridError
from fscache.grid import tls

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    files = tls.create(str(tmp_path / "tls"), "lab")
    assert sorted(os.listdir(tmp_path / "tls")) == sorted(files)
    for file in files:
        assert os.stat(tmp_path / "tls" / file).st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "tls").st_mode & 0o777 == 0o700


def test_a_second_init_does_not_lock_the_members_out(tmp_path: Path) -> None:
    tls.create(str(tmp_path), "lab")
    before = tls.load(str(tmp_path))
    with pytest.raises(FileExistsError):
        tls.create(str(tmp_path), "lab")
    assert tls.load(str(tmp_path)) == before


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    tls.create(str(tmp_path), "lab")
    os.chmod(tmp_path / tls.KEY_FILE, 0o640)
    with pytest.raises(InsecureGridError, match="chmod 600"):
        tls.load(str(tmp_path))


def test_a_missing_certificate_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InsecureGridError, match="workers init"):
        tls.load(str(tmp_path))


def test_the_certificate_is_one_of_the_authority(tmp_path: Path) -> None:
    tls.create(str(tmp_path), "lab")
    context = ssl.create_default_context(cafile=str(tmp_path / tls.CA_FILE))
    context.load_cert_chain(tmp_path / tls.CERT_FILE, tmp_path / tls.KEY_FILE)
    from cryptography import x509

    pair = tls.load(str(tmp_path))
    ca, cert = (x509.load_pem_x509_certificate(text.encode()) for text in (pair.ca, pair.cert))
    cert.verify_directly_issued_by(ca)
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
