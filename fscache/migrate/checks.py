"""Checksums that other stores name their files by."""

from __future__ import annotations

import hashlib
import os

from fscache.objects.digest import address_of, new_hasher
from fscache.objects.verify import hash_file
from stager.checks import hasher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.objects.digest import Hasher

GIT = "git"
ADDRESS = "address"

# By the number of hex digits: what a name of that length may be.
MATCHING = {
    20: (ADDRESS,),
    32: ("md5", "xxh3_128"),
    40: ("sha1", GIT),
    56: ("sha224",),
    64: ("sha256", "blake2s", "sha3_256"),
    96: ("sha384",),
    128: ("sha512", "blake2b", "sha3_512"),
}


class _Address:
    """A digest of which only the address is told."""

    def __init__(self) -> None:
        self._hasher = new_hasher()
        self.update = self._hasher.update

    def hexdigest(self) -> str:
        return address_of(self._hasher.hexdigest())


def checker(algorithm: str, size: int) -> Hasher:
    """Return an empty running checksum of a file of `size` bytes.

    Raises:
        ValueError: no such algorithm here.
    """
    if algorithm == GIT:
        running = hashlib.sha1(usedforsecurity=False)
        running.update(b"blob %d\0" % size)
        return running
    if algorithm == ADDRESS:
        return _Address()
    return hasher(algorithm)


def matching(path: str, digits: str) -> str | None:
    """Return the algorithm by which a file is named, None if by none of those known."""
    try:
        size = os.stat(path).st_size
        running = {each: checker(each, size) for each in MATCHING[len(digits)]}
        hash_file(path, new_hasher, running.values())
    except OSError:
        return None
    return next((each for each, run in running.items() if run.hexdigest() == digits), None)
