"""Which containers of ours are still wanted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from giver.engine import Container
from schemas.assignment import Assignment


def sort_found(
    found: Iterable[Container], unfinished: Mapping[str, Assignment]
) -> tuple[list[tuple[Assignment, Container]], list[Container]]:
    """At start: those to go on with, and those that nobody waits for.

    No execution runs yet, so whatever is not in the journal as unfinished is left over.
    """
    adopted, leftover = [], []
    for container in found:
        assignment = unfinished.get(container.assignment_id)
        if assignment is None:
            leftover.append(container)
        else:
            adopted.append((assignment, container))
    return adopted, leftover


def overdue(
    found: Collection[Container], owned: Callable[[str], bool], now: float, grace_s: float
) -> list[Container]:
    """While running: those without an execution and older than `grace_s`.

    `now` and the containers' times are the engine's clock. The grace covers a container that is
    being made while the list was read.
    """
    return [
        container
        for container in found
        if not owned(container.assignment_id) and now - container.created_at > grace_s
    ]
