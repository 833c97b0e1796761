"""Where things lie under a root. Pure: nothing here touches the disk.

An object lies at `objects/abcd/ef01/23456789abcd`: its address split 4+4+12. Where two objects have
one address, the second lies in the next *slot*: `…23456789abcd-1`. Entries lie at
`urls/ab/cdef0123456789abcdef`: the hash of their name split 2+18, slots likewise.

The splits are a property of the root, written in its FORMAT file; 4+4+12 and 2+18 are the defaults.
What a split costs is measured in docs/format.md.
"""

from __future__ import annotations

from fscache.objects.digest import ADDRESS_DIGITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Pattern

FORMAT_VERSION = 1
MAX_SLOTS = 64
_HEX = frozenset("0123456789abcdef")


class Split:
    """How 20 hex digits become a path: the lengths of its parts."""

    __slots__ = ("_form", "cuts", "parts")

    def __init__(self, *parts: int) -> None:
        """Split into parts of these lengths, the last one the file's name."""
        if sum(parts) != ADDRESS_DIGITS or min(parts) < 1:
            raise ValueError(f"a split has positive parts that add up to {ADDRESS_DIGITS}")
        self.parts = parts
        self._form: Pattern[str] | None = None
        ends = [sum(parts[: index + 1]) for index in range(len(parts))]
        self.cuts = tuple(slice(end - part, end) for end, part in zip(ends, parts, strict=True))

    def __str__(self) -> str:
        return "+".join(map(str, self.parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Split) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    @classmethod
    def parse(cls, text: str) -> Split:
        """Read `4+4+12`; raises ValueError."""
        return cls(*map(int, text.split("+")))

    def relative(self, address: str, slot: int = 0) -> str:
        """Return the path of an address below its top directory."""
        if len(self.cuts) == 2:  # as entries have it: half a microsecond less in every get
            path = f"{address[self.cuts[0]]}/{address[self.cuts[1]]}"
        else:
            path = "/".join([address[cut] for cut in self.cuts])
        return f"{path}-{slot}" if slot else path

    def address(self, relative: str) -> tuple[str, int] | None:
        """Return the address and slot of a path below the top directory; None if it is neither."""
        if self._form is None:
            import re  # only walks come here, for every file: 1 µs instead of 4

            pieces = "/".join(f"[0-9a-f]{{{part}}}" for part in self.parts)
            self._form = re.compile(f"({pieces})(?:-([1-9][0-9]?))?", re.ASCII)
        found = self._form.fullmatch(relative)
        if found is None:
            return None
        return found[1].replace("/", ""), int(found[2] or 0)


OBJECT_SPLIT = Split(4, 4, 12)
ENTRY_SPLIT = Split(2, 18)


def is_hex(text: str) -> bool:
    """Whether `text` is lower-case hex digits only."""
    return bool(text) and _HEX.issuperset(text)


def parse_address(text: str) -> tuple[str, int]:
    """Read an address as users write it, `20 hex digits` or `20 hex digits-slot`.

    Raises:
        InvalidAddressError: it is neither; nothing else ever reaches a path.
    """
    stem, dash, slot = text.partition("-")
    number = 0
    good = len(stem) == ADDRESS_DIGITS and is_hex(stem)
    if dash:
        good = good and slot.isascii() and slot.isdigit() and slot[0] != "0" and len(slot) <= 2
        number = int(slot) if good else 0
    if not good:
        from fscache.errors import InvalidAddressError

        raise InvalidAddressError(text=text[:80])
    return stem, number


def format_address(address: str, slot: int) -> str:
    """Return an address as users write it."""
    return f"{address}-{slot}" if slot else address
