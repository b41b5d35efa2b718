"""Specs of jobs in little memory: as JSON, parsed again when somebody asks. Pure.

A parsed spec is dozens of objects, some kilobytes however little it says, and most jobs of a long
backlog are only ever counted. Those asked for of late are kept, once for all jobs that ask alike.
"""

from __future__ import annotations

from collections import OrderedDict
from sys import intern

from schemas.job import JobSpec

PACKED_AT_MOST = 4096
"""Bytes of JSON; beyond, the texts weigh more than the objects, and little would be gained."""
KEPT = 20_000
"""Parsed specs; some 120 MB."""

_kept: OrderedDict[bytes, JobSpec] = OrderedDict()


def pack(spec: JobSpec) -> bytes | JobSpec:
    """What to hold instead of a spec."""
    # Only for this process: another version may have other defaults.
    packed = spec.model_dump_json(exclude_defaults=True).encode()
    if len(packed) > PACKED_AT_MOST:
        return spec
    _keep(packed, spec)
    return packed


def unpack(packed: bytes | JobSpec) -> JobSpec:
    if isinstance(packed, JobSpec):
        return packed
    spec = _kept.get(packed)
    if spec is None:
        spec = JobSpec.model_validate_json(packed)
        _keep(packed, spec)
    else:
        _kept.move_to_end(packed)
    return spec


def demand_key(spec: JobSpec) -> str:
    """Equal, and one and the same text, for specs that ask the same of a giver."""
    container = spec.container
    parts = container.resources, container.grants, spec.placement
    texts = (part.model_dump_json() for part in parts)
    figures = (str(container.timeout_s), str(owners_needed(spec)))
    return intern("\n".join((container.image, *figures, *texts)))


def owners_needed(spec: JobSpec) -> int:
    """So many different ones have to agree on a task. One may do where trust is adaptive, and for
    probes."""
    rules = spec.agreement
    return 1 if rules.adaptive or spec.known else rules.quorum


def _keep(packed: bytes, spec: JobSpec) -> None:
    _kept[packed] = spec
    _kept.move_to_end(packed)
    if len(_kept) > KEPT:
        _kept.popitem(last=False)
