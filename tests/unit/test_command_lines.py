"""What the three command lines have in common."""

from __future__ import annotations

from importlib import metadata

import click
import pytest
from click.testing import CliRunner

import channel.cli
import giver.cli
import seeker.cli

COMMANDS = {"seeker": seeker.cli.main, "giver": giver.cli.main, "channel": channel.cli.main}

every_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


@every_command
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_given_for_the_command_and_for_each_of_its_own(
    command: click.Group, option: str
) -> None:
    for name in ("", *command.commands):
        run = CliRunner().invoke(command, [*name.split(), option])
        assert run.exit_code == 0
        assert run.stdout.startswith("Usage: ")


@every_command
def test_the_version_is_that_of_the_package(command: click.Group) -> None:
    run = CliRunner().invoke(command, ["--version"])
    assert run.exit_code == 0
    assert metadata.version("seekgive") in run.stdout
