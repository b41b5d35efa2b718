"""The closing table counts what the records say."""

from typing import Any

import pytest

from deploy.demo.audit import WrongRecords, summarise, verdict

TASK = "01J00000000000000000000000-3"


def vote(giver: str, digest: str | None, stdout: str = "") -> dict[str, Any]:
    return {
        "result_id": f"{TASK}-1@{giver}",
        "giver_id": giver,
        "digest": digest,
        "stdout": stdout,
    }


def task(chosen: str | None, disputed: bool = False) -> dict[str, Any]:
    return {
        "task_id": TASK,
        "state": "succeeded" if chosen else "failed",
        "chosen": chosen and f"{TASK}-1@{chosen}",
        "reason": "no giver left",
        "disputed": disputed,
    }


def test_votes_for_and_against_the_chosen_result_are_told_apart() -> None:
    results = [
        vote("liar", "bad", "wrong"),
        vote("honest", "good", "right"),
        vote("tie-breaker", "good", "right"),
        vote("broken", None),
    ]

    found = verdict(task("honest"), results)

    assert found.stdout == "right"
    assert found.agreeing == ("honest", "tie-breaker")
    assert found.differing == ("liar",)


def test_a_task_without_a_result_is_named_with_its_reason() -> None:
    with pytest.raises(WrongRecords, match=f"{TASK} is failed without a result: no giver left"):
        verdict(task(None), [])


def test_a_chosen_result_that_the_channel_does_not_have_is_an_error() -> None:
    with pytest.raises(WrongRecords, match="is not in the channel"):
        verdict(task("honest"), [vote("liar", "bad")])


def test_the_summary_tells_outvoted_from_disputed() -> None:
    agreed = verdict(task("a"), [vote("a", "x"), vote("b", "x")])
    outvoted = verdict(task("a"), [vote("a", "x"), vote("c", "y"), vote("b", "x")])
    disputed = verdict(task("a", disputed=True), [vote("a", "x"), vote("c", "y")])

    summary = summarise([agreed, outvoted, disputed])

    assert (summary.tiles, summary.runs) == (3, 7)
    assert (summary.outvoted, summary.disputed) == (1, 1)
    assert summary.wrong == {"c": 2}
