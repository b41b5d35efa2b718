"""What makes results comparable is made of what is kept, not of what a giver says."""

from __future__ import annotations

import base64
from typing import Any, Literal

import pytest

from schemas.comparison import COMPARABLE_BYTES, Comparison
from schemas.digests import comparable, digest
from schemas.result import OutputFile, Stream
from schemas.states import Outcome
from tests.unit.channel.builders import a_result

By = Literal["bytes", "text", "lines", "numbers", "json"]


def of(stdout: str = "a\n", by: By = "bytes", **fields: Any) -> str | None:
    return digest(a_result(stdout=stdout, comparison=Comparison(by=by), **fields))


def test_the_digest_covers_outcome_code_stdout_and_files() -> None:
    base = of()
    assert base == of(giver="giver-2", stderr="noise")
    file = OutputFile(path="x", size_bytes=1, sha256="aa" * 32)
    for other in (
        of("b\n"),
        of(exit_code=1),
        of(outcome=Outcome.FAILED),
        of(files=(file,)),
    ):
        assert other not in (None, base)


def test_files_count_in_any_order() -> None:
    files = [OutputFile(path=name, size_bytes=1, sha256="aa" * 32) for name in "xy"]
    assert of(files=tuple(files)) == of(files=tuple(reversed(files)))


def test_what_a_giver_says_of_its_output_is_not_believed() -> None:
    honest = Stream(bytes=2, sha256="11" * 32)
    assert of("a\n", stdout_stream=honest) != of("b\n", stdout_stream=honest)
    assert of("a\n", stdout_stream=Stream(bytes=2, sha256="22" * 32)) == of(
        "a\n", stdout_stream=honest
    )


def test_the_hash_of_a_whole_counts_where_its_middle_is_not_kept() -> None:
    cut = [Stream(bytes=9, truncated=True, tail="z", sha256=each * 32) for each in ("11", "22")]
    assert of("a", stdout_stream=cut[0]) == of("a", stdout_stream=cut[0])
    assert of("a", stdout_stream=cut[0]) != of("a", stdout_stream=cut[1])
    assert of("a", stdout_stream=cut[0]) != of("b", stdout_stream=cut[0])


def test_who_claims_another_comparison_agrees_with_nobody() -> None:
    assert of(by="bytes") != of(by="text")


@pytest.mark.parametrize(
    ("by", "same"),
    [("bytes", False), ("text", True), ("lines", True), ("numbers", True), ("json", True)],
)
def test_line_ends_and_trailing_blanks(by: By, same: bool) -> None:
    assert (of("a\r\nb  \n\n", by) == of("a\nb\n", by)) is same


@pytest.mark.parametrize(("by", "same"), [("text", False), ("lines", True)])
def test_the_order_of_lines(by: By, same: bool) -> None:
    assert (of("a\nb\n", by) == of("b\na\n", by)) is same
    assert of("a\na\nb", by) != of("a\nb\nb", by)


def test_bytes_that_are_no_text_are_compared_as_they_are() -> None:
    raw = base64.b64encode(b"\xff\x00").decode()
    stream = Stream(bytes=2, encoding="base64")
    for by in ("bytes", "text", "json"):
        assert of(raw, by, stdout_stream=stream) == of(raw, by, stdout_stream=stream)
        assert of(raw, by, stdout_stream=stream) != of("x", by)
    assert of("not base64!", "bytes", stdout_stream=stream) is not None


def test_of_a_run_cut_short_only_the_outcome_counts() -> None:
    timed_out = of("a", outcome=Outcome.TIMED_OUT, exit_code=137)
    assert timed_out == of("b", outcome=Outcome.TIMED_OUT, exit_code=0)
    assert timed_out != of("b", outcome=Outcome.OUTPUT_LIMIT, exit_code=0)


@pytest.mark.parametrize(
    "silent", [Outcome.KILLED, Outcome.CANCELLED, Outcome.INFRASTRUCTURE_ERROR]
)
def test_what_says_nothing_of_the_task_is_no_vote(silent: Outcome) -> None:
    assert of(outcome=silent) is None


def test_output_read_from_a_log_in_doubt_is_no_vote() -> None:
    assert of(exact_output=False) is None


def test_a_text_to_compare_goes_along_only_where_a_tolerance_needs_it() -> None:
    tolerant = Comparison(by="json", relative=1e-6)
    assert comparable(a_result(stdout="1.0 \n")) is None
    assert comparable(a_result(stdout="1.0 \n", comparison=tolerant)) == "1.0"
    at_most = "1" * COMPARABLE_BYTES
    assert comparable(a_result(stdout=at_most, comparison=tolerant)) == at_most
    assert comparable(a_result(stdout=at_most + "1", comparison=tolerant)) is None
    cut = Stream(bytes=99, truncated=True)
    assert comparable(a_result(stdout="1", stdout_stream=cut, comparison=tolerant)) is None


def test_only_line_ends_end_a_line() -> None:
    """A text in JSON may hold what Unicode takes for one."""
    by_json = Comparison(by="json")
    text = '{"a": "x\u2028\u0085y"}'
    assert comparable(a_result(stdout=text, comparison=by_json)) == text
    assert of("a\x0cb", "text") != of("a\nb", "text")
    assert of("a\rb", "text") == of("a\nb", "text")


def test_an_output_that_no_environment_holds_is_not_for_the_users_container() -> None:
    by_image = Comparison(by="image", image="compare:1")
    assert comparable(a_result(stdout="a\0", comparison=by_image)) is None


def test_the_users_own_container_gets_the_output_as_it_was() -> None:
    by_image = Comparison(by="image", image="compare:1")
    assert comparable(a_result(stdout="1 \r\n", comparison=by_image)) == "1 \r\n"
