"""Filling a task's parameters into its container.

`{{name}}` stands for the task's value of that name and `{{index}}` for its index, in the command,
the entrypoint and the values of the environment. Single braces, which shells and awk are full of,
stay as they are; so do unknown names in a job without parameters, without matrix and with one task.
A parameter named `index` takes the index's place, in `$TASK_INDEX` too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from schemas.assignment import Assignment as AssignmentMessage
from schemas.job import ContainerSpec, JobSpec
from seeker.model import Assignment

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


LARGEST = 1 << 20


class TooLarge(ValueError):
    """A task would be too large for a message; the message says by how much."""


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


def largest(spec: JobSpec) -> int:
    """Characters that no task's container exceeds, with its values filled in."""
    container = spec.container
    texts = (*container.command, *container.entrypoint, *container.env.values())
    fixed = sum(map(len, texts)) + sum(map(len, container.env)) + len(container.image)
    names = Counter(name for text in texts for name in _PLACEHOLDER.findall(text))
    longest = {name: max(map(len, choices)) for name, choices in spec.matrix.items()}
    for name in names:
        if spec.parameters:
            longest[name] = max(len(values.get(name, "")) for values in spec.parameters)
    return fixed + sum(times * longest.get(name, 20) for name, times in names.items())


def problem(spec: JobSpec) -> str:
    """Why the job's tasks cannot be sent to givers; empty if they can."""
    size = largest(spec)
    if size <= LARGEST:
        return ""
    return (
        f"the command and environment of a task would be up to {size} characters, at most "
        f"{LARGEST} are possible: put bulk data into the image"
    )


def check(spec: JobSpec) -> None:
    """
    Raises:
        UnknownParameter: some task of the job could not be rendered.
        TooLarge: some task would be too large for a message.
    """
    trouble = problem(spec)
    if trouble:
        raise TooLarge(trouble)
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
    job = task.job
    container = container_of(job.spec, job.id, task.index, task.id)
    if job.pinned_image:
        container = container.model_copy(update={"image": job.pinned_image})
    return AssignmentMessage.model_construct(
        assignment_id=assignment.id,
        task_id=task.id,
        job_id=job.id,
        container=container,
        comparison=job.spec.agreement.comparison,
    )


def _fill(texts: Iterable[str], values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_filled(text, values) for text in texts)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return (
        _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)
        if "{{" in text
        else text
    )
