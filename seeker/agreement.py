"""Which result to believe: votes in, a verdict out. Pure.

Votes support each other that are equal by the job's comparison. A vote with `quorum` supporters,
itself among them, decides. Until then more givers are asked, and where nobody is left to ask the
heuristic chooses: the vote whose supporters' reputations add up to the most. Such a choice is
called disputed.

Equality within a tolerance is not transitive, so supporters need not support one another, and more
than one vote may have a quorum. The one with the most supporters is chosen then, and of equals the
one stored first; with exact comparison that is the first of the group that agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.job import Agreement
from schemas.states import Outcome
from seeker.comparators import Equality, same_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A result that says something of the task."""

    result_id: str
    giver_id: str
    digest: str
    outcome: Outcome
    exit_code: int | None = None
    comparable: str | None = None
    """Text to compare where a tolerance is allowed; `None`: only the digest."""
    files_digest: str | None = None
    image_digest: str | None = None
    """Of what was run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    chosen: Vote
    reason: str
    disputed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    wanted: int
    """Further assignments to make now; 0: wait for those that are out."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecidable:
    """No vote came, and no attempt is left."""

    reason: str


Verdict = Decided | Undecided | Undecidable

Quorum = Callable[[Sequence[Vote]], int]
"""How many have to agree, given those who do."""


def judge(
    votes: Sequence[Vote],
    live: int,
    attempts: int,
    agreement: Agreement,
    equal: Equality = same_digest,
    quorum: Quorum | None = None,
) -> Verdict | None:
    """What follows from `votes` (in the order in which they were stored).

    Args:
        live: assignments that may still vote.
        attempts: assignments made so far that count against `max_attempts`.
        quorum: supporters that are enough, where that depends on who they are.

    Returns:
        `None` when the votes disagree and no attempt is left: `arbitrate` has to choose.
    """
    support = _support(votes, equal)
    missing = [
        (quorum(group) if quorum is not None else agreement.quorum) - len(group)
        for group in support
    ]
    enough = [group for group, lacking in zip(support, missing, strict=True) if lacking <= 0]
    if enough:
        strongest = max(enough, key=len)
        chosen = votes[support.index(strongest)]
        return Decided(chosen=chosen, reason=_agreed(strongest, votes))
    # Before anyone answered, the user's replicas are asked; later, no more than could decide.
    wanted = max(0, min(missing, default=agreement.replicas) - live)
    left = max(0, agreement.max_attempts - attempts)
    if wanted and not left and not live:
        if votes:
            return None
        return Undecidable(reason=f"no result after {attempts} attempts, the most allowed")
    reason = "no votes"
    if votes:
        most = max(map(len, support))
        reason = f"{len(votes)} votes, {most} agree, {min(missing)} more wanted"
    return Undecided(wanted=min(wanted, left), reason=reason)


def arbitrate(
    votes: Sequence[Vote],
    reputation: Callable[[str], float],
    cause: str,
    equal: Equality = same_digest,
) -> Decided:
    """The last resort among votes that do not agree; `cause` says why it was needed.

    Args:
        reputation: of a giver, between 0 and 1.
    """
    support = _support(votes, equal)
    weights = [sum(reputation(vote.giver_id) for vote in group) for group in support]
    best = weights.index(max(weights))
    groups = dict.fromkeys(
        (_names(group), weight) for group, weight in zip(support, weights, strict=True)
    )
    shares = ", ".join(f"{names} {weight:.2f}" for names, weight in groups)
    alike = sum(weight == weights[best] for _, weight in groups) > 1
    because = (
        "the reputations weigh the same, and it was stored first"
        if alike
        else "the reputation of its voters weighs most"
    )
    return Decided(
        chosen=votes[best],
        reason=f"disputed: {cause}; {because} ({shares})",
        disputed=True,
    )


def _support(votes: Sequence[Vote], equal: Equality) -> list[list[Vote]]:
    """For each vote all that are equal to it."""
    if equal is same_digest:
        groups: dict[str, list[Vote]] = {}
        for vote in votes:
            groups.setdefault(vote.digest, []).append(vote)
        return [groups[vote.digest] for vote in votes]
    return [[other for other in votes if other is vote or equal(vote, other)] for vote in votes]


def _names(group: Sequence[Vote]) -> str:
    return "+".join(vote.giver_id for vote in group)


def _agreed(group: Sequence[Vote], votes: Sequence[Vote]) -> str:
    givers = ", ".join(vote.giver_id for vote in group)
    if len(votes) == 1:
        return f"one result was enough, from {givers}"
    return f"{len(group)} of {len(votes)} results agree ({givers})"
