"""A packed spec is the spec, in less memory."""

from __future__ import annotations

import logging
import tracemalloc
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import identifiers
from schemas.job import Agreement, ContainerSpec, JobSpec, Placement, Resources, Retry
from seeker import specs
from seeker.fleet import Fleet
from seeker.ledger import Ledger
from seeker.model import Job

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
SPECS = st.builds(
    JobSpec,
    name=st.none() | st.text("abc", min_size=1, max_size=5),
    container=st.builds(
        ContainerSpec,
        image=st.just("image"),
        command=st.lists(TEXT, max_size=3).map(tuple),
        env=st.dictionaries(st.text("ABC", min_size=1, max_size=3), TEXT, max_size=2),
        workdir=st.none() | st.just("/work"),
        resources=st.builds(Resources, cpus=st.floats(0.001, 4096), gpus=st.integers(0, 64)),
        timeout_s=st.floats(1, 1000),
    ),
    agreement=st.builds(Agreement, replicas=st.integers(1, 4), max_attempts=st.integers(4, 9)),
    placement=st.builds(Placement, labels=st.dictionaries(TEXT, TEXT, max_size=2), prefer=TEXT),
    retry=st.builds(Retry, limit=st.integers(0, 3)),
    priority=st.integers(-1000, 1000),
    after=st.lists(st.builds(identifiers.new_job_id), max_size=2).map(tuple),
    deadline_s=st.none() | st.floats(1, 1000),
    count=st.just(2),
    parameters=st.just(()) | st.just(({"a": "1"}, {"a": "2"})),
)


@given(SPECS)
def test_a_packed_spec_is_parsed_to_what_it_was(spec: JobSpec) -> None:
    packed = specs.pack(spec)
    assert isinstance(packed, bytes)
    specs._kept.clear()
    assert specs.unpack(packed).model_dump_json() == spec.model_dump_json()


def test_a_long_spec_stays_as_it_is() -> None:
    spec = JobSpec(container=ContainerSpec(image="image", command=("x" * specs.PACKED_AT_MOST,)))
    assert specs.pack(spec) is spec
    assert specs.unpack(spec) is spec


def test_only_so_many_parsed_specs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "KEPT", 2)
    specs._kept.clear()
    first, second, third = (
        specs.pack(JobSpec(container=ContainerSpec(image=image))) for image in "abc"
    )
    assert list(specs._kept) == [second, third]
    specs.unpack(second)
    specs.unpack(first)
    assert list(specs._kept) == [second, first], "the one asked for longest ago went"


def test_a_waiting_job_of_one_task_takes_less_than_a_kilobyte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(specs, "KEPT", 10)
    specs._kept.clear()
    ledger = Ledger(Fleet(strikes=3), Random(0))

    def submit(count: int) -> None:
        for number in range(count):
            container = ContainerSpec(
                image="registry.example.org/science/simulation:1.4",
                command=("python", "run.py", "--seed", str(number)),
                env={"MODEL": "small", "SEED": str(number)},
                resources=Resources(cpus=0.5, memory_bytes=1 << 30),
            )
            spec = JobSpec(container=container)
            now = datetime.now(UTC)
            ledger.add(Job.new(identifiers.new_job_id(), spec, now, now), {})

    submit(20)
    logging.disable()  # The test runner keeps what is logged.
    tracemalloc.start()
    try:
        submit(2000)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
    assert taken / 2000 < 1024
