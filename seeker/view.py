"""How jobs, tasks and givers are shown: the documents of `--json`, and tables for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from schemas import identifiers
from schemas.policy import ANY_IMAGE
from schemas.states import AssignmentState, TaskState
from seeker import documents
from seeker.documents import Document
from seeker.explanation import Explanation
from seeker.tables import Listing, facts

STYLES = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "active": "cyan",
    "pending": "dim",
}

GRANTED = {"network": "network", "writable_root": "writable root"}
ALLOWED = {
    "cpus": (1, "CPUs"),
    "memory_bytes": (2**20, "MiB of memory"),
    "disk_bytes": (2**20, "MiB of disk"),
    "gpus": (1, "GPUs"),
    "pids": (1, "processes"),
    "timeout_s": (1, "s of run time"),
}

LISTED = 20
"""Givers that an explanation names; of more it gives counts."""


def job(document: Document) -> dict[str, Any]:
    spec = json.loads(document["spec"])
    return {
        "job_id": document["_id"],
        "name": spec["name"],
        "image": spec["container"]["image"],
        "pinned_image": document.get("pinned_image", ""),
        "state": document["state"],
        "tasks": document["counts"],
        "submitted_at": document["submitted_at"].isoformat(),
        "finished_at": _iso(document["finished_at"]),
        "waiting_reason": document["waiting_reason"],
        "withdrawn": document["withdrawn"],
    }


def task(document: Document) -> dict[str, Any]:
    return {
        "task_id": document["_id"],
        "job_id": document["job_id"],
        "state": document["state"],
        "chosen": document["chosen"],
        "reason": document["reason"],
        "disputed": document["disputed"],
        "rounds": document["rounds"],
        "round_began": document["round_began"],
        "assignments": [
            {**assignment, "placed_at": assignment["placed_at"].isoformat()}
            for assignment in document["assignments"]
        ],
        "alone": document.get("alone", False),
        "review": document.get("review", ""),
        "votes": document["votes"],
        "earlier_votes": document["earlier_votes"],
    }


def giver(document: Document) -> dict[str, Any]:
    beat = json.loads(document["beat"])
    cordon = document["cordon"]
    standing = documents.former_from(document).standing
    now, overall = datetime.now(UTC), standing.reputation.overall
    state, reason = beat["state"], beat["state_reason"]
    if not document["member"]:
        state, reason = "purged", ""
    elif cordon is not None:
        state, reason = cordon["kind"], cordon["reason"]
    elif document["session"] is None:
        state, reason = "unreachable", "its queue at the broker is gone"
    return {
        "giver_id": document["_id"],
        "state": state,
        "state_reason": reason,
        "strikes": document["strikes"],
        "capacity": beat["capacity"],
        "free": beat["free"],
        "load": document["load"],
        "cordon": cordon,
        "setbacks": [
            {**setback, "until": setback["until"].isoformat()} for setback in document["setbacks"]
        ],
        "standing": {
            "agreed": round(overall.agreed, 1),
            "disagreed": round(overall.disagreed, 1),
            "reputation": round(overall.reputation(now), 3),
            "reliability": round(standing.reliability, 3),
            "lies": standing.reputation.lies,
            "trust": standing.reputation.explain(now),
            "by_image": {
                kind: {"reputation": round(record.reputation(now), 3), "in_a_row": record.in_a_row}
                for kind, record in standing.reputation.by_class.items()
            },
        },
        "speed": beat["speed"],
        "labels": beat["labels"],
        "owner": beat["owner"],
        "platform": beat["platform"],
        "images": beat["images"],
        "policy": beat.get("policy") or {},
        "pulls": beat.get("pulls", []),
        "version": beat["version"],
        "joined_at": document["joined_at"].isoformat(),
        "heard_at": document["heard_at"].isoformat(),
        "purged_at": _iso(document["purged_at"]),
    }


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    if not jobs:
        click.echo("No job yet. `seeker enqueue IMAGE -- COMMAND…` makes one.")
        return
    listing = Listing(
        *("JOB", "NAME", "STATE", "ENDED", "FAILED", "AGE"),
        whole=("JOB", "STATE"),
        figures=("ENDED", "FAILED", "AGE"),
    )
    for item in jobs:
        counts = item["tasks"]
        listing.row(
            item["job_id"],
            item["name"] or item["image"],
            coloured(item["state"]),
            f"{finished(counts)}/{sum(counts.values())}",
            str(counts["failed"]),
            age(item["submitted_at"]),
        )
    listing.show()


def print_job(item: dict[str, Any]) -> None:
    counts = ((n, coloured(state)) for state, n in item["tasks"].items() if n)
    facts(
        job=item["job_id"],
        name=item["name"] or "",
        image=item["image"],
        pinned_to=item["pinned_image"],
        state=coloured(item["state"]),
        tasks=Text(", ").join(Text(f"{n} ") + state for n, state in counts),
        waits=item["waiting_reason"] if item["tasks"]["pending"] else "",
        why=item["withdrawn"]["reason"] if item["withdrawn"] else "",
    )


def print_task(item: dict[str, Any]) -> None:
    rounds = f"{item['rounds']}, the present one from try {item['round_began'] + 1} on"
    facts(
        task=item["task_id"],
        state=coloured(item["state"]),
        why=item["reason"],
        chosen=item["chosen"] or "-",
        reviewed=f"by {item['review']}: see `seeker votes`" if item["review"] else "",
        rounds=rounds if item["rounds"] > 1 else "",
    )
    if not item["assignments"]:
        return
    digests = {
        vote["result_id"]: vote["digest"][:8] for vote in item["earlier_votes"] + item["votes"]
    }
    click.echo()
    listing = Listing(
        *("TRY", "GIVER", "STATE", "OUTCOME", "VOTE", "REASON"),
        whole=("GIVER", "STATE", "OUTCOME", "VOTE"),
        figures=("TRY",),
    )
    for number, assignment in enumerate(item["assignments"], start=1):
        result_id = identifiers.result_id(assignment["assignment_id"], assignment["giver_id"])
        listing.row(
            str(number),
            assignment["giver_id"],
            _try_state(assignment),
            assignment["outcome"] or "",
            digests.get(result_id, ""),
            assignment["reason"] or (assignment.get("progress") or {}).get("note", ""),
        )
    listing.show()


def progress(item: dict[str, Any]) -> str:
    """Of a task, as it says itself."""
    index = identifiers.index_of(item["task_id"])
    return f"task {index}: {item['fraction']:.0%} {item['note']}".rstrip()


def _try_state(assignment: dict[str, Any]) -> str:
    progress = assignment.get("progress")
    if progress and assignment["state"] == AssignmentState.RUNNING:
        return f"running {progress['fraction']:.0%}"
    return str(assignment["state"]) + (" (late)" if assignment["late"] else "")


def print_explanation(found: Explanation) -> None:
    """The givers that can take it, by their scores; then those that refuse, with their reasons."""
    if found.offers:
        names = list(dict.fromkeys(name for offer in found.offers for name in offer.parts))
        titles = ("GIVER", "SCORE", *(name.upper() for name in names))
        listing = Listing(*titles, whole=titles[:1], figures=titles[1:])
        for offer in found.offers[:LISTED]:
            parts = (f"{offer.parts[name]:z.2f}" for name in names)
            listing.row(offer.giver.id, f"{offer.score:z.2f}", *parts)
        listing.show()
    if len(found.offers) > LISTED:
        click.echo(f"… {len(found.offers) - LISTED} more can take it")
    if not found.refusals:
        return
    if found.offers:
        click.echo()
    if len(found.offers) + len(found.refusals) <= LISTED:
        listing = Listing("GIVER", "CANNOT TAKE IT", whole=("GIVER",))
        for refused in found.refusals:
            listing.row(refused.giver_id, refused.reason)
    else:
        listing = Listing("GIVERS", "THAT", figures=("GIVERS",))
        for kind, count in found.kinds.items():
            listing.row(str(count), kind)
    listing.show()


def print_tries(assignments: list[dict[str, Any]]) -> None:
    """Whom a task went to, the score as it was then, and what became of it."""
    listing = Listing("TRY", "GIVER", "STATE", "WHY", whole=("GIVER", "STATE"), figures=("TRY",))
    for number, assignment in enumerate(assignments, start=1):
        parts = assignment["parts"]
        named = ", ".join(f"{name} {value:z.2f}" for name, value in parts.items())
        scored = f"score {sum(parts.values()):.2f}: {named}" if parts else ""
        why = "; ".join(filter(None, (scored, assignment["reason"])))
        state = assignment["state"]
        if state == AssignmentState.REPORTED:
            state = assignment["outcome"]
        listing.row(str(number), assignment["giver_id"], state, why)
    listing.show()


def print_givers(givers: list[dict[str, Any]]) -> None:
    if not givers:
        click.echo("No giver is a member. `giver run` on a host makes it one.")
        return
    listing = Listing(
        *("GIVER", "STATE", "STRIKES", "CPUS", "MEMORY", "TRUST", "HEARD"),
        whole=("GIVER", "STATE"),
        figures=("STRIKES", "CPUS", "MEMORY", "TRUST", "HEARD"),
    )
    for item in givers:
        free, capacity = item["free"], item["capacity"]
        listing.row(
            item["giver_id"],
            item["state"],
            str(item["strikes"]),
            f"{free['cpus']:g}/{capacity['cpus']:g}",
            f"{_gib(free['memory_bytes'])}/{_gib(capacity['memory_bytes'])}G",
            f"{item['standing']['reputation']:.2f}",
            age(item["heard_at"]),
        )
    listing.show()


def print_giver(item: dict[str, Any]) -> None:
    standing, speed, load = item["standing"], item["speed"], item["load"]
    facts(
        giver=item["giver_id"],
        state=_with(item["state"], item["state_reason"]),
        strikes=str(item["strikes"]),
        owner=item["owner"],
        platform=f"{item['platform']['os']}/{item['platform']['architecture']}",
        labels=", ".join(f"{name}={value}" for name, value in sorted(item["labels"].items())),
        version=item["version"],
        speed=f"{speed['single']:.2f} a core, {speed['all_cores']:.2f} all" if speed else "unknown",
        capacity=_resources(item["capacity"]),
        free=_resources(item["free"]),
        placed=_resources(load),
        images=", ".join(item["images"]),
        pulling="; ".join(map(_pull, item["pulls"])),
        grants=_grants(item["policy"]),
        allows=_allows(item["policy"]),
        votes=f"{standing['agreed']:g} with the majority, {standing['disagreed']:g} against it",
        reputation=f"{standing['reputation']:.2f}",
        trust=standing["trust"],
        reliability=f"{standing['reliability']:.2f}",
        pauses="; ".join(
            f"{setback['image']} until {setback['until']}, after {setback['count']} failures"
            for setback in item["setbacks"]
            if datetime.fromisoformat(setback["until"]) > datetime.now(UTC)
        ),
        joined=f"{age(item['joined_at'])} ago",
        heard=f"{age(item['heard_at'])} ago",
        purged=f"{age(item['purged_at'])} ago" if item["purged_at"] else "",
    )


def _with(state: str, reason: str) -> str:
    return f"{state}: {reason}" if reason else state


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}" if size < 100 << 30 else f"{size >> 30}"


def _pull(item: dict[str, Any]) -> str:
    done, total = item["done_bytes"] / 2**20, item["total_bytes"] / 2**20
    return f"{item['image']} {done:.1f} of {total:.1f} MiB"


def _grants(policy: dict[str, Any]) -> str:
    """What a task may get beyond the hardened default."""
    words = [word for name, word in GRANTED.items() if policy.get(name)]
    words += [f"capability {name}" for name in policy.get("capabilities", ())]
    words += [f"runtime {name}" for name in policy.get("runtimes", ())]
    return ", ".join(words) or "nothing"


def _allows(policy: dict[str, Any]) -> str:
    """The most that one task may ask for, and of which images."""
    words = [
        f"{policy[name] / scale:g} {unit}"
        for name, (scale, unit) in ALLOWED.items()
        if policy.get(name) is not None
    ]
    images = [image for image in policy.get("images", ()) if image != ANY_IMAGE]
    if images and ANY_IMAGE not in policy["images"]:
        words.append(f"images {', '.join(images)}")
    return ", ".join(words)


def _resources(item: dict[str, Any]) -> str:
    return (
        f"{item['cpus']:g} CPUs, {_gib(item['memory_bytes'])} GiB of memory, "
        f"{_gib(item['disk_bytes'])} GiB of disk, {item['gpus']} GPUs, "
        f"{item['containers']} containers"
    )


def age(time: str) -> str:
    """How long ago, in the unit that suits: `42s`, `7m`, `3h`, `5d`."""
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def coloured(state: str) -> Text:
    return Text(state, style=STYLES.get(state, ""))


def finished(counts: dict[str, int]) -> int:
    return sum(n for state, n in counts.items() if TaskState(state).final)


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
