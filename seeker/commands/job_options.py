"""The options that describe a job, and the `JobSpec` that they and a job file make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from runtime.command_line import UserError
from schemas.job import JobSpec
from seeker import jobfile, sources, sweep
from seeker.commands.arguments import pairs
from seeker.sources import Source, SourceError

RESOURCES = ("cpus", "memory", "disk", "gpus", "pids")
GRANTS = ("network", "capabilities", "writable_root", "runtime")
MERGED = ("env", "grants", "known", "labels", "matrix", "resources")
"""Mappings of which an option replaces single entries."""
REPLACES = {
    "array": ("first_index", "count"),
    "matrix": ("parameters", "count"),
    "parameters": ("matrix", "count"),
}
"""What in a job file an option takes the place of, beside its own key."""


def _matrix(
    _: click.Context, __: click.Parameter, written: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in written:
        name, separator, values = text.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{text!r} is not of the form NAME=1,2,4 or NAME=1..10")
        if name in found:
            raise click.BadParameter(f"{name} is there twice: write all its values at once")
        try:
            found[name] = sweep.values(values)
        except sweep.SweepError as error:
            raise click.BadParameter(f"{name}: {error}") from error
    return found


def _parameters(
    _: click.Context, __: click.Parameter, path: Path | None
) -> tuple[dict[str, str], ...] | None:
    try:
        return None if path is None else sweep.read_parameters(path)
    except sweep.SweepError as error:
        raise click.BadParameter(str(error)) from error


def _inputs(_: click.Context, __: click.Parameter, written: tuple[str, ...]) -> tuple[Source, ...]:
    try:
        return tuple(sources.parse(text, Path.cwd()) for text in written)
    except SourceError as error:
        raise click.BadParameter(str(error)) from error


_OPTIONS = (
    click.argument("image", required=False),
    click.argument("command", nargs=-1),
    click.option(
        "-f", "--file", "path", type=click.Path(path_type=Path), help="A job file (YAML)."
    ),
    click.option(
        "--with-registry-auth/--without-registry-auth",
        default=None,
        help="Send along what your Docker knows of the image's registry, where that is private.",
    ),
    click.option("--name", help="For people; need not be unique."),
    # What runs
    click.option("-e", "--env", multiple=True, callback=pairs, help="NAME=VALUE; repeatable."),
    click.option("--workdir", help="Folder to start in, absolute."),
    click.option("--entrypoint", help="Instead of the image's own; '' for none."),
    click.option("--cpus", type=float, help="CPU cores, fractions allowed.  [default: 1]"),
    click.option("--memory", help="Memory and swap, e.g. 512MiB.  [default: 256MiB]"),
    click.option("--disk", help="For /in and /out together, e.g. 2GiB.  [default: 1GiB]"),
    click.option("--gpus", type=int, help="[default: 0]"),
    click.option("--pids", type=int, help="Processes and threads.  [default: 256]"),
    click.option("--timeout", help="Longest run, e.g. 90s, 10m, 1h30m.  [default: 1h]"),
    # Files
    click.option(
        "--input",
        "inputs",
        multiple=True,
        callback=_inputs,
        metavar="FILE|FOLDER|URL[:PATH]",
        help="To lie in /in, under its name or PATH. Repeatable.",
    ),
    click.option(
        "--output",
        "outputs",
        multiple=True,
        metavar="PATTERN",
        help="Files of /out to keep, e.g. 'frames/*.png'; `seeker fetch` gets them. Repeatable.",
    ),
    # What it gets beyond the hardened default, where a giver's owner allows it
    click.option("--network/--no-network", default=None, help="A way out.  [default: none]"),
    click.option(
        "--cap-add",
        "capabilities",
        multiple=True,
        metavar="NAME",
        help="A capability of Linux, e.g. NET_RAW, and root in the container; repeatable.",
    ),
    click.option(
        "--writable-root/--read-only-root",
        default=None,
        help="Write anywhere in the container, as the image's own user.  [default: /tmp only]",
    ),
    click.option("--runtime", metavar="NAME", help="Of the giver's Docker, e.g. runsc."),
    # How often
    click.option(
        "--array", metavar="FIRST-LAST", help="A task for each index: {{index}}, $TASK_INDEX."
    ),
    click.option(
        "--matrix",
        multiple=True,
        callback=_matrix,
        metavar="NAME=VALUES",
        help="A task for each combination, e.g. size=1,2,4 or seed=1..10; {{size}} stands for "
        "its value. Repeatable.",
    ),
    click.option(
        "--params",
        "parameters",
        type=click.Path(path_type=Path),
        callback=_parameters,
        help="A task for each row of a .csv or .jsonl file; {{name}} stands for its value.",
    ),
    # Where
    click.option("--require", metavar="CEL", help='Only givers for which it holds: "cpus >= 8".'),
    click.option("--prefer", metavar="CEL", help='The higher the better, e.g. "speed".'),
    click.option(
        "--label",
        "labels",
        multiple=True,
        callback=pairs,
        metavar="NAME=VALUE",
        help="Only givers that have it; repeatable.",
    ),
    click.option("--platform", metavar="OS/ARCH", help="Only such givers, e.g. linux/arm64."),
    click.option(
        "--strategy",
        type=click.Choice(["spread", "pack"]),
        help="Among equals the emptiest giver first, or the fullest.  [default: spread]",
    ),
    # Until when, and what if not
    click.option("--replicas", type=int, help="Givers to ask.  [default: the quorum]"),
    click.option("--quorum", type=int, help="Equal results that decide.  [default: 1]"),
    click.option(
        "--trust",
        type=click.Choice(["none", "quorum", "adaptive"]),
        help="Believe anybody, two who agree, or those alone who have earned it.",
    ),
    click.option(
        "--compare",
        type=click.Choice(["bytes", "text", "lines", "numbers", "json", "files"]),
        help="What of stdout must be equal (docs/trust.md).  [default: bytes]",
    ),
    click.option(
        "--known",
        multiple=True,
        callback=pairs,
        metavar="INDEX=STDOUT",
        help="What that task must print; checks whoever gets it. Repeatable.",
    ),
    click.option(
        "--comparator",
        metavar="IMAGE",
        help="Your own container says whether $RESULT_A and $RESULT_B agree, by exit code 0.",
    ),
    click.option(
        "--tolerance", type=float, help="Relative, of numbers compared as numbers or json."
    ),
    click.option("--absolute-tolerance", type=float, help="The same, absolute."),
    click.option(
        "--on-disagreement",
        type=click.Choice(["heuristic", "fail"]),
        help="When nobody is left to ask: choose by reputation, or fail.  [default: heuristic]",
    ),
    click.option(
        "--homogeneous/--heterogeneous",
        default=None,
        help="All tries of a task on one platform, or on any.  [default: any]",
    ),
    click.option("--max-attempts", type=int, help="Tries at one task at the most."),
    click.option("--retries", type=int, help="Further runs of a task that failed.  [default: 0]"),
    click.option("--retry-pause", help="Before the first; then doubled.  [default: 1s]"),
    click.option("--backup-after", type=float, help="A second try after so many median run times."),
    click.option("--queue-timeout", help="Fail what is not placed by then, e.g. 1h."),
    click.option("--deadline", help="Fail what has not ended by then, e.g. 1d."),
    click.option("--priority", type=int, help="Higher goes first.  [default: 0]"),
    click.option(
        "--after",
        multiple=True,
        metavar="JOB",
        help="Begin when it has succeeded; repeatable.",
    ),
)


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """IMAGE, COMMAND and all options of a job, for `spec_of`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Described(NamedTuple):
    """A job, and what has to be fetched before it can be submitted."""

    spec: JobSpec
    inputs: tuple[Source, ...]
    """Where those of the spec come from, in their order."""
    with_registry_auth: bool


