"""docs/cli.md lists every command, and says of the administrator's what their --help says."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import pytest

from fscache.cli.arguments import COMMANDS, module_of

MANUAL = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
ADMIN = [name for name in COMMANDS if name.startswith("admin ")]


def row_of(command: str) -> str:
    """Return the rows of the table of admin commands that speak of one."""
    section = MANUAL.partition("## admin\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return "\n".join(row for row in rows if re.search(rf"`{command}\b", row.split("|")[1]))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_first_table(name: str) -> None:
    table = MANUAL.partition("| command | does |")[2].partition("\n\n")[0]
    group, _, last = name.rpartition(" ")
    rows = re.findall(rf"`{group or last}\b[^`]*`", table)
    assert any(re.search(rf"[ |`]{last}\b", row) for row in rows)


@pytest.mark.parametrize("name", ADMIN)
def test_every_option_is_told_and_no_other(name: str) -> None:
    parser = ArgumentParser()
    import_module(module_of(name)).configure(parser)
    options = {each for action in parser._actions for each in action.option_strings}
    told = set(re.findall(r"--[a-z][a-z-]*", row_of(name.removeprefix("admin "))))
    assert told == {each for each in options if each.startswith("--")} - {"--help"}


@pytest.mark.parametrize("name", ADMIN)
def test_every_command_is_told_with_what_json_has(name: str) -> None:
    fields = MANUAL.partition("## --json\n")[2].partition("## Exit codes")[0]
    assert re.search(rf"^\| .*`{name}\b", fields, re.MULTILINE)
