"""One container, many tasks: ranges of indices, matrices of values, files of parameters."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from schemas.job import JobSpec
from seeker import rendering

MOST_TASKS = 10_000_000

_RANGE = re.compile(r"(-?[0-9]{1,18})\.\.(-?[0-9]{1,18})")
_INDICES = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class SweepError(ValueError):
    """It cannot be understood; the message names the value, or the file and line, and a remedy."""


def indices(text: str) -> tuple[int, int]:
    """The first index and the number of tasks of `FIRST-LAST`.

    Raises:
        SweepError: it is not of that form.
    """
    match = _INDICES.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise SweepError(f"{text!r} is no range of indices: write FIRST-LAST, e.g. 1-100")
    return int(match[1]), int(match[2]) - int(match[1]) + 1


def values(text: str) -> tuple[str, ...]:
    """The values of `1,2,4` or of the range `1..10`.

    Raises:
        SweepError: there is none, or the range counts down or is longer than a job can be.
    """
    if not text:
        raise SweepError("there is no value: write for example 1,2,4 or 1..10")
    match = _RANGE.fullmatch(text)
    if match is None:
        return tuple(text.split(","))
    first, last = int(match[1]), int(match[2])
    if first > last:
        raise SweepError(f"{text!r} counts down: write {last}..{first}")
    if last - first >= MOST_TASKS:
        raise SweepError(f"{text!r}: a job has at most {MOST_TASKS} tasks")
    return tuple(map(str, range(first, last + 1)))


def read_parameters(path: Path) -> tuple[dict[str, str], ...]:
    """A set of values for each row of a .csv file with a header, or each line of a .jsonl file.

    Raises:
        SweepError: names the file, the line and what is wrong with it.
    """
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SweepError(f"{path}: parameters are read from files named .csv or .jsonl")
    try:
        rows = tuple(reader(path))
    except OSError as error:
        raise SweepError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise SweepError(f"{path} is not UTF-8: {error}") from error
    if not rows:
        raise SweepError(f"{path} holds no parameters: one row makes one task")
    return rows


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    # A byte order mark, as spreadsheets write it, is not part of the first name.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, None)
            if names is None:
                return
            if not names:
                raise SweepError(f"{path}:1 is empty: the first row has the names, e.g. size,seed")
            _check_names(names, f"{path}:1")
            for row in reader:
                if row and len(row) != len(names):
                    raise SweepError(
                        f"{path}:{reader.line_num}: {len(row)} values for {len(names)} names "
                        f"({', '.join(names)}): put values with commas in quotes"
                    )
                if row:
                    yield dict(zip(names, row, strict=True))
        except csv.Error as error:
            raise SweepError(f"{path}:{reader.line_num}: {error}") from error


def _jsonl_rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:
                raise SweepError(f"{where} cannot be read as JSON: {error}") from error
            if not isinstance(row, dict) or not row:
                raise SweepError(f'{where}: each line is an object such as {{"size": 1}}')
            _check_names(list(row), where)
            yield {name: _text(value, name, where) for name, value in row.items()}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice} is there twice: rename one")
    return found


def _check_names(names: Sequence[str], where: str) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise SweepError(f"{where}: {name!r} is no name: use letters, digits and _")
        if names.count(name) > 1:
            raise SweepError(f"{where}: {name} is there twice: rename one")


def _text(value: Any, name: str, where: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)) or (
        isinstance(value, float) and not isfinite(value)
    ):
        raise SweepError(f"{where}: {name} is {json.dumps(value)[:80]}: write text or a number")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SweepError(f"{where}: {name} is no text: {error}") from error
    return text


def part_of(spec: JobSpec, chosen: Sequence[int]) -> Mapping[str, Any]:
    """The fields of a spec for a job of only some of another's tasks, by index.

    Their indices become parameters, so that they are rendered as they were in the first job.
    """
    if len(chosen) == spec.count:
        return {}
    known = {
        str(position): spec.known[str(index)]
        for position, index in enumerate(chosen)
        if str(index) in spec.known
    }
    fields: dict[str, Any] = {"first_index": 0, "count": len(chosen), "known": known}
    if spec.parameters or spec.matrix:
        sets = tuple(rendering.values_of(spec, index) for index in chosen)
        return {**fields, "parameters": sets, "matrix": {}}
    return {**fields, "matrix": {"index": tuple(map(str, chosen))}}
