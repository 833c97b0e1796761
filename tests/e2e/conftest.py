"""For tests of the whole: programs as they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Shell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in an empty directory, which is also its home."""
    return Shell(str(tmp_path))
