"""Whether two votes say the same, and what follows from votes; exact or within a tolerance."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.comparison import Comparison
from schemas.job import Agreement
from schemas.states import Outcome
from seeker.agreement import Decided, Undecided, Vote, arbitrate, judge
from seeker.comparators import equality


def vote(number: int, text: str, **fields: Any) -> Vote:
    content: dict[str, Any] = {"digest": text, "comparable": text, "exit_code": 0, **fields}
    return Vote(result_id=f"r{number}", giver_id=f"g{number}", outcome=Outcome.SUCCEEDED, **content)


def equal(by: Any, one: str, other: str, **tolerance: float) -> bool:
    return equality(Comparison(by=by, **tolerance), {})(vote(1, one), vote(2, other))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [1.0]}', '{"b": [1], "a": 1.0}', True),
        ('{"a": 1.0}', '{"a": 1.0000001}', True),
        ('{"a": 1.0}', '{"a": 1.1}', False),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ("[1, 2]", "[2, 1]", False),
        ("[1]", "[1, 2]", False),
        ("1", "true", False),
        ("[true]", "[true ]", True),
        ("null", "0", False),
        ('"x"', '"x" ', True),
        ("NaN", " NaN", True),
        ("not json", "nor this", False),
        ("1" + "0" * 400, "2" + "0" * 400, False),
        ("[" * 8000, "[" * 7999, False),
        ("1e400", "2e400", False),
        ("Infinity", "Infinity ", True),
        ('{"a": 1, "a": 2}', '{"a": 2}', False),
    ],
)
def test_json_within_a_tolerance(one: str, other: str, same: bool) -> None:
    assert equal("json", one, other, relative=1e-6) is same
    assert equal("json", other, one, relative=1e-6) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("energy -1.50 eV\n2", "energy -1.5000001 eV\n2", True),
        ("energy -1.50 eV", "energy -1.6 eV", False),
        ("1e-3", "0.001", True),
        ("x 1", "y 1", False),
        ("1 2", "1 2 3", False),
        ("0.0000001", "0", True),
        ("a", "a", True),
        ("1e400", "2e400", False),
        ("9007199254740992", "9007199254740992.0", True),
        ("t=  9.9999999 |", "t= 10.0000000 |", True),
        ("  9.9999999  1\n  2", " 10.0000000  1\n 2", True),
        ("0  -0.0000001", "0   0.0000001", True),
        ("1 2", "12", False),
        ("x y 1", "xy 1", False),
        ("1 2\n3", "1\n2 3", False),
    ],
)
def test_numbers_in_text(one: str, other: str, same: bool) -> None:
    assert equal("numbers", one, other, relative=1e-6, absolute=1e-6) is same


def test_whole_numbers_are_not_rounded() -> None:
    for by in ("json", "numbers"):
        assert not equal(by, "9007199254740992", "9007199254740993")
        assert not equal(by, "9007199254740992", "9007199254740994", absolute=1)
        assert equal(by, "9007199254740992", "9007199254740993", absolute=1)


def test_exactly_means_by_digest_and_nothing_else() -> None:
    assert not equality(Comparison(), {})(vote(1, "1.0"), vote(2, "1.00"))


def test_another_exit_code_is_another_answer_whatever_the_output() -> None:
    within = equality(Comparison(by="json", absolute=1), {})
    assert not within(vote(1, "1"), vote(2, "1.1", exit_code=1))
    assert not within(vote(1, "1", comparable=None), vote(2, "1.1"))
    assert within(vote(1, "1", comparable=None), vote(2, "1", comparable=None))


def test_where_equality_is_not_transitive_the_vote_with_most_supporters_is_chosen() -> None:
    within = equality(Comparison(by="json", absolute=0.1), {})
    rules = Agreement(replicas=3, quorum=3, max_attempts=9)
    for order in itertools.permutations(["1.0", "1.09", "1.18"]):
        votes = [vote(number, text) for number, text in enumerate(order)]
        verdict = judge(votes, 0, 3, rules, within)
        assert isinstance(verdict, Decided)
        assert verdict.chosen.comparable == "1.09"


answers = st.lists(st.integers(0, 3).map(lambda n: f"{n * 0.07:.2f}"), max_size=9)
tolerances = st.sampled_from([None, 0.0, 0.08, 0.15])


def setting(tolerance: float | None) -> Any:
    comparison = Comparison() if tolerance is None else Comparison(by="json", absolute=tolerance)
    return equality(comparison, {})


@given(answers, tolerances, st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_decision_does_not_depend_on_the_order_of_the_votes(
    texts: list[str], tolerance: float | None, quorum: int, random: Any
) -> None:
    """But for the one documented rule: of equally supported answers, the one stored first."""
    rules = Agreement(replicas=quorum, quorum=quorum, max_attempts=100)
    votes = [vote(number, text) for number, text in enumerate(texts)]
    within = setting(tolerance)
    verdict = judge(votes, 0, len(votes), rules, within)
    random.shuffle(votes)
    other = judge(votes, 0, len(votes), rules, within)
    assert type(verdict) is type(other)
    if isinstance(verdict, Decided) and isinstance(other, Decided):
        support = [
            sum(within(v, chosen) for v in votes) for chosen in (verdict.chosen, other.chosen)
        ]
        assert support[0] == support[1] >= quorum
        assert support[0] == max(sum(within(v, each) for v in votes) for each in votes)
    if isinstance(verdict, Undecided) and isinstance(other, Undecided):
        assert verdict.wanted == other.wanted


@given(answers.filter(bool), tolerances, st.integers(1, 5))
def test_a_dispute_never_overrules_a_quorum_and_always_ends(
    texts: list[str], tolerance: float | None, quorum: int
) -> None:
    rules = Agreement(replicas=quorum, quorum=quorum, max_attempts=max(quorum, len(texts)))
    votes = [vote(number, text) for number, text in enumerate(texts)]
    within = setting(tolerance)
    verdict = judge(votes, 0, rules.max_attempts, rules, within)
    most = max(sum(within(v, each) for v in votes) for each in votes)
    if most >= quorum:
        assert isinstance(verdict, Decided)
        assert not verdict.disputed
    else:
        assert verdict is None
        assert arbitrate(votes, lambda _: 0.5, "test", within).disputed
