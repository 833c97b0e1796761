"""The entry point of `fscache`: arguments in, exit code out.

Promises: no traceback, whatever happens; Ctrl-C stops what is under way, keeps what has come and
exits with 130; a reader that closes the pipe ends the command without a word.
"""

from __future__ import annotations

import codecs
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` asks for, by default the process's arguments.

    Returns:
        The exit code; see `fscache.cli.exits`.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    _open_streams()
    codecs.register_error("fscache", _as_it_came)
    sys.stdout.reconfigure(errors="fscache")  # type: ignore[union-attr]
    try:
        try:
            code = _code_of(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except BaseException as exc:  # noqa: BLE001 - what was raised becomes an exit code
            from fscache.cli.failure import report

            code = report(exc, json="--json" in arguments)
    except BrokenPipeError:
        from fscache.cli.exits import PIPE_CLOSED

        code = PIPE_CLOSED
    finally:
        _settle_output()
    return code


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    """Print what the locale's encoding has no bytes for: one name must stop no list.

    Paths need not be valid in that encoding, and are printed as they are (as `surrogateescape` has
    it). What came from elsewhere, a key or a URL with letters that a terminal in ASCII lacks, is escaped.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    if 0xDC80 <= code <= 0xDCFF:
        return bytes([code - 0xDC00]), error.start + 1
    return error.object[error.start].encode("ascii", "backslashreplace"), error.start + 1


def _open_streams() -> None:
    """Open the standard streams that the process was started without (`>&-`).

    To read from the first or to write to the second is then an error, as it is in other programs;
    where errors cannot be told, the exit code still is.
    """
    for name, flags, mode in (
        ("stdin", os.O_WRONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _settle_output() -> None:
    """Write what is buffered; what cannot be written is dropped.

    The interpreter would try again at its end, complain on its own, and exit with 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _code_of(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except SystemExit as exc:  # argparse has printed help or the version
        return int(exc.code or 0)


def _run(arguments: list[str]) -> int:
    from fscache.cli.session import Session

    if len(arguments) == 2 and arguments[0] == "path" and arguments[1][0:1] != "-":
        # The call that scripts make for every file. It needs no argument parser, which alone costs
        # as much as starting Python (argparse 7.5 ms, python 9.5).
        from fscache.cli.path import show

        return show(Session(), arguments[1])

    from importlib import import_module

    from fscache.cli.arguments import module_of, parse

    parsed = parse(arguments)
    session = Session(root=getattr(parsed, "root", None), json=getattr(parsed, "json", False))
    try:
        code: int = import_module(module_of(parsed.command)).execute(session, parsed)
    finally:
        session.close()
    return code or session.failed
