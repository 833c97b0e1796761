"""`fscache get`: the paths of URLs, fetched if they are not here.

Paths are printed in the order of the arguments once all have ended; what failed is reported on
standard error, and the others go on. Where everything is here, nothing is imported that fetching
needs.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session
    from fscache.urls.resolver import Source
    from stager.request import FetchRequest

    # Text and not paths: isinstance() of a path that a hit has handed out imports pathlib.
    Outcome = tuple[str, BaseException | None]

_COMMAND = "fscache get"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("urls", metavar="URL", nargs="+")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE|DIR",
        help="copy to FILE, or into the existing directory DIR, and print the copies' paths; "
        "- writes the bytes to standard output",
    )
    parser.add_argument(
        "--checksum", metavar="ALGORITHM:HEX", help="that the bytes must have (one URL only)"
    )
    parser.add_argument(
        "--mirror",
        metavar="URL",
        action="append",
        default=[],
        help="where else the same bytes are (one URL only; may be repeated)",
    )
    parser.add_argument(
        "--max-age",
        metavar="TIME",
        help="ask the server whether the file has changed, if nobody has for this long (1h, 7d)",
    )
    parser.add_argument(
        "--revalidate", action="store_true", help="ask the server whether the file has changed"
    )
    parser.add_argument("--offline", action="store_true", help="never touch the network")
    parser.add_argument(
        "--verify", action="store_true", help="hash the bytes again, even if they are trusted"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    max_age = _max_age(arguments)
    targets = _targets(arguments)
    outcomes = _outcomes(session, arguments, max_age)
    for url, target, (path, error) in zip(arguments.urls, targets, outcomes, strict=True):
        if error is not None:
            session.fail(error, url)
            continue
        fields: dict[str, object] = {"url": url, "path": path, "size": os.stat(path).st_size}
        if target is not None:
            from fscache.cli.outputs import STDOUT, copy

            try:
                copy(path, target)
            except BrokenPipeError:  # the end, and none that is told
                raise
            except OSError as exc:
                session.fail(exc)
                continue
            if target == STDOUT:
                continue
            fields["output"] = target
        session.emit(target or path, fields)
    return 0


def _max_age(arguments: Namespace) -> float | None:
    """Check the arguments that argparse cannot, and return the age in seconds."""
    from fscache.units import parse_duration

    why = ""
    if len(arguments.urls) > 1 and (arguments.checksum or arguments.mirror):
        why = "--checksum and --mirror go with one URL"
    elif arguments.max_age is not None:
        try:
            return parse_duration(arguments.max_age)
        except ValueError as exc:
            why = f"--max-age: {exc}"
    if why:
        from fscache.cli.exits import UsageError

        raise UsageError(_COMMAND, why)
    return None


def _targets(arguments: Namespace) -> list[str | None]:
    """Return where each URL's copy goes."""
    if arguments.output is None:
        return [None] * len(arguments.urls)
    from fscache.cli.exits import UsageError
    from fscache.cli.outputs import place

    is_directory = os.path.isdir(arguments.output)
    try:
        return [*place(arguments.urls, arguments.output, is_directory=is_directory)]
    except ValueError as exc:
        raise UsageError(_COMMAND, str(exc)) from None


def _outcomes(session: Session, arguments: Namespace, max_age: float | None) -> list[Outcome]:
    """Return the path or the error of each URL, once all have ended."""
    sources: list[Source] = [[url, *arguments.mirror] for url in arguments.urls]
    must_ask = arguments.revalidate or max_age is not None
    found = [None if must_ask else _here(session, arguments, source) for source in sources]
    missing = [source for source, outcome in zip(sources, found, strict=True) if outcome is None]
    if not missing:
        return [outcome for outcome in found if outcome is not None]
    requests = session.shared.prefetch(
        missing,
        checksum=arguments.checksum,
        max_age=max_age,
        revalidate=arguments.revalidate,
        offline=arguments.offline or None,
        verify=arguments.verify,
    )
    try:
        if not arguments.quiet and not session.json:
            from fscache.urls.progress import follow

            follow(requests)
        fetched = iter([_ended(request) for request in requests])
    except BaseException:
        for request in requests:
            request.cancel()
        raise
    return [outcome if outcome is not None else next(fetched) for outcome in found]


def _ended(request: FetchRequest) -> Outcome:
    error = request.exception()
    return ("", error) if error is not None else (os.fspath(request.result()), None)


def _here(session: Session, arguments: Namespace, source: Source) -> Outcome | None:
    """Return the path of what is here, None if it is not, or what is wrong with the question."""
    try:
        found = session.shared.get(
            source, checksum=arguments.checksum, verify=arguments.verify, offline=True
        )
    except Exception as exc:
        from fscache.errors import FscacheError, OfflineError

        if isinstance(exc, OfflineError):
            return None
        if isinstance(exc, FscacheError):
            return "", exc
        raise
    return os.fspath(found), None
