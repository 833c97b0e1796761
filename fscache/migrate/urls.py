"""Lists of URLs that say what the files of a store stand for. Pure, but for reading the list.

# one a line, in any mixture
https://host/data.nc                                 the file named by a hash of it, or data.nc
0a1b2c….nc https://host/data.nc                      the file of this name
data.nc sha256:0a1b2c… https://host/data.nc          pooch's registry: name, checksum, URL
data.nc 0a1b2c…                                      the same without URL: it is base URL + name
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from fscache.errors import InvalidURLError
from fscache.objects.layout import is_hex
from fscache.urls.names import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Tools name a file by a hash of its URL; the length says which are possible.
_URL_HASHES = ("md5", "sha1", "sha224", "sha256", "sha512")
_CHECKSUM_LENGTHS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}


@dataclass(slots=True)
class Known:
    """What the list says of one file."""

    urls: list[str] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)


class URLList:
    """What a list of URLs says of names."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._by_name: dict[str, Known] = {}
        self._by_guess: dict[str, list[str]] = {}
        self._unused: dict[str, None] = {}

    @property
    def unused(self) -> list[str]:
        """The names, and the URLs without a name, of which no file has been asked about."""
        return list(self._unused)

    @classmethod
    def parse(cls, lines: Iterable[str], base_url: str = "") -> URLList:
        """Read a list.

        Raises:
            ValueError: a line cannot be understood; it says which.
        """
        found = cls()
        for number, line in enumerate(lines, 1):
            words = line.partition("#")[0].split() if line.startswith("#") else line.split()
            if not words:
                continue
            try:
                found._take(words, base_url)
            except (ValueError, InvalidURLError) as exc:
                raise ValueError(f"line {number}: {exc}") from exc
        return found

    def of(self, name: str) -> Known:
        """Return what is known of the file of this name, a path relative to the store."""
        known = self._by_name.get(name)
        if known is not None:
            self._unused.pop(name, None)
            return known
        last = name.rpartition("/")[2]
        # pooch: md5 of the URL, a dash, the last part of its path
        for guess in (name, name.replace("/", ""), last.partition("-")[0], last):
            urls = self._by_guess.get(guess)
            if urls is not None and len(urls) == 1:
                self._unused.pop(urls[0], None)
                return Known(list(urls))
        return Known()

    def _take(self, words: list[str], base_url: str) -> None:
        if len(words) > 3:
            raise ValueError("more than name, checksum and URL")
        first, *rest = words
        if not rest and "://" in first:
            self._guess(plain(first))
            return
        known = self._by_name.setdefault(first, Known())
        self._unused[first] = None
        url = next((word for word in rest if "://" in word), None)
        for word in rest:
            if word != url:
                known.expected.update((_checksum(word),))
        if url is None and base_url:
            url = base_url + first
        if url is not None:
            known.urls.append(plain(url))
        elif not known.expected:
            raise ValueError(f"no URL for {first}")

    def _guess(self, url: str) -> None:
        self._unused[url] = None
        encoded = url.encode("utf-8", "surrogateescape")
        names = {
            hashlib.new(each, encoded, usedforsecurity=False).hexdigest() for each in _URL_HASHES
        }
        last = unquote(urlsplit(url).path.rpartition("/")[2], errors="surrogateescape")
        for name in names | ({last} if last else set()):
            # Two URLs that end alike: neither is taken for the file.
            self._by_guess.setdefault(name, []).append(url)


def _checksum(text: str) -> tuple[str, str]:
    algorithm, colon, digits = text.rpartition(":")
    digits = digits.lower()
    if not colon:
        algorithm = _CHECKSUM_LENGTHS.get(len(digits), "")
    if not algorithm or not is_hex(digits):
        raise ValueError(f"not a checksum: {text[:80]}")
    return algorithm.lower(), digits
