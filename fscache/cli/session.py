"""What a command is given: settings, the cache, and a way to print results.

A result goes to standard output, as text or, with `--json`, as one JSON object on one line. Errors
go to standard error in the same two forms (`fscache.cli.main`), so results can be piped.
"""

from __future__ import annotations

import sys

from fscache import config as configuration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.cache import Cache
    from fscache.config import Config


class Session:
    """One call of the command line."""

    def __init__(self, *, root: str | None = None, json: bool = False) -> None:
        self.json = json
        self._root = root
        self._config: Config | None = None
        self._cache: Cache | None = None
        self._server: Cache | None = None
        self.failed = 0
        """Exit code of the first error that was reported while others went on; 0 without one."""

    @property
    def config(self) -> Config:
        """The settings.

        Raises:
            ConfigError: one of them cannot be used.
        """
        if self._config is None:
            self._config = configuration.load(arguments={"root": self._root})
        return self._config

    @property
    def cache(self) -> Cache:
        """The cache; opened when first asked for.

        Raises:
            RootError: the root cannot be used.
        """
        if self._cache is None:
            from fscache.cache import Cache

            self._cache = Cache(config=self.config)
        return self._cache

    @property
    def shared(self) -> Cache:
        """The cache of the configured server, this machine's with `--root`; all but administration."""
        if self.config.server is None or self._root is not None:
            return self.cache
        if self._server is None:
            from fscache.remote.cache import RemoteCache

            self._server = RemoteCache(config=self.config)
        return self._server

    def emit(self, text: str, fields: dict[str, object]) -> None:
        """Print one result: `text`, or `fields` with `--json`."""
        if self.json:
            from json import dumps

            text = dumps(fields)
        sys.stdout.write(f"{text}\n")

    def fail(self, error: BaseException, asked: str = "") -> None:
        """Report an error of one among several, of the URL that was asked for, and go on."""
        from fscache.cli.failure import report

        code = report(error, json=self.json, asked=asked)
        self.failed = self.failed or code

    def close(self) -> None:
        """Stop what is under way; what has come so far is kept."""
        for opened in (self._cache, self._server):
            if opened is not None:
                opened.close()
