"""What others take of the CPUs."""

from __future__ import annotations

from giver.host_load import OthersCpu


def test_what_is_ours_does_not_count() -> None:
    meter = OthersCpu(cpus=2, while_s=0)
    assert meter.share(0, busy_s=100, ours_s=10) is None
    assert meter.share(1, busy_s=102, ours_s=12) == 0
    assert meter.share(2, busy_s=104, ours_s=13) == 0.5


def test_it_rises_at_once_and_falls_after_a_while_of_quiet() -> None:
    meter = OthersCpu(cpus=1, while_s=10)
    meter.share(0, 0, 0)
    assert meter.share(1, 1, 0) == 1
    assert meter.share(6, 1, 0) == 1
    assert meter.share(11, 1, 0) == 1
    assert meter.share(12, 1, 0) == 0


def test_a_look_that_follows_at_once_says_what_the_last_one_did() -> None:
    meter = OthersCpu(cpus=1, while_s=0)
    meter.share(0, 0, 0)
    assert meter.share(0.1, 0.1, 0) is None
    assert meter.share(1, 0.5, 0) == 0.5
    assert meter.share(1.1, 0.6, 0) == 0.5


def test_counting_anew_is_no_gift() -> None:
    meter = OthersCpu(cpus=1, while_s=0)
    meter.share(0, 0, 50)
    assert meter.share(1, 1, 0.25) == 0.75
