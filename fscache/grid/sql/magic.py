"""`%%fsql` in Jupyter and IPython: a cell of SQL, with a bar while it runs.

    %load_ext fscache.grid.sql.magic
    %fsql --grid grid                      from here on, queries go to this variable, or to an address

    %%fsql -o bright
    SELECT kind, count(*) FROM sky WHERE flux > shared.least GROUP BY kind

`shared.NAME` is the notebook's variable of that name. The result is shown, and with `-o` kept in a
variable instead. Interrupting the kernel cancels the query.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from fscache.errors import SQLError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.grid.mapreduce import Progress

_SHARED = re.compile(r"\bshared\.(\w+)", re.IGNORECASE)
_OPTION = re.compile(r"--?(quiet(?!\S)|(?:o|output|grid)(?=[\s=]))(?:(?<!quiet)[\s=]\s*(\S+))?\s*")
_LONG = {"o": "output"}
_STEPS = 100  # that a bar takes at the most


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to a shell; `%load_ext` calls this."""
    shell.register_magic_function(Magic(shell), "line_cell", "fsql")


class Magic:
    """The magics of one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._run: Callable[..., Any] | None = None

    def __call__(self, line: str, cell: str | None = None) -> Any:
        """Run a query; of a cell, the line has the options."""
        options, query = _options(line)
        if cell is not None:  # whose first word is no value of an option, nor its comment an option
            query = f"{query}\n{cell}".strip()
        run = self._run
        if "grid" in options:
            run = self._runner(options["grid"])
            if not query:
                self._run = run
                return None
        if not query:
            raise SQLError("%fsql: there is no query")
        if run is None:
            from fscache.grid.sql import sql

            run = sql
        bar = None if "quiet" in options else _bar(self._shell)
        try:
            result = run(query, self._shared(query), progress=bar)
        finally:
            if bar is not None:
                bar.close()
        if "output" not in options:
            return result
        self._shell.user_ns[options["output"]] = result
        return None

    def _runner(self, name: str) -> Callable[..., Any]:
        grid = self._shell.user_ns.get(name)
        if grid is None:
            from fscache.grid.grid import Grid

            grid = Grid(name)
        run: Callable[..., Any] = grid.sql
        return run

    def _shared(self, query: str) -> dict[str, Any]:
        names = set(_SHARED.findall(query))
        return {name: self._shell.user_ns[name] for name in names if name in self._shell.user_ns}


def _options(text: str) -> tuple[dict[str, str], str]:
    """Return the options in front of a query, and the query as it was written."""
    options = {}
    rest = text.strip()
    while (found := _OPTION.match(rest)) is not None:
        name, value = found.groups()
        options[_LONG.get(name, name)] = value or ""
        rest = rest[found.end() :]
    if (lone := re.match(r"(--?(?:o|output|grid))=?$", rest)) is not None:
        raise SQLError(f"%fsql: {lone.group(1)} takes a value")
    if not options.get("output", "_").isidentifier():
        raise SQLError(f"%fsql: {options['output']} is no name of a variable")
    if re.match(r"-{1,2}\w", rest):
        raise SQLError(f"%fsql: no such option: {rest.split()[0]}; there are -o, --grid, --quiet")
    return options, rest


def _bar(shell: Any) -> Any:
    """Return a bar: of the page in a notebook, of the terminal elsewhere."""
    if getattr(shell, "kernel", None) is None:
        from fscache.grid.progress import Bar

        return _Terminal(Bar("sql"))
    return _Page()


class _Terminal:
    def __init__(self, draw: Callable[[Progress], None]) -> None:
        self._draw = draw

    def __call__(self, progress: Progress) -> None:
        self._draw(progress)

    def close(self) -> None:
        """Leave it as it is."""


class _Page:
    """A bar in a cell's output; it goes away when the query has ended."""

    def __init__(self) -> None:
        from IPython import display

        self._html: Any = display.HTML  # half typed
        self._display: Any = display.display
        self._handle: Any = None
        self._drawn = -1
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        with self._lock:
            step = progress.done * _STEPS // max(1, progress.total)
            if step == self._drawn:
                return
            self._drawn = step
            html = self._html(
                f'<progress value="{progress.done}" max="{progress.total}"></progress>'
                f" {progress.done}/{progress.total}, {progress.seconds:.1f} s"
            )
            if self._handle is None:
                self._handle = self._display(html, display_id=True)
            else:
                self._handle.update(html)

    def close(self) -> None:
        """Take it away."""
        with self._lock:
            if self._handle is not None:
                self._handle.update(self._html(""))
