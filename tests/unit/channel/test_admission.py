from __future__ import annotations

import pytest
from hypothesis import given

from channel import admission
from schemas.base import MalformedMessage
from schemas.result import SEQUENCE_MOST, Result, sequence
from schemas.topology import result_key
from tests.unit.channel.builders import a_result
from tests.unit.schemas.messages import results


@given(results())
def test_a_result_whose_ids_follow_from_one_another_is_admitted(result: Result) -> None:
    assert admission.decode(result.encode()) == (result,)
    assert admission.objection((result,), result_key(result.giver_id, result.task_id)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("result_id", "01JDZZZZZZZZZZZZZZZZZZZZZZ-0-1@giver-2"),
        ("result_id", "01JDZZZZZZZZZZZZZZZZZZZZZZ-0-2@giver-1"),
        ("task_id", "01JDZZZZZZZZZZZZZZZZZZZZZZ-1"),
        ("job_id", "01JDZZZZZZZZZZZZZZZZZZZZZA"),
    ],
)
def test_a_result_that_contradicts_itself_is_malformed_and_the_field_named(
    field: str, value: str
) -> None:
    body = a_result(**{field: value}).encode()
    with pytest.raises(MalformedMessage, match=f"^Result: {field}: '{value}' does not follow"):
        admission.decode(body)


@pytest.mark.parametrize(
    "routing_key",
    [
        "giver-2.01JDZZZZZZZZZZZZZZZZZZZZZZ-0",
        "giver-1.01JDZZZZZZZZZZZZZZZZZZZZZZ-1",
        "channel.results",
        "",
    ],
)
def test_a_result_under_a_routing_key_not_its_own_is_objected_to(routing_key: str) -> None:
    objection = admission.objection((a_result(),), routing_key)
    assert objection is not None
    assert "'giver-1.01JDZZZZZZZZZZZZZZZZZZZZZZ-0'" in objection
    assert objection.endswith(f"came under {routing_key!r}")


def test_several_results_have_to_be_one_givers_and_under_the_key_of_the_first() -> None:
    own = [a_result(0), a_result(1)]
    foreign = a_result(2, giver_id="giver-2")
    key = result_key(own[0].giver_id, own[0].task_id)
    assert admission.objection(own, key) is None
    objection = admission.objection([*own, foreign], key)
    assert objection is not None
    assert "'giver-2' and 'giver-1' in one message" in objection


def test_as_many_as_may_come_in_one_message_are_taken() -> None:
    several = tuple(a_result(index) for index in range(SEQUENCE_MOST))
    assert admission.decode(sequence([each.encode() for each in several])) == several


def test_one_result_that_contradicts_itself_makes_the_message_malformed() -> None:
    wrong = a_result(1, job_id="01JDZZZZZZZZZZZZZZZZZZZZZA")
    with pytest.raises(MalformedMessage, match="does not follow"):
        admission.decode(sequence([a_result(0).encode(), wrong.encode()]))
