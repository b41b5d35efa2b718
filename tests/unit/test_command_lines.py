"""What the three command lines have in common."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import channel.cli
import giver.cli
import seeker.cli

COMMANDS = {"seeker": seeker.cli.main, "giver": giver.cli.main, "channel": channel.cli.main}

every_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)

JOB = "01J00000000000000000000000"


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting in the environment, and no local stack."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("SEEKER_", "GIVER_", "CHANNEL_")):
            monkeypatch.delenv(name)


def run(line: str, **env: str) -> Result:
    name, *arguments = line.split()
    return CliRunner().invoke(COMMANDS[name], arguments, env=env)


@every_command
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_given_for_the_command_and_for_each_of_its_own(
    command: click.Group, option: str
) -> None:
    for name in ("", *command.list_commands(click.Context(command))):
        shown = CliRunner().invoke(command, [*name.split(), option])
        assert shown.exit_code == 0
        assert shown.stdout.startswith("Usage: ")


@every_command
def test_the_version_is_that_of_the_package(command: click.Group) -> None:
    shown = CliRunner().invoke(command, ["--version"])
    assert shown.exit_code == 0
    assert metadata.version("seekgive") in shown.stdout


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("seeker run", "SEEKER_BROKER_URL is not set"),
        ("seeker status", "SEEKER_MONGODB_URL is not set"),
        ("seeker givers", "SEEKER_MONGODB_URL is not set"),
        ("seeker enqueue busybox:local", "SEEKER_BROKER_URL is not set"),
        (f"seeker wait {JOB}", "SEEKER_MONGODB_URL is not set"),
        ("giver run", "GIVER_BROKER_URL is not set"),
        ("channel serve", "CHANNEL_BROKER_URL is not set"),
    ],
)
def test_without_any_setting_the_service_is_out_of_reach(
    nothing_set: None, line: str, named: str
) -> None:
    told = run(line)
    assert told.exit_code == 3
    assert named in told.stderr


@pytest.mark.parametrize(
    ("line", "variable", "value"),
    [
        ("seeker status", "SEEKER_MONGODB_URL", "http://host"),
        ("seeker status", "SEEKER_STRIKES", "few"),
        ("seeker run", "SEEKER_LEASE_S", "0"),
        ("giver info", "GIVER_HTTP_PORT", "high"),
        ("giver info", "GIVER_URL", "ftp://host"),
        ("channel givers", "CHANNEL_URL", "host:8700"),
        ("channel serve", "CHANNEL_MONGODB_URL", "http://host"),
    ],
)
def test_a_wrong_setting_is_wrong_use(
    nothing_set: None, line: str, variable: str, value: str
) -> None:
    name = line.split()[0].upper()
    urls = {f"{name}_BROKER_URL": "amqp://host", f"{name}_MONGODB_URL": "mongodb://host"}
    told = run(line, **{**urls, variable: value})
    assert told.exit_code == 2
    assert value in told.stderr
