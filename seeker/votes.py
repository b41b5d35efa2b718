"""A task's votes as evidence: who agreed with whom, and why one of them is believed. Pure."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from schemas import identifiers
from schemas.job import JobSpec
from schemas.states import Outcome, TaskState
from seeker import comparators, documents, view
from seeker.agreement import Vote
from seeker.comparators import Equality
from seeker.documents import Document
from seeker.tables import Listing, facts

DIGEST_SHOWN = 12
"""Characters."""


def evidence(task: Document, spec: JobSpec, review: Document | None) -> dict[str, Any]:
    """What `seeker votes --json` prints.

    Args:
        task: as in the database.
        spec: its job's.
        review: the task by which others run it again, if there is one.
    """
    rules = spec.agreement
    compared = documents.comparisons_from(task)
    equal = comparators.equality(rules.comparison, compared)
    votes = [documents.vote_from(each) for each in task["votes"]]
    return {
        "task_id": task["_id"],
        "state": task["state"],
        "chosen": task["chosen"],
        "disputed": task["disputed"],
        "alone": task.get("alone", False),
        "reason": task["reason"],
        "review": None if review is None else _review(task, review, equal),
        "quorum": rules.quorum,
        "adaptive": rules.adaptive,
        "known": spec.known.get(str(identifiers.index_of(task["_id"]))),
        "compared_by": rules.comparison.model_dump(),
        "votes": [
            {
                **_shown(vote),
                "agrees_with": [
                    other.giver_id for other in votes if other is not vote and equal(vote, other)
                ],
                "chosen": vote.result_id == task["chosen"],
            }
            for vote in votes
        ],
        "earlier_votes": [_shown(documents.vote_from(each)) for each in task["earlier_votes"]],
        "late": [
            {"assignment_id": each["assignment_id"], "giver_id": each["giver_id"]}
            for each in task["assignments"]
            if each["late"] and each["outcome"] != Outcome.CANCELLED
        ],
    }


def print_evidence(item: dict[str, Any]) -> None:
    facts(
        task=item["task_id"],
        state=view.coloured(item["state"]),
        compared=_compared(item["compared_by"]),
        known=item["known"] or "",
        quorum=_quorum(item),
        chosen=item["chosen"] or "none",
        why=item["reason"],
        reviewed=f"{item['review']['finding']}, by {item['review']['task_id']}"
        if item["review"]
        else "",
        late=", ".join(f"{each['giver_id']} ({each['assignment_id']})" for each in item["late"]),
    )
    rows = [("earlier", vote) for vote in item["earlier_votes"]]
    rows += [("chosen" if vote["chosen"] else "", vote) for vote in item["votes"]]
    if not rows:
        return
    listing = Listing(
        *("VOTE", "GIVER", "OUTCOME", "EXIT", "DIGEST", "AGREES WITH", ""),
        whole=("GIVER", "OUTCOME", "DIGEST", ""),
        figures=("VOTE", "EXIT"),
    )
    for number, (note, vote) in enumerate(rows, start=1):
        listing.row(
            str(number),
            vote["giver_id"],
            vote["outcome"],
            "" if vote["exit_code"] is None else str(vote["exit_code"]),
            vote["digest"][:DIGEST_SHOWN],
            ", ".join(vote.get("agrees_with", ())) or "nobody",
            Text(note, style=view.STYLES[TaskState.SUCCEEDED] if note == "chosen" else "dim"),
        )
    click.echo()
    listing.show()


def _review(task: Document, review: Document, equal: Equality) -> dict[str, Any]:
    """What others say of what one giver decided alone."""
    votes = [documents.vote_from(each) for each in (*task["votes"], *review["votes"])]
    believed = {vote.result_id: vote for vote in votes}
    one, other = (believed.get(each["chosen"]) for each in (task, review))
    finding = "not decided yet"
    if one is not None and other is not None:
        finding = "confirmed" if equal(one, other) else "contradicted"
    elif TaskState(review["state"]).final:
        finding = f"{review['state']}: {review['reason']}"
    return {"task_id": review["_id"], "state": review["state"], "finding": finding}


def _shown(vote: Vote) -> dict[str, Any]:
    return {
        "result_id": vote.result_id,
        "giver_id": vote.giver_id,
        "outcome": vote.outcome.value,
        "exit_code": vote.exit_code,
        "digest": vote.digest,
    }


def _quorum(item: dict[str, Any]) -> str:
    if item["known"] is not None:
        return "one that gives the known answer"
    if item["alone"]:
        return "one trusted giver, believed alone"
    quorum = item["quorum"]
    return f"{quorum}, or {quorum + 1} of whom none is trusted" if item["adaptive"] else str(quorum)


def _compared(by: dict[str, Any]) -> str:
    text = f"by {by['by']}"
    if by["relative"] or by["absolute"]:
        text += f", numbers within {by['relative']:g} of each other or {by['absolute']:g}"
    return text
