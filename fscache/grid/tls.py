"""Certificates: whoever holds a grid's key pair is trusted by it, and nobody else.

A grid has one authority of its own. Head, workers and clients show a certificate that it has signed and
accept no other, both ways. Host names are not checked: membership is the key, not the address, since
nodes come and go under batch systems. Keys are files of mode 0600 in a directory of mode 0700; an
embedded cluster's are made anew each time and never touch the disk.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from fscache.errors import InsecureGridError
from fscache.fs.atomic import write_all

CA_FILE, CA_KEY_FILE, CERT_FILE, KEY_FILE = "ca.pem", "ca-key.pem", "cert.pem", "key.pem"
_DAYS = 3650
_BACKDATED = timedelta(days=1)  # nodes whose clock is behind must not refuse it


class KeyPair(NamedTuple):
    """What a member of the grid needs, as PEM text."""

    ca: str
    cert: str
    key: str


def temporary() -> KeyPair:
    """Make an authority and one key pair that live as long as somebody keeps them."""
    pair, _ca_key = _make("fscache embedded grid")
    return pair


def create(directory: str, name: str) -> list[str]:
    """Make an authority and a key pair in `directory`; return the files' names.

    Raises:
        FileExistsError: there is one already; making another would lock its members out.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    pair, ca_key = _make(name)
    files = {CA_FILE: pair.ca, CA_KEY_FILE: ca_key, CERT_FILE: pair.cert, KEY_FILE: pair.key}
    for file in files:
        if os.path.lexists(f"{directory}/{file}"):
            raise FileExistsError(17, "there are certificates already", f"{directory}/{file}")
    for file, text in files.items():
        fd = os.open(f"{directory}/{file}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write_all(fd, text.encode("ascii"))
        finally:
            os.close(fd)
    return list(files)


def load(directory: str) -> KeyPair:
    """Read a key pair.

    Raises:
        InsecureGridError: there is none, or others may read its key.
    """
    texts = []
    for file in (CA_FILE, CERT_FILE, KEY_FILE):
        path = f"{directory}/{file}"
        try:
            with open(path, encoding="ascii") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                texts.append(opened.read())
        except (OSError, UnicodeDecodeError) as exc:
            why = getattr(exc, "strerror", None) or "not a certificate"
            raise InsecureGridError(f"{path}: {why}; `fscache workers init` makes one") from exc
        if file == KEY_FILE and mode & 0o077:
            raise InsecureGridError(f"{path} may be read by others; chmod 600 it")
    return KeyPair(*texts)


def _make(name: str) -> tuple[KeyPair, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    now = datetime.now(UTC)

    def certificate(
        subject: str,
        public: ec.EllipticCurvePublicKey,
        issuer: x509.Name,
        signer: ec.EllipticCurvePrivateKey,
        *,
        authority: bool,
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=_DAYS))
            .add_extension(
                x509.BasicConstraints(ca=authority, path_length=0 if authority else None),
                critical=True,
            )
            .sign(signer, hashes.SHA256())
        )

    def _name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text[:64])])

    def private(key: ec.EllipticCurvePrivateKey) -> str:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem.decode("ascii")

    # P-256: a key pair in 0.1 ms, where RSA takes 100
    ca_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name(f"{name} authority")
    ca = certificate(f"{name} authority", ca_key.public_key(), issuer, ca_key, authority=True)
    key = ec.generate_private_key(ec.SECP256R1())
    cert = certificate(name, key.public_key(), issuer, ca_key, authority=False)
    pair = KeyPair(
        ca.public_bytes(Encoding.PEM).decode("ascii"),
        cert.public_bytes(Encoding.PEM).decode("ascii"),
        private(key),
    )
    return pair, private(ca_key)
