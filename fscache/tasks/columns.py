"""Columns of texts: each distinct text once, a code for every row. In memory."""

from __future__ import annotations

from array import array

from fscache.tasks.frames import ELSEWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NONE_CODE, ELSEWHERE_CODE = 0, 1
"""Codes for None, and for a value that is no text or a very long one: the record's JSON has it."""


class TextColumn:
    """One column."""

    __slots__ = ("_codes_of", "code_of", "codes", "has_elsewhere", "texts")

    def __init__(self) -> None:
        self.codes = array("I")
        self.texts: list[str] = ["", ""]  # by code; the first two stand for no text
        self._know({None: NONE_CODE})
        self.has_elsewhere = False
        """Whether any row's value is not known here."""

    def assign(self, row: int, value: str | int | None) -> None:
        """Set a row's value: a text, None or ELSEWHERE."""
        code = self.code_of(value)
        if code is None:
            if value == ELSEWHERE:
                self.has_elsewhere = True
                code = ELSEWHERE_CODE
            else:
                code = len(self.texts)
                self.texts.append(str(value))
                self._codes_of[value] = code
        self.codes[row] = code

    def get(self, row: int) -> str | None:
        """Return a row's value; for ELSEWHERE it is not known here."""
        code = self.codes[row]
        return None if code <= ELSEWHERE_CODE else self.texts[code]

    def codes_where(self, accepts: Callable[[object], bool]) -> set[int]:
        """Return the codes of the values that a test accepts."""
        found = {
            code for code, text in enumerate(self.texts) if code > ELSEWHERE_CODE and accepts(text)
        }
        if accepts(None):
            found.add(NONE_CODE)
        return found

    def codes_of(self, values: Iterable[object]) -> set[int]:
        """Return the codes of values; those that no row has ever had have none."""
        found = set()
        for value in values:
            if value is None or isinstance(value, str):
                code = self.code_of(value)
                if code is not None:
                    found.add(code)
        return found

    def restore(self, codes: array[int], texts: list[str]) -> None:
        """Take what a snapshot kept: `codes` and `texts` as they were."""
        self.codes = codes
        self.has_elsewhere = ELSEWHERE_CODE in codes
        self.texts = texts
        self._know({None: NONE_CODE})
        for code in range(ELSEWHERE_CODE + 1, len(texts)):
            self._codes_of[texts[code]] = code

    def _know(self, codes_of: dict[str | int | None, int]) -> None:
        self._codes_of = codes_of
        self.code_of = codes_of.get
        """Gives a value's code; None for one that no row has had, and for ELSEWHERE."""
