"""Results and registrations for a person to read."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {"succeeded": "green", "cancelled": "yellow", "ready": "green", "draining": "yellow"}
_DIGEST_SHOWN = 12
_LINE_SHOWN = 60
_LINE_SHOWN_LEAST = 12

_STREAMS = ("stdout", "stderr")


def print_results(results: list[dict[str, Any]]) -> None:
    """Ids are shown whole, to be copied; the first line of stdout takes the room that is left."""
    headings = ("RESULT", "OUTCOME", "EXIT", "GIVER", "STORED", "DIGEST")
    rows = [
        (
            Text(result["result_id"]),
            _state(result["outcome"]),
            Text("-" if result["exit_code"] is None else str(result["exit_code"])),
            Text(result["giver_id"]),
            Text(_moment(result["stored_at"])),
            Text((result["digest"] or "-")[:_DIGEST_SHOWN]),
        )
        for result in results
    ]
    taken = sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))
    console = _console()
    room = console.width - taken if console.is_terminal else _LINE_SHOWN
    room = max(room, _LINE_SHOWN_LEAST)
    console.width = max(console.width, taken + room)
    table = Table(*headings, "STDOUT", box=None, header_style="bold", pad_edge=False)
    for row, result in zip(rows, results, strict=True):
        table.add_row(*row, _first_line(result, room))
    console.print(table)


def print_result(result: dict[str, Any]) -> None:
    """All of it; stdout and stderr as they are, not to be taken for markup."""
    console = _console()
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in result.items():
        if name in (*_STREAMS, "schema_version"):
            continue
        facts.add_row(name, _state(value) if name == "outcome" else _fact(value))
    console.print(facts)
    for name in _STREAMS:
        stream = result[f"{name}_stream"]
        parts = [_decoded(result[name], stream["encoding"])]
        if stream["truncated"]:
            parts.append(f"[… of {stream['bytes']} bytes in all, the middle is not kept …]")
            parts.append(_decoded(stream["tail"], stream["encoding"]))
        console.print(Text(f"--- {name}", style="bold"))
        console.print(_plain("\n".join(parts).removesuffix("\n")), soft_wrap=True)


def print_givers(givers: list[dict[str, Any]]) -> None:
    headings = ("GIVER", "STATE", "OWNER", "CPUS", "MEMORY", "PLATFORM", "VERSION")
    table = Table(*headings, "FIRST SEEN", "LAST SEEN", box=None, header_style="bold")
    table.pad_edge = False
    for giver in givers:
        capacity, platform = giver["capacity"], giver["platform"]
        table.add_row(
            Text(giver["giver_id"]),
            _state(giver["state"]),
            _plain(giver["owner"] or "-"),
            f"{capacity['cpus']:g}",
            f"{capacity['memory_bytes'] / (1 << 30):.1f} GiB",
            _plain(f"{platform['os']}/{platform['architecture']}"),
            _plain(giver["version"]),
            _moment(giver["first_seen"]),
            _moment(giver["last_seen"]),
        )
    _console().print(table)


def _console() -> Console:
    return Console(highlight=False)


def _state(value: str) -> Text:
    return Text(value, style=_COLOURS.get(value, "red"))


def _moment(text: str) -> str:
    """In the reader's own time zone."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _fact(value: Any) -> Text:
    if isinstance(value, dict):
        known = [f"{name}={item}" for name, item in value.items() if item not in (None, "")]
        return _plain("  ".join(known) or "-")
    if isinstance(value, list):
        return Text("\n").join(_fact(item) for item in value) if value else Text("-")
    return _plain("-" if value in (None, "") else str(value))


def _first_line(result: dict[str, Any], room: int) -> Text:
    text = _decoded(result["stdout"], result["stdout_stream"]["encoding"])
    line = _plain((text.splitlines() or [""])[0])
    line.truncate(room, overflow="ellipsis")
    return line


def _decoded(excerpt: str, encoding: str) -> str:
    if encoding != "base64":
        return excerpt
    try:
        return base64.b64decode(excerpt).decode("utf-8", "replace")
    except binascii.Error:
        return excerpt


def _plain(text: str) -> Text:
    """What a stranger's container wrote, without what would command the reader's terminal."""
    return Text("".join(each if each.isprintable() or each in "\n\t" else "�" for each in text))
