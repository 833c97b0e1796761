"""A plugin for ipyparallel's own tests: their controllers get our backend.

Those tests start a controller with `--dictdb`; loaded with `-p tests.support.ippsuite`, this makes it
the class and the root of `FSCACHE_TEST_ROOT`.
"""

from __future__ import annotations

import os

import ipyparallel.tests as theirs

_start = theirs.TestProcessLauncher.start


def _start_with_ours(self: theirs.TestProcessLauncher) -> None:
    if "--dictdb" in self.cmd_and_args:
        at = self.cmd_and_args.index("--dictdb")
        self.cmd_and_args[at : at + 1] = [
            "--IPController.db_class=fscache.bridges.ipyparallel.FSCacheDB",
            f"--FSCacheDB.root={os.environ['FSCACHE_TEST_ROOT']}",
        ]
    _start(self)


theirs.TestProcessLauncher.start = _start_with_ours
