"""A pseudo-terminal, and what stands on its screen."""

from __future__ import annotations

import os
import pty
import re
import termios

_TOKEN = re.compile(r"\x1b\[(\d*)([FJK])|[^\x1b]", re.DOTALL)


class Terminal:
    """A terminal of a chosen size. It knows the few controls that our progress uses, and no others."""

    def __init__(self, width: int, height: int) -> None:
        self._reader, writer = pty.openpty()
        os.set_blocking(self._reader, False)
        attributes = termios.tcgetattr(writer)
        attributes[1] &= ~termios.OPOST  # a newline stays one
        termios.tcsetattr(writer, termios.TCSANOW, attributes)
        self.stream = os.fdopen(writer, "w", encoding="utf-8")
        self._written = b""
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        self.width = width
        termios.tcsetwinsize(self.stream.fileno(), (height, width))

    def read(self) -> str:
        """Return everything that has been written so far."""
        try:
            while chunk := os.read(self._reader, 65536):
                self._written += chunk
        except BlockingIOError:
            pass
        return self._written.decode(errors="ignore")

    def screen(self) -> list[str]:
        """Return the lines that stand on the screen now."""
        rows, row, column = [""], 0, 0
        for token in _TOKEN.finditer(self.read()):
            count, control = token[1], token[2]
            if control == "F":
                row, column = max(0, row - int(count or 1)), 0
            elif control == "J":
                del rows[row + 1 :]
                rows[row] = rows[row][:column]
            elif control == "K":
                rows[row] = rows[row][:column]
            elif token[0] == "\n" or column == self.width:
                row, column = row + 1, 0
                if row == len(rows):
                    rows.append("")
            if control is None and token[0] != "\n":
                rows[row] = rows[row][:column] + token[0] + rows[row][column + 1 :]
                column += 1
        return rows[:-1] if not rows[-1] else rows

    def close(self) -> None:
        self.stream.close()
        os.close(self._reader)
