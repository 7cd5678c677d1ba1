"""docs/cli.md has every command and every flag."""

import re
from collections.abc import Iterator

import click
import pytest

from processor.cli.root import root
from tests.cli.conftest import CHECKOUT

PAGE = (CHECKOUT / "docs" / "cli.md").read_text(encoding="utf-8")
COMMON = {"--config", "--database-url", "--url", "--help", "-h", "--version"}


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


COMMANDS = dict(_commands(root, "jobtable"))
SECTIONS = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_flag_is_documented(path: str) -> None:
    section = SECTIONS.get(path, "")
    assert section, f"docs/cli.md has no section ## `{path}`"
    flags = {flag for param in COMMANDS[path].params if isinstance(param, click.Option) for flag in param.opts}
    missing = [flag for flag in sorted(flags - COMMON) if not re.search(rf"(?<![\w-]){flag}(?![\w-])", section)]
    assert not missing


def test_nothing_is_documented_that_does_not_exist() -> None:
    assert set(SECTIONS) == set(COMMANDS)
    for path, section in SECTIONS.items():
        known = {flag for param in COMMANDS[path].params for flag in param.opts}
        table = re.findall(r"^\| `([^|]+)` \|", section, re.MULTILINE)
        written = {flag for cell in table for flag in re.findall(r"(?<![\w-])--?[a-z][\w-]*", cell)}
        assert written <= known, path


def test_the_common_options_are_documented_once() -> None:
    head = PAGE.partition("\n## ")[0]
    assert all(f"`{flag}" in head for flag in ("--config", "--database-url", "--help", "--version"))
