"""What the channel keeps, as its readers see it and as it lies in the database."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime

from schemas import digests
from schemas.base import Part
from schemas.heartbeat import Capacity, Heartbeat, Platform
from schemas.identifiers import GiverId
from schemas.result import Result, StoredResult
from schemas.states import GiverState

Document = dict[str, Any]


class KeptResult(Result):
    """A result as its giver sent it, and what the channel found."""

    digest: str | None = None
    """Hexadecimal SHA-256 over what is comparable between givers. `None`: says nothing about the
    task (the giver or its Docker failed, or it never left the files that it names), so it is no
    vote."""
    comparable: str | None = None
    """Where the comparison allows for a tolerance: the text to compare."""
    files_digest: str | None = None
    """Of the output files, which are equal only to the byte. `None`: there are none."""
    stored_at: AwareDatetime
    """By the channel's clock."""
    sent_by: str | None
    """The sender as the broker authenticated it; `None` if the broker was not told."""


class Registration(Part):
    """A giver, as its latest heartbeats describe it. What changes all the time is left out."""

    giver_id: GiverId
    boot_id: str
    state: GiverState
    state_reason: str
    version: str
    owner: str
    labels: dict[str, str]
    platform: Platform
    capacity: Capacity
    images: tuple[str, ...]
    sent_by: str | None
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    """Up to half a minute late: a heartbeat that says nothing new is not written down at once."""


SUMMARY_FIELDS = tuple(name for name in StoredResult.model_fields if name != "result_id")

_DESCRIPTION = frozenset(Registration.model_fields) & frozenset(Heartbeat.model_fields)


def whole_milliseconds(moment: datetime) -> datetime:
    """As exact as the database keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def from_result(
    result: Result,
    sent_by: str | None,
    stored_at: datetime,
    absent: Container[str] = frozenset(),
) -> Document:
    """`absent`: the SHA-256s of files that were never left here. A giver that names one has handed
    over less than it says, and is not heard on the task."""
    document = result.model_dump()
    document["_id"] = document.pop("result_id")
    whole = not any(file.sha256 in absent for file in result.files)
    document["digest"] = digests.digest(result) if whole else None
    document["comparable"] = digests.comparable(result) if whole else None
    document["files_digest"] = digests.files_digest(result)
    document["stored_at"] = stored_at
    document["sent_by"] = sent_by
    return document


def to_result(document: Document) -> KeptResult:
    return KeptResult.model_validate({**document, "result_id": document["_id"]}, strict=False)


def to_summary(document: Document) -> StoredResult:
    return StoredResult.model_validate({**document, "result_id": document["_id"]}, strict=False)


def from_heartbeat(heartbeat: Heartbeat, sent_by: str | None) -> Document:
    """The part of a registration that a heartbeat tells."""
    document = heartbeat.model_dump(include=set(_DESCRIPTION))
    document["_id"] = document.pop("giver_id")
    # A label may be named as the database would not let a field be named.
    document["labels"] = list(heartbeat.labels.items())
    document["sent_by"] = sent_by
    return document


def to_registration(document: Document) -> Registration:
    return Registration.model_validate(
        {**document, "giver_id": document["_id"], "labels": dict(document["labels"])},
        strict=False,
    )
