"""Requirement and preference expressions, in CEL (https://cel.dev), over a giver's attributes.

id, owner, version, os, arch    text
cpus, memory, disk, gpus        capacity: cores, bytes, bytes, count
speed, speed_all                measured speed, 1.0 where it is unknown
labels                          map of text to text; `labels.zone`, `"ssd" in labels`
images                          list of the images that are there
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any, TypeGuard, TypeVar

from schemas.heartbeat import Heartbeat
from schemas.job import Placement

Attributes = dict[str, Any]

T = TypeVar("T")

LOOPS_AT_MOST = 2

_SPACE = r"(?:\s|//[^\n]*(?:\n|$))*"
_LOOP = re.compile(rf"\.{_SPACE}(?:all|exists|exists_one|existsOne|map|filter){_SPACE}\(")


class ExpressionError(ValueError):
    """The expression cannot be understood; the message shows it and where it went wrong."""


def attributes(beat: Heartbeat) -> Attributes:
    """What expressions can speak of. Nothing in it changes with the giver's load."""
    return {
        "id": beat.giver_id,
        "owner": beat.owner,
        "version": beat.version,
        "os": beat.platform.os,
        "arch": beat.platform.architecture,
        "cpus": beat.capacity.cpus,
        "memory": beat.capacity.memory_bytes,
        "disk": beat.capacity.disk_bytes,
        "gpus": beat.capacity.gpus,
        "speed": beat.speed.single if beat.speed else 1.0,
        "speed_all": beat.speed.all_cores if beat.speed else 1.0,
        "labels": dict(beat.labels),
        "images": list(beat.images),
    }


SAMPLE: Attributes = {
    "id": "giver",
    "owner": "",
    "version": "0",
    "os": "linux",
    "arch": "amd64",
    "cpus": 1.0,
    "memory": 1,
    "disk": 1,
    "gpus": 0,
    "speed": 1.0,
    "speed_all": 1.0,
    "labels": {},
    "images": [],
}


class Expression:
    """Compiled once."""

    def __init__(self, text: str) -> None:
        """
        Raises:
            ExpressionError: a syntax error.
        """
        self.text = text
        loops = len(_LOOP.findall(text))
        if loops > LOOPS_AT_MOST:
            raise ExpressionError(
                f"{text!r} goes through lists {loops} times, at most {LOOPS_AT_MOST} are allowed: "
                "a nest of them could hold up everybody"
            )
        import cel  # It brings a terminal application of its own: commands do not wait for that.

        try:
            self._program = _without_panic(cel.compile, text)
        except ValueError as error:
            detail = " ".join(str(error).split()).partition("ERROR: ")[2] or str(error)
            raise ExpressionError(f"{text!r} is no CEL expression: {detail[:300]}") from error

    def check(self, kind: type) -> None:
        """Evaluate on a sample giver, to find wrong names and types before anything is submitted.

        Labels are made up, as text that says nothing.

        Raises:
            ExpressionError: the expression could never yield a `kind` (bool or float).
        """
        labels: dict[str, str] = {}
        while True:
            try:
                value = _without_panic(self._program.execute, {**SAMPLE, "labels": labels})
                break
            except KeyError as error:
                if error.args[0] in labels:
                    return
                labels[error.args[0]] = ""
            except Exception as error:
                if labels:  # With one that says something it may be right.
                    return
                names = ", ".join(SAMPLE)
                raise ExpressionError(f"{self.text!r}: {error} (there are: {names})") from error
        wanted = "true or false" if kind is bool else "a number"
        fits = isinstance(value, bool) if kind is bool else _is_number(value)
        if not fits:
            raise ExpressionError(f"{self.text!r} yields {value!r}: it must yield {wanted}")

    def evaluate(self, giver: Attributes) -> object:
        """What it yields for a giver; `None` where it cannot be evaluated."""
        try:
            return _without_panic(self._program.execute, giver)
        except Exception:  # The library raises many kinds; all of them mean: not for this giver.
            return None


def _without_panic(call: Callable[[T], Any], argument: T) -> Any:
    """The library is written in Rust: a panic there arrives as a `BaseException` of its own."""
    try:
        return call(argument)
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError(f"it cannot be handled: {error}") from error
        raise


def number(value: object) -> float:
    """What an expression yielded, as a number; 0 where it is none, or not a finite one."""
    return float(value) if _is_number(value) and isfinite(value) else 0.0


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@lru_cache(maxsize=1000)
def compiled(text: str) -> Expression:
    """
    Raises:
        ExpressionError: a syntax error.
    """
    return Expression(text)


def problem(placement: Placement) -> str:
    """Why the placement's expressions cannot be used; empty if they can."""
    try:
        for text, kind in ((placement.require, bool), (placement.prefer, float)):
            if text:
                compiled(text).check(kind)
    except ExpressionError as error:
        return str(error)
    return ""
