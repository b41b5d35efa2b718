"""What the owner of a host says to its giver, and asks it, through its own HTTP endpoint."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import httpx
from pytimeparse2 import parse

from giver import control_token
from giver.owner import Asked
from giver.settings import GiverAddress
from runtime.command_line import (
    Failed,
    Unreachable,
    UserError,
    async_command,
    json_option,
    print_json,
)

_ANSWER_S = 5.0

url_option = click.option(
    "--url", help="http://host:8701.  [default: GIVER_URL, else this host's giver]"
)


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    seconds = parse(value)
    if not isinstance(seconds, int | float) or seconds <= 0:
        raise click.BadParameter(f"{value!r} is no duration: give it as 30m, 2h or 1d12h")
    return float(seconds)


for_option = click.option(
    "--for", "for_s", callback=_seconds, metavar="DURATION", help="E.g. 2h; then as before."
)


class GiverDesk:
    """A running giver's HTTP endpoint."""

    def __init__(self, url: str | None) -> None:
        address = GiverAddress.load(url=url)
        self._base = (address.url or f"http://{address.http_host}:{address.http_port}").rstrip("/")

    async def get(self, path: str) -> Any:
        """
        Raises:
            Unreachable: no giver answers.
            UserError: the URL is none.
            Failed: it answers with an error.
        """
        return await self._ask("GET", path)

    async def owner_asks(self, method: str, path: str, body: Any = None) -> Any:
        """As `get`, showing the token of the giver's state folder.

        Raises:
            UserError: the token cannot be read.
        """
        folder = Path((await self.get("/status"))["state_dir"])
        file = folder / control_token.FILE
        try:
            token = file.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"cannot read {file} ({error.strerror}), which shows that it is the owner who "
                "asks: run this on the giver's own host as the giver's user or root, e.g. with sudo"
            ) from error
        return await self._ask(method, path, body, {"Authorization": f"Bearer {token}"})

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        url = self._base + path
        try:
            async with httpx.AsyncClient(timeout=_ANSWER_S) as client:
                response = await client.request(method, url, json=body, headers=headers)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UserError(
                f"{self._base!r} is no URL ({error}): give it as http://host:8701"
            ) from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"no giver answers at {url} ({error or type(error).__name__}): start one with "
                "`giver run`, or say with --url or GIVER_URL where it is"
            ) from error
        if response.status_code != 200:
            raise Failed(f"{url} answers {response.status_code}: {response.text}")
        return response.json()


@click.command()
@url_option
@json_option
@async_command
async def info(url: str | None, as_json: bool) -> None:
    """What a running giver says of itself.

    Of a local stack that is the first giver; `make status` has the addresses of all.
    """
    document = await GiverDesk(url).get("/info")
    if as_json:
        print_json(document)
        return
    width = max(map(len, document))
    for name, value in document.items():
        click.echo(f"{name:<{width}}  {value}")


@click.command()
@url_option
@json_option
@async_command
async def status(url: str | None, as_json: bool) -> None:
    """Whether a running giver takes work, why not, and what it has."""
    _print(await GiverDesk(url).get("/status"), as_json)


@click.command()
@url_option
@json_option
@async_command
async def config(url: str | None, as_json: bool) -> None:
    """The settings of a running giver, and where each comes from."""
    rows = await GiverDesk(url).owner_asks("GET", "/config")
    if as_json:
        print_json(rows)
        return
    widths = [max(len(row[key]) for row in rows) for key in ("variable", "value")]
    for row in rows:
        click.echo(f"{row['variable']:<{widths[0]}}  {row['value']:<{widths[1]}}  {row['source']}")


@click.command()
@for_option
@url_option
@json_option
@async_command
async def pause(for_s: float | None, url: str | None, as_json: bool) -> None:
    """Take nothing new, and let all that runs stand still.

    It holds until `giver resume`, or as long as --for says, and across restarts.
    """
    await _say("pause", for_s, url, as_json)


@click.command()
@for_option
@url_option
@json_option
@async_command
async def drain(for_s: float | None, url: str | None, as_json: bool) -> None:
    """Finish what is there, and take nothing new.

    It holds until `giver resume`, or as long as --for says, and across restarts.
    """
    await _say("drain", for_s, url, as_json)


@click.command()
@url_option
@json_option
@async_command
async def resume(url: str | None, as_json: bool) -> None:
    """Take back `pause` or `drain`; limits such as hours stay in force."""
    await _say("open", None, url, as_json)


async def _say(asked: Asked, for_s: float | None, url: str | None, as_json: bool) -> None:
    body = {"asked": asked, "for_s": for_s}
    _print(await GiverDesk(url).owner_asks("PUT", "/word", body), as_json)


def _print(standing: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(standing)
        return
    state, reason = standing["state"], standing["reason"]
    click.echo(f"{standing['giver_id']} is {state}" + (f": {reason}" if reason else ""))
    if standing["until"] is not None:
        until = datetime.fromtimestamp(standing["until"]).astimezone()
        click.echo(f"its owner said `{standing['asked']}` until {until:%Y-%m-%d %H:%M:%S %Z}")
    click.echo(
        f"{standing['running']} running, {standing['waiting']} waiting, "
        f"{standing['unconfirmed']} results on their way"
    )
    if not standing["broker_connected"]:
        click.echo("not connected to the broker")
