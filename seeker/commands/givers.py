"""The givers, and what the operator decides about them: `seeker givers …`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import click

from runtime.command_line import async_command, json_option, print_json
from seeker import view
from seeker.commands.arguments import client, giver_argument
from seeker.commands.leadership import warn_if_unled
from seeker.documents import Document

DONE_WITHIN_S = 5.0
"""A leading seeker takes a moment to read a command and to write down what follows."""
POLL_S = 0.1

LONGEST_REASON = 500


def _reason(_: click.Context, __: click.Parameter, value: str) -> str:
    if len(value) > LONGEST_REASON:
        raise click.BadParameter(f"{len(value)} characters, at most {LONGEST_REASON} are kept")
    return value


reason_option = click.option(
    "--reason", default="", callback=_reason, help="For people: why; `seeker explain` shows it."
)


@click.group(invoke_without_command=True)
@click.option("--all", "former", is_flag=True, help="Purged ones too.")
@json_option
@click.pass_context
def givers(context: click.Context, former: bool, as_json: bool) -> None:
    """List the givers that are members, or decide about one of them.

    In the list, CPUS and MEMORY say how much is free, of how much.
    """
    if context.invoked_subcommand is None:
        _list(former, as_json)


@async_command
async def _list(former: bool, as_json: bool) -> None:
    async with client().store() as store:
        found = [view.giver(document) for document in await store.givers(former=former)]
        print_json(found) if as_json else view.print_givers(found)
        await warn_if_unled(store)


@givers.command()
@giver_argument()
@json_option
@async_command
async def show(giver_id: str, as_json: bool) -> None:
    """Show all that is known of a giver, a purged one too."""
    seeker = client()
    async with seeker.store() as store:
        found = view.giver(await seeker.giver(store, giver_id))
        print_json(found) if as_json else view.print_giver(found)
        await warn_if_unled(store)


@givers.command()
@giver_argument()
@reason_option
@json_option
@async_command
async def drain(giver_id: str, reason: str, as_json: bool) -> None:
    """Give it nothing new; what it has, it finishes."""
    await _decide("drain", giver_id, reason, as_json)


@givers.command()
@giver_argument()
@reason_option
@json_option
@async_command
async def quarantine(giver_id: str, reason: str, as_json: bool) -> None:
    """Give it nothing new, and what it has to others."""
    await _decide("quarantine", giver_id, reason, as_json)


@givers.command()
@giver_argument()
@json_option
@async_command
async def resume(giver_id: str, as_json: bool) -> None:
    """End `drain` and `quarantine`."""
    await _decide("resume", giver_id, "", as_json)


@givers.command()
@giver_argument()
@json_option
@async_command
async def forget(giver_id: str, as_json: bool) -> None:
    """Remove it with its history.

    If it still runs, it joins anew, as a stranger.
    """
    await _decide("forget", giver_id, "", as_json)


Decision = Literal["drain", "quarantine", "resume", "forget"]

_CORDONS = {"drain": "draining", "quarantine": "quarantined", "resume": None}


async def _decide(action: Decision, giver_id: str, reason: str, as_json: bool) -> None:
    """Have the leading seeker do it, and say whether it is done."""
    seeker = client()
    async with seeker.store() as store:
        before = await seeker.giver(store, giver_id)
        await seeker.command(action, giver_id, reason)
        after = await _until(
            lambda: store.giver(giver_id),
            lambda document: _done(action, reason, before, document),
        )
    done = _done(action, reason, before, after)
    if as_json:
        print_json({"giver_id": giver_id, "action": action, "done": done})
    elif not done:
        click.echo(f"asked to {action} {giver_id}; it is done once a `seeker run` leads")
    elif after is None or action == "forget":
        click.echo(f"{giver_id} is forgotten")
    else:
        click.echo(f"{giver_id} {_now(view.giver(after))}")


def _done(action: Decision, reason: str, before: Document, after: Document | None) -> bool:
    if action == "forget":
        return after is None or after["joined_at"] != before["joined_at"]
    cordon = after["cordon"] if after is not None else None
    kind = _CORDONS[action]
    return cordon is None if kind is None else cordon == {"kind": kind, "reason": reason}


def _now(giver: dict[str, Any]) -> str:
    containers = giver["load"]["containers"]
    has = f"; {containers} of its tasks have not ended" if containers else ""
    return f"is {giver['state']}{has}"


async def _until(
    look: Callable[[], Any], done: Callable[[Document | None], bool]
) -> Document | None:
    loop = asyncio.get_running_loop()
    until = loop.time() + DONE_WITHIN_S
    while True:
        document: Document | None = await look()
        if done(document) or loop.time() > until:
            return document
        await asyncio.sleep(POLL_S)
