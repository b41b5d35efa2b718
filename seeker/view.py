"""How jobs, tasks and givers are shown: the documents of `--json`, and tables for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from schemas.states import TaskState
from seeker.documents import Document

STYLES = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "active": "cyan",
    "pending": "dim",
}


def job(document: Document) -> dict[str, Any]:
    spec = json.loads(document["spec"])
    return {
        "job_id": document["_id"],
        "name": spec["name"],
        "image": spec["container"]["image"],
        "state": document["state"],
        "tasks": document["counts"],
        "submitted_at": document["submitted_at"].isoformat(),
        "finished_at": _iso(document["finished_at"]),
        "waiting_reason": document["waiting_reason"],
    }


def task(document: Document) -> dict[str, Any]:
    return {
        "task_id": document["_id"],
        "job_id": document["job_id"],
        "state": document["state"],
        "chosen": document["chosen"],
        "reason": document["reason"],
        "disputed": document["disputed"],
        "assignments": [
            {**assignment, "placed_at": assignment["placed_at"].isoformat()}
            for assignment in document["assignments"]
        ],
        "votes": document["votes"],
    }


def giver(document: Document) -> dict[str, Any]:
    beat = json.loads(document["beat"])
    standing = document["standing"]
    voted = standing["agreed"] + standing["disagreed"]
    return {
        "giver_id": document["_id"],
        "state": beat["state"] if document["member"] else "purged",
        "state_reason": beat["state_reason"],
        "strikes": document["strikes"],
        "capacity": beat["capacity"],
        "free": beat["free"],
        "agreed": standing["agreed"],
        "disagreed": standing["disagreed"],
        "reputation": round((standing["agreed"] + 1) / (voted + 2), 3),
        "labels": beat["labels"],
        "owner": beat["owner"],
        "platform": beat["platform"],
        "version": beat["version"],
        "joined_at": document["joined_at"].isoformat(),
        "heard_at": document["heard_at"].isoformat(),
        "purged_at": _iso(document["purged_at"]),
    }


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    if not jobs:
        Console().print("No job yet. `seeker enqueue IMAGE -- COMMAND…` makes one.")
        return
    table = _table("JOB", "NAME", "STATE", "DONE", "FAILED", "AGE")
    for item in jobs:
        counts = item["tasks"]
        table.add_row(
            item["job_id"],
            item["name"] or item["image"],
            coloured(item["state"]),
            f"{finished(counts)}/{sum(counts.values())}",
            str(counts["failed"]),
            age(item["submitted_at"]),
        )
    Console().print(table)


def print_job(item: dict[str, Any]) -> None:
    console = Console()
    console.print(f"job    {item['job_id']}  {item['name'] or ''}", highlight=False)
    console.print(f"image  {item['image']}", highlight=False)
    console.print(f"state  {coloured(item['state'])}", highlight=False)
    counts = "  ".join(f"{n} {coloured(state)}" for state, n in item["tasks"].items() if n)
    console.print(f"tasks  {counts}", highlight=False)
    if item["waiting_reason"] and item["tasks"]["pending"]:
        console.print(f"waits  {item['waiting_reason']}", highlight=False, markup=False)


def print_task(item: dict[str, Any]) -> None:
    console = Console()
    console.print(f"task    {item['task_id']}", highlight=False)
    console.print(f"state   {coloured(item['state'])}", highlight=False)
    if item["reason"]:
        console.print(f"why     {item['reason']}", highlight=False, markup=False)
    console.print(f"chosen  {item['chosen'] or '-'}", highlight=False, markup=False)
    if not item["assignments"]:
        return
    digests = {vote["giver_id"]: vote["digest"][:12] for vote in item["votes"]}
    table = _table("ASSIGNMENT", "GIVER", "STATE", "OUTCOME", "VOTE", "REASON")
    for assignment in item["assignments"]:
        table.add_row(
            assignment["assignment_id"],
            assignment["giver_id"],
            assignment["state"] + (" (late)" if assignment["late"] else ""),
            assignment["outcome"] or "",
            digests.get(assignment["giver_id"], ""),
            assignment["reason"],
        )
    console.print(table)


def print_givers(givers: list[dict[str, Any]]) -> None:
    if not givers:
        Console().print("No giver is a member. `giver run` on a host makes it one.")
        return
    table = _table("GIVER", "STATE", "STRIKES", "CPUS", "MEMORY", "REPUTATION", "HEARD")
    for item in givers:
        free, capacity = item["free"], item["capacity"]
        memory = f"{free['memory_bytes'] / 2**30:.1f}/{capacity['memory_bytes'] / 2**30:.1f} GiB"
        table.add_row(
            item["giver_id"],
            item["state"] + (f": {item['state_reason']}" if item["state_reason"] else ""),
            str(item["strikes"]),
            f"{free['cpus']:g}/{capacity['cpus']:g}",
            memory,
            f"{item['reputation']:.2f} ({item['agreed']}+ {item['disagreed']}-)",
            f"{age(item['heard_at'])} ago",
        )
    Console().print(table)


def _table(first: str, *others: str) -> Table:
    """Its first column holds an id, which is never cut: people copy it."""
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True, min_width=26)
    for title in others:
        table.add_column(title, overflow="fold")
    return table


def age(time: str) -> str:
    """How long ago, in the unit that suits: `42s`, `7m`, `3h`, `5d`."""
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def coloured(state: str) -> str:
    return f"[{STYLES.get(state, 'white')}]{state}[/]"


def finished(counts: dict[str, int]) -> int:
    return sum(n for state, n in counts.items() if TaskState(state).final)


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
