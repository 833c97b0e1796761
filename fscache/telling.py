"""Telling people what must not stop the work: messages to the log `fscache`, lines to a terminal.

`logging` is imported with the first message: a process that has nothing to say does without it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def warn(message: str, *values: object) -> None:
    """Log a warning, `values` put in for its `%s`."""
    import logging

    logging.getLogger("fscache").warning(message, *values)


def inform(message: str, *values: object) -> None:
    """Log what is worth knowing and no reason to worry, as `warn` does."""
    import logging

    logging.getLogger("fscache").info(message, *values)


def tell(stream: TextIO, text: str) -> None:
    """Write at once; that a disk is full, or a terminal gone, is no reason to give up.

    Raises:
        BrokenPipeError: whoever reads has had enough.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError:
        pass
