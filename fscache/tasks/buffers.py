"""A record's buffers, read when they are asked for.

A full record tells how many there are and how long each is; their bytes are read from the log or from
their objects at each access, and not kept.
"""

from __future__ import annotations

from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, overload


class Buffers(Sequence[bytes]):
    """What stands under `buffers` and `result_buffers`: a sequence of bytes that cannot be changed.

    Equal to any sequence of equal bytes. Reading raises NoSuchTaskError where the record has been
    dropped and its bytes given back since, CorruptObjectError where they are damaged.
    """

    __slots__ = ("_load", "keeper", "named_by", "places", "sizes")

    def __init__(
        self,
        sizes: Sequence[int],
        load: Callable[[int], bytes],
        keeper: object = None,
        places: Sequence[tuple[str, int] | None] = (),
        named_by: str = "",
    ) -> None:
        """Stand for buffers.

        Args:
            sizes: Bytes of each.
            load: Returns the buffer of a number.
            keeper: Who has those of them that are objects; another record of the same keeper can
                name them without reading them.
            places: Address and slot of each that is an object.
            named_by: The id of the record whose they are.
        """
        self.sizes = tuple(sizes)
        self.keeper = keeper
        self.places = tuple(places)
        self.named_by = named_by
        self._load = load

    @property
    def nbytes(self) -> int:
        """The bytes of all."""
        return sum(self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> bytes: ...
        @overload
        def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        numbers = range(len(self.sizes))[index]
        if isinstance(numbers, range):
            return [self._load(number) for number in numbers]
        return self._load(numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str) or len(other) != len(self):
            return False
        if isinstance(other, Buffers) and other.sizes != self.sizes:
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __repr__(self) -> str:
        return f"<{len(self)} buffers of {self.nbytes} bytes>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffers:
        return self

    def __reduce__(self) -> tuple[type[list[bytes]], tuple[list[bytes]]]:
        return list, (list(self),)
