"""Filling a task's parameters into its container.

`{{name}}` stands for the task's value of that name and `{{index}}` for its index, in the command,
the entrypoint and the values of the environment. Single braces, which shells and awk are full of,
stay as they are; so do unknown names in a job without parameters, without matrix and with one task.
A parameter named `index` takes the index's place, in `$TASK_INDEX` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from schemas.assignment import Assignment as AssignmentMessage
from schemas.job import ContainerSpec, JobSpec
from seeker.model import Assignment

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


class UnknownParameter(ValueError):
    """A placeholder names no parameter of the task; the message names both."""


def templated(spec: JobSpec) -> bool:
    """Whether a placeholder of an unknown name must be a mistake."""
    return bool(spec.parameters or spec.matrix) or spec.count > 1


def values_of(spec: JobSpec, index: int) -> dict[str, str]:
    """What the placeholders stand for in the task of that index."""
    values = {"index": str(index)}
    position = index - spec.first_index
    if spec.parameters:
        values.update(spec.parameters[position])
    # As the digits of a number, each in the base of its own: the last name varies fastest.
    for name, choices in reversed(spec.matrix.items()):
        position, digit = divmod(position, len(choices))
        values[name] = choices[digit]
    return values


def check(spec: JobSpec) -> None:
    """
    Raises:
        UnknownParameter: some task of the job could not be rendered.
    """
    if not templated(spec):
        return
    named = {
        name
        for text in (
            *spec.container.command,
            *spec.container.entrypoint,
            *spec.container.env.values(),
        )
        for name in _PLACEHOLDER.findall(text)
    } - {"index"}
    available = (values.keys() for values in spec.parameters or (spec.matrix,))
    for position, names in enumerate(available):
        missing = sorted(named - names)
        if missing:
            raise UnknownParameter(
                f"{{{{{missing[0]}}}}} is no parameter of task {spec.first_index + position} "
                f"(it has {', '.join(sorted({*names, 'index'}))}): add it to the parameters or "
                "the matrix, or change the placeholder"
            )


def container_of(spec: JobSpec, job_id: str, index: int, task_id: str) -> ContainerSpec:
    """The container of one task. It finds its place in the job in its environment."""
    container = spec.container
    values = values_of(spec, index)
    own = {"JOB_ID": job_id, "TASK_ID": task_id, "TASK_INDEX": values["index"]}
    return container.model_copy(
        update={
            "command": _fill(container.command, values),
            "entrypoint": _fill(container.entrypoint, values),
            "env": {**{k: _filled(v, values) for k, v in container.env.items()}, **own},
        }
    )


def message_of(assignment: Assignment) -> AssignmentMessage:
    """What the giver gets."""
    task = assignment.task
    return AssignmentMessage.model_construct(
        assignment_id=assignment.id,
        task_id=task.id,
        job_id=task.job.id,
        container=container_of(task.job.spec, task.job.id, task.index, task.id),
    )


def _fill(texts: Iterable[str], values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_filled(text, values) for text in texts)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return (
        _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)
        if "{{" in text
        else text
    )
