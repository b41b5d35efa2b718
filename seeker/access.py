"""The right that a giver gets to the files of an assignment, and to no others."""

from __future__ import annotations

from runtime.signed_urls import UrlSigner
from schemas.assignment import Assignment
from schemas.data import DataAccess
from seeker.settings import SeekerSettings

BEYOND_RUN_S = 7 * 86400.0
"""How long URLs hold, longer than the run may take: it may wait on its giver."""


def signer(settings: SeekerSettings) -> UrlSigner | None:
    """`None`: there is no key."""
    if settings.artifacts_key is None:
        return None
    return UrlSigner(
        settings.artifacts_key.get_secret_value(), settings.artifacts_url or settings.channel_url
    )


def data_access(assignment: Assignment, urls: UrlSigner) -> DataAccess:
    """What its giver may read, and leave in its name."""
    spec = assignment.container
    valid_s = spec.timeout_s + BEYOND_RUN_S
    return DataAccess(
        inputs=tuple(urls.read(each.sha256, valid_s) for each in spec.inputs),
        outputs=urls.write(assignment.assignment_id, max(0, spec.output_bytes), valid_s)
        if spec.outputs
        else "",
    )
