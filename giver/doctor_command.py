"""`giver doctor`: what is missing on this host, and what to do about it."""

from __future__ import annotations

import sys

import click

from giver.doctor import examine
from giver.settings import GiverSettings
from runtime.command_line import EXIT_FAILED, async_command, json_option, print_json
from runtime.logs import silence_logging
from runtime.settings import SettingsMissing

_NO_BROKER = "amqp://localhost"
"""Where a broker would be if nobody says so."""


@click.command()
@click.option("--image", help="For the test container.  [default: the first on this host]")
@json_option
@async_command
async def doctor(image: str | None, as_json: bool) -> None:
    """Check what a giver needs on this host, and say what to do where it is missing.

    Reads the same settings as `giver run`; exits with 1 if a check fails.
    """
    silence_logging()
    checks = await examine(_settings_to_examine(), image)
    if as_json:
        print_json([check.as_document() for check in checks])
    else:
        for check in checks:
            mark = {"ok": "✓", "warning": "!", "failed": "✗"}[check.verdict]
            click.echo(f"{mark} {check.name}: {check.found}")
            if check.remedy:
                click.echo(f"    {check.remedy}")
    if any(check.verdict == "failed" for check in checks):
        sys.exit(EXIT_FAILED)


def _settings_to_examine() -> GiverSettings:
    """Without a broker, the rest can be examined all the same."""
    try:
        return GiverSettings.load()
    except SettingsMissing as error:
        click.echo(str(error), err=True)
        return GiverSettings.load(broker_url=_NO_BROKER)
