"""Which result to believe: votes in, a verdict out. Pure.

Results with the same digest agree. The first digest with `quorum` votes decides. Until then more
givers are asked, and where nobody is left to ask the heuristic chooses: the digest whose voters'
reputations add up to the most, then the one voted for first. Such a choice is called disputed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.job import Agreement
from schemas.states import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A result that says something of the task."""

    result_id: str
    giver_id: str
    digest: str
    outcome: Outcome


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


def judge(votes: Sequence[Vote], live: int, attempts: int, agreement: Agreement) -> Verdict | None:
    """What follows from `votes` (in the order in which they were stored).

    Args:
        live: assignments that may still vote.
        attempts: assignments made so far that count against `max_attempts`.

    Returns:
        `None` when the votes disagree and no attempt is left: `arbitrate` has to choose.
    """
    groups = _by_digest(votes)
    for group in groups:
        if len(group) >= agreement.quorum:
            return Decided(chosen=group[0], reason=_agreed(group, votes))
    strongest = max((len(group) for group in groups), default=0)
    # Before anyone answered, the user's replicas are asked; later, no more than could decide.
    needed = agreement.quorum - strongest if votes else agreement.replicas
    wanted = max(0, needed - live)
    left = max(0, agreement.max_attempts - attempts)
    if wanted and not left and not live:
        if votes:
            return None
        return Undecidable(reason=f"no result after {attempts} attempts, the most allowed")
    reason = f"{len(votes)} votes, {strongest} of {agreement.quorum} agree" if votes else "no votes"
    return Undecided(wanted=min(wanted, left), reason=reason)


def arbitrate(votes: Sequence[Vote], reputation: Callable[[str], float], cause: str) -> Decided:
    """The last resort among votes that do not agree; `cause` says why it was needed.

    Args:
        reputation: of a giver, between 0 and 1.
    """
    groups = _by_digest(votes)
    weights = [sum(reputation(vote.giver_id) for vote in group) for group in groups]
    best = weights.index(max(weights))
    shares = ", ".join(
        f"{'+'.join(vote.giver_id for vote in group)} {weight:.2f}"
        for group, weight in zip(groups, weights, strict=True)
    )
    return Decided(
        chosen=groups[best][0],
        reason=f"disputed: {cause}; the reputation of its voters weighs most ({shares})",
        disputed=True,
    )


def _by_digest(votes: Sequence[Vote]) -> list[list[Vote]]:
    groups: dict[str, list[Vote]] = {}
    for vote in votes:
        groups.setdefault(vote.digest, []).append(vote)
    return list(groups.values())


def _agreed(group: Sequence[Vote], votes: Sequence[Vote]) -> str:
    givers = ", ".join(vote.giver_id for vote in group)
    if len(votes) == 1:
        return f"one result was enough, from {givers}"
    return f"{len(group)} of {len(votes)} results agree ({givers})"
