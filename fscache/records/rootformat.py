"""FORMAT: the file that makes a directory a cache, and says how names and addresses are split in it.

    1
    objects 4+4+12
    entries 2+18
    left 2+18

`left` names splits that the objects had before and whose directories may still be there. What a later
version adds to format 1 is passed over; another format is refused by name.
"""

from __future__ import annotations

import os

from fscache.objects.layout import ENTRY_SPLIT, FORMAT_VERSION, OBJECT_SPLIT, Split
from fscache.records.entryfile import read_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DIRECTORIES = (
    "partial",  # first: through it, the others appear with their modes (fs.directories)
    "objects",
    "urls",
    "kv",
    "tasks",
    "journal",
    "pins",
    "locks",
    "quarantine",
)
_ALSO = frozenset({*DIRECTORIES, "CACHEDIR.TAG", "spool", "lost+found"})


class Format:
    """What FORMAT says."""

    __slots__ = ("entries", "left", "objects")

    def __init__(
        self,
        objects: Split = OBJECT_SPLIT,
        entries: Split = ENTRY_SPLIT,
        left: Iterable[Split] = (),
    ) -> None:
        """Describe a root's splits: of addresses, of names' hashes, and those of objects before."""
        self.objects = objects
        self.entries = entries
        self.left = tuple(left)

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        text = f"{FORMAT_VERSION}\nobjects {self.objects}\nentries {self.entries}\n"
        names = sorted(map(str, self.left))
        if names:
            text += f"left {' '.join(names)}\n"
        return text.encode("ascii")


def read_format(path: str) -> Format | None:
    """Return what the FORMAT of the root at `path` says, None where a root may be made.

    Raises:
        FormatError: it is of a newer format, or cannot be read.
        NotACacheError: it is no directory, or one with other things in it.
        OSError: the system does not let us look.
    """
    try:
        text = read_small(f"{path}/FORMAT").decode("ascii", "replace")
    except FileNotFoundError:
        # Somebody may make the root between the two looks: then it has a FORMAT by now.
        return read_format(path) if _is_made_meanwhile(path) else None
    except NotADirectoryError:
        from fscache.errors import NotACacheError

        raise NotACacheError(path=path, why="not a directory") from None
    # Nearly every root says this, and a hit waits for it.
    return Format() if text == "1\nobjects 4+4+12\nentries 2+18\n" else _parsed(text, path)


def _parsed(text: str, path: str) -> Format:
    from fscache.errors import FormatError

    version, *lines = text.splitlines() or [""]
    if version.isdigit() and len(version) < 10 and int(version) > FORMAT_VERSION:
        why = f"format {version} is newer than this program's ({FORMAT_VERSION})"
        raise FormatError(path=path, why=why)
    if version != str(FORMAT_VERSION):
        lines = []  # whatever they say, it is not for us
    try:
        splits = dict(line.split(" ", 1) for line in lines)
        left = map(Split.parse, splits.get("left", "").split())
        return Format(Split.parse(splits["objects"]), Split.parse(splits["entries"]), left)
    except (ValueError, KeyError):
        raise FormatError(path=path, why="FORMAT cannot be read") from None


def _is_made_meanwhile(path: str) -> bool:
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        return False
    if "FORMAT" in names:
        return True
    if names - _ALSO:
        from fscache.errors import NotACacheError

        why = "the directory has no FORMAT and is not empty; it is not used as a cache"
        raise NotACacheError(path=path, why=why)
    return False


def refuse_dangling(path: str) -> None:
    """Raise RootError where a root to be made lies behind a link to what is not there.

    The link's target is not made: most likely its file system is not mounted.
    """
    link = path
    while not os.path.lexists(link) and os.path.dirname(link) != link:
        link = os.path.dirname(link)
    try:
        os.stat(link or ".")
    except FileNotFoundError:
        from fscache.errors import RootError

        why = f"a link to {os.readlink(link)}, which is not there"
        raise RootError(path=link, why=why) from None
