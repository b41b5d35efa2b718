"""Ids name one thing each, and each thing has one id."""

from __future__ import annotations

import pytest

from schemas import identifiers


@pytest.mark.parametrize("index", ["000", "01", "٣", "1000000000", "²", ""])
def test_a_number_has_one_way_to_be_written(index: str) -> None:
    assert not identifiers.is_task_id(f"{identifiers.new_job_id()}-{index}")


@pytest.mark.parametrize("index", [0, 7, identifiers.MOST_INDEX])
def test_an_id_tells_what_it_was_made_of(index: int) -> None:
    job = identifiers.new_job_id()
    task = identifiers.task_id(job, index)
    assert identifiers.is_task_id(task)
    assert (identifiers.job_of(task), identifiers.index_of(task)) == (job, index)
    assert identifiers.task_of(identifiers.assignment_id(task, 3)) == task