def spec_of(options: Mapping[str, Any]) -> JobSpec:
    """As `job_of`, for those who only ask what would become of it."""
    return job_of(options).spec


def job_of(options: Mapping[str, Any]) -> Described:
    """The job that the options describe, over those of the job file where one is named.

    Raises:
        UserError: names the key that is missing or wrong.
    """
    given = {name: value for name, value in options.items() if value not in (None, {}, ())}
    path: Path | None = given.pop("path", None)
    for key, names in (("resources", RESOURCES), ("grants", GRANTS)):
        nested = {name: given.pop(name) for name in names if name in given}
        if nested:
            given[key] = nested
    if "entrypoint" in given:
        given["entrypoint"] = (given["entrypoint"],)
    try:
        values = jobfile.read(path) if path is not None else {}
        for option, replaced in REPLACES.items():
            if option in given:
                for name in replaced:
                    values.pop(name, None)
        for name in MERGED:
            if name in given and name in values:
                written = values[name]
                # What is no mapping stays as it is, to be refused below.
                given[name] = {**written, **given[name]} if isinstance(written, dict) else written
        values.update(given)
        if "image" not in values:
            raise UserError("no image: name one, or a job file with -f (see --help)")
        spec = jobfile.build(values, str(path) if path is not None else "the job")
        return Described(
            spec, tuple(values.get("inputs", ())), values.get("with_registry_auth", False)
        )
    except jobfile.JobFileError as error:
        raise UserError(str(error)) from error
