"""Expressions come from strangers: whatever they say, the seeker goes on."""

from __future__ import annotations

import math

import pytest

from schemas.job import Placement
from seeker import expression
from seeker.expression import SAMPLE, Expression, ExpressionError


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775807 + 1 > 0",
        "1 / 0 > 1",
        "1 % 0 > 1",
        "-9223372036854775807 - 2 < 0",
        "int('x') > 1",
        "[1][5] == 1",
        "labels.zone == 1",
        "duration('x') > duration('1s')",
        "'a'.matches('(')",
        "((((((((((1",
        "\x00",
        "🦊 == '🦊'",
    ],
)
def test_an_expression_that_fails_is_an_error_or_nothing(text: str) -> None:
    try:
        compiled = Expression(text)
    except ExpressionError:
        return
    assert compiled.evaluate(SAMPLE) in (None, True, False)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "1", True, None, []])
def test_what_is_no_finite_number_counts_as_nothing(value: object) -> None:
    assert expression.number(value) == 0


@pytest.mark.parametrize("dot", [".", " . ", ".//\n", ". // a comment\n\t// another\n"])
@pytest.mark.parametrize("bracket", ["(", " (", "//\n("])
def test_a_nest_of_loops_is_refused(dot: str, bracket: str) -> None:
    loop = f"images{dot}all{bracket}"
    nest = f"{loop}a, {loop}b, {loop}c, a == b)))"
    assert "goes through lists 3 times" in expression.problem(Placement(require=nest))


def test_a_label_that_the_sample_lacks_is_no_mistake() -> None:
    assert not expression.problem(Placement(require="labels.zone == 'eu' && int(labels.rack) > 3"))


@pytest.mark.parametrize(
    "asked",
    [
        Placement(prefer="labels.zone == 'eu'"),
        Placement(prefer="labels['zone']"),
        Placement(require="labels.zone"),
    ],
)
def test_what_yields_the_wrong_kind_whatever_the_label_is_refused(asked: Placement) -> None:
    assert "it must yield" in expression.problem(asked)
