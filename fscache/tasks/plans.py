"""What the keys of a record make of its frame: which go into columns, which into the JSON. Pure.

Controllers write records with the same keys again and again, so it is made out once for each list of
keys. Looking at key after key in every record, and at which shape they have, made a task's life take 8 %
longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter

from fscache.tasks.model import BUFFERS, DATES, FIELDS, INTS, TEXTS
from fscache.tasks.shapes import shape_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

BITS = {field: 1 << bit for bit, field in enumerate(FIELDS)}
OTHER_FIELDS = 1 << 31
"""The bit for keys that are not in FIELDS."""
_COLUMNS = frozenset(("msg_id", *DATES, *TEXTS))
_MOST = 256
"""Plans that are kept; a controller's work needs about ten."""


@dataclass(slots=True)
class Plan:
    """What is to be done with a record that says these keys.

    Attributes:
        fields: A bit for each key.
        number_mask: A bit for each that is in `INTS`, by position.
        dates: Those that hold dates, in the order of `INTS`, with their bits.
        buffers: The bits of those that hold buffers, so too, and where they are in a folded body.
        text_mask: A bit for each that is in `TEXTS`, by position.
        texts: Those, with their bits and positions.
        body: Those that the JSON has.
        plain: Those of them that hold no buffers, with their bits.
        pick: Gives their values.
        number: That of the body they are folded as, 0 where none is known.
        spots: Where in it mappings may be folded, None where none is known.
    """

    fields: int
    number_mask: int
    dates: list[tuple[str, int]]
    buffers: list[tuple[int, int]]
    text_mask: int
    texts: list[tuple[str, int, int]]
    body: tuple[str, ...]
    plain: list[tuple[str, int]]
    pick: Callable[[Mapping[str, Any]], Iterable[Any]]
    number: int
    spots: list[int] | None


class _Plans(dict[tuple[str, ...], Plan]):
    """By the keys of a record: what is known is looked up without a call of ours."""

    def __missing__(self, keys: tuple[str, ...]) -> Plan:
        plan = _make(keys)
        # Others' own keys may be different in each record; and 1 is another key in JSON than True.
        if not plan.fields & OTHER_FIELDS:
            if len(self) >= _MOST:
                self.clear()
            self[keys] = plan
        return plan


PLANS = _Plans()
"""What is to be done with a record, by its keys."""


def _make(keys: tuple[str, ...]) -> Plan:
    bits = {key: BITS.get(key, OTHER_FIELDS) for key in keys}
    body = tuple(key for key in keys if key not in _COLUMNS)
    fields = number_mask = text_mask = 0
    for bit in bits.values():
        fields |= bit
    for position, key in enumerate(INTS):
        number_mask |= (key in bits) << position
    for position, key in enumerate(TEXTS):
        text_mask |= (key in bits) << position
    return Plan(
        fields,
        number_mask,
        [(key, bits[key]) for key in DATES if key in bits],
        [(bits[key], body.index(key) + 1) for key in BUFFERS if key in bits],
        text_mask,
        [(key, bits[key], at) for at, key in enumerate(TEXTS) if key in bits],
        body,
        [(key, bits[key]) for key in body if key not in BUFFERS],
        itemgetter(*body) if len(body) > 1 else lambda record: [record[key] for key in body],
        *shape_of(body),
    )
