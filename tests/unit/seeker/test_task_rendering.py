"""Parameters, matrices and indices in a task's container."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.job import ContainerSpec, JobSpec
from seeker import rendering, sweep

JOB = "01J00000000000000000000000"

names = st.from_regex(r"[a-hj-z][a-z_]{0,5}", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\0"), max_size=3)
matrices = st.dictionaries(
    names,
    st.lists(texts, min_size=1, max_size=5, unique=True).map(tuple),
    min_size=1,
    max_size=4,
)


def spec(*command: str, **fields: Any) -> JobSpec:
    return JobSpec(container=ContainerSpec(image="image", command=command), **fields)


def command(job: JobSpec, index: int) -> tuple[str, ...]:
    return rendering.container_of(job, JOB, index, f"{JOB}-{index}").command


def index_of(matrix: dict[str, tuple[str, ...]], values: dict[str, str]) -> int:
    """The reverse of what is tested."""
    index = 0
    for name, choices in matrix.items():
        index = index * len(choices) + choices.index(values[name])
    return index


@given(matrices, st.integers(0, 1000), st.data())
def test_an_index_stands_for_one_combination_and_the_combination_for_it(
    matrix: dict[str, tuple[str, ...]], first_index: int, data: st.DataObject
) -> None:
    count = prod(map(len, matrix.values()))
    job = spec(matrix=matrix, count=count, first_index=first_index)
    position = data.draw(st.integers(0, count - 1))
    values = rendering.values_of(job, first_index + position)
    assert values.pop("index") == str(first_index + position)
    assert values.keys() == matrix.keys()
    assert index_of(matrix, values) == position


def test_the_last_name_of_a_matrix_varies_fastest() -> None:
    job = spec("{{a}}{{b}}", matrix={"a": ("1", "2"), "b": ("x", "y", "z")}, count=6)
    assert [command(job, i)[0] for i in range(6)] == ["1x", "1y", "1z", "2x", "2y", "2z"]


def test_a_matrix_with_one_combination_is_filled_in() -> None:
    assert command(spec("{{a}}", matrix={"a": ("1",)}), 0) == ("1",)


def test_unknown_names_stay_where_a_job_has_one_task_and_no_parameters() -> None:
    job = spec("{{x}}")
    rendering.check(job)
    assert command(job, 0) == ("{{x}}",)


def test_a_parameter_named_index_takes_its_place_in_the_environment_too() -> None:
    job = spec("{{index}}", parameters=({"index": "17"},))
    container = rendering.container_of(job, JOB, 0, f"{JOB}-0")
    assert container.command == ("17",)
    assert container.env["TASK_INDEX"] == "17"


def test_a_placeholder_that_a_matrix_lacks_is_named_with_those_that_there_are() -> None:
    job = spec("{{sed}}", matrix={"seed": ("1", "2")}, count=2)
    with pytest.raises(rendering.UnknownParameter, match=r"\{\{sed\}\}.*it has index, seed"):
        rendering.check(job)


def test_the_first_task_that_lacks_a_parameter_is_named() -> None:
    job = spec("{{a}}", parameters=({"a": "1"}, {"b": "1"}), count=2, first_index=5)
    with pytest.raises(rendering.UnknownParameter, match="task 6"):
        rendering.check(job)


jobs = st.one_of(
    st.builds(
        lambda matrix, first: spec(
            "{{index}}",
            *(f"{{{{{name}}}}}" for name in matrix),
            matrix=matrix,
            count=prod(map(len, matrix.values())),
            first_index=first,
        ),
        matrices,
        st.integers(0, 9),
    ),
    st.builds(
        lambda count, first: spec("{{index}}", count=count, first_index=first),
        st.integers(1, 20),
        st.integers(0, 9),
    ),
    st.builds(
        lambda values: spec(
            "{{index}} {{x}}", parameters=tuple({"x": v} for v in values), count=len(values)
        ),
        st.lists(texts, min_size=1, max_size=20),
    ),
)


@given(jobs, st.data())
def test_a_job_of_some_tasks_of_another_renders_them_as_they_were(
    job: JobSpec, data: st.DataObject
) -> None:
    indices = range(job.first_index, job.first_index + job.count)
    chosen = sorted(data.draw(st.sets(st.sampled_from(indices), min_size=1)))
    again = JobSpec.model_validate({**dict(job), **sweep.part_of(job, chosen)})
    assert again.count == len(chosen)

    def told(of: JobSpec, index: int) -> tuple[object, ...]:
        container = rendering.container_of(of, JOB, index, "task")
        return container.command, container.env["TASK_INDEX"]

    before = [told(job, index) for index in chosen]
    assert [told(again, again.first_index + i) for i in range(again.count)] == before


def test_the_index_is_filled_in_even_where_there_is_but_one() -> None:
    container = ContainerSpec(
        image="x", command=("{{index}}", "{{other}}"), env={"TASK_INDEX": "9"}
    )
    spec = JobSpec(container=container, first_index=3)
    rendered = rendering.container_of(spec, "job", 3, "task")
    assert rendered.command == ("3", "{{other}}")
    assert rendered.env["TASK_INDEX"] == "3"


def test_a_task_that_no_message_could_carry_is_refused() -> None:
    job = spec("{{a}}" * 400, parameters=({"a": "x" * 10_000},))
    with pytest.raises(rendering.TooLarge, match="put bulk data into the image"):
        rendering.check(job)
    assert rendering.largest(job) >= len(command(job, 0)[0])
