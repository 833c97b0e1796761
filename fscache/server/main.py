"""`fscache-stager`: the command line of the daemon."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from typing import TYPE_CHECKING

from fscache import __version__
from fscache.config.systemd import SystemdVariables
from fscache.errors import FscacheError
from fscache.server import life, notify
from fscache.server.limits import Limits
from fscache.server.service import Server, load_config
from fscache.server.settings import Settings
from fscache.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.cache import Cache
    from fscache.config import Config
    from fscache.server.queries import Run

_CREDENTIAL = "fscache-tokens"  # the name under which systemd hands us a token file


def run(
    arguments: Sequence[str] | None = None, *, queries: Callable[[Cache], Run] | None = None
) -> int:
    """Serve until told to stop; return the exit code: 0 after a stop, 2 for bad settings.

    Args:
        arguments: Of the command line.
        queries: Makes what runs SQL queries on the server's cache; none are answered without.
    """
    options = parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    life.hold_signals()
    variables = SystemdVariables()
    try:
        settled = _config(options)
        server = Server(
            settled,
            _settings(options, settled),
            sock=notify.inherited_socket(variables),
            run=queries,
        )
    except FscacheError as exc:
        sys.stderr.write(f"fscache-stager: {exc}\n")
        return 2
    # A batch of requests is a million small objects, hardly any of them a cycle. With Python's own
    # thresholds looking for those took a tenth of the time in which 5,000 files are staged.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    server.start()
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    life.live(server, variables, lambda: _config(options))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="fscache-stager", description="Serve one cache to the nodes of a cluster."
    )
    add = made.add_argument
    add("--root", metavar="DIR", help="the cache's directory (default: as configured)")
    add("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    add("--port", type=int, default=8077, help="0 picks a free one (default: 8077)")
    add("--token-file", metavar="F", help="the tokens; made if missing (default: ROOT/tokens)")
    add("--anonymous", choices=["kv"], help="answer the metastore's calls without a token")
    add("--allow-private", action="store_true", default=None, help="fetch from private addresses")
    add("--tls-cert", metavar="F", help="speak TLS with this certificate")
    add("--tls-key", metavar="F", help="its key, if it is not in the same file")
    add("--workers", type=int, metavar="N", help="threads that fetch (default: as configured)")
    add(
        "--rate",
        type=_rate,
        metavar="N",
        help="requests per second of one client, on average (default: any number)",
    )
    add(
        "--max-upload",
        type=_size,
        metavar="SIZE",
        help="the largest object a client may put, such as 10GiB (default: what there is room for)",
    )
    add(
        "--scan-interval",
        type=_seconds,
        default=5.0,
        metavar="T",
        help="between looks at the spool, such as 5s or 1m (default: 5s)",
    )
    add("--no-watch", action="store_true", help="scan the spool only, do not watch it")
    add("--version", action="version", version=f"fscache {__version__}")
    return made


def _config(options: argparse.Namespace) -> Config:
    return load_config(options.root, options.workers, allow_private=options.allow_private)


def _settings(options: argparse.Namespace, settled: Config) -> Settings:
    token_file = options.token_file
    handed = f"{settled.credentials_directory}/{_CREDENTIAL}"
    is_handed = token_file is None and os.path.exists(handed)
    return Settings(
        host=options.host,
        port=options.port,
        token_file=handed if is_handed else token_file,
        token_handed=is_handed,
        anonymous_kv=options.anonymous == "kv",
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        limits=Limits(rate=options.rate, upload=options.max_upload),
        watch=not options.no_watch,
        scan_interval=options.scan_interval,
    )


def _parsed(parse: Callable[[str], float | int]) -> Callable[[str], float | int]:
    def parsed(text: str) -> float | int:
        try:
            return parse(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return parsed


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"not a number above 0: {text!r}")
    return number


def _pause(text: str) -> float:
    seconds = parse_duration(text)
    if not seconds:
        raise ValueError("a pause of nothing would keep a processor busy")
    return seconds


_rate = _parsed(_positive)
_size = _parsed(parse_size)
_seconds = _parsed(_pause)


if __name__ == "__main__":
    sys.exit(run())
