"""What a giver remembers of its owner across restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from giver.owner import Word
from giver.owner_record import OwnerRecord


def test_a_word_outlives_the_process(tmp_path: Path) -> None:
    OwnerRecord(tmp_path).say(Word(asked="pause", until=5.0))
    assert OwnerRecord(tmp_path).word == Word(asked="pause", until=5.0)


def test_time_frozen_is_told_across_restarts(tmp_path: Path) -> None:
    record = OwnerRecord(tmp_path)
    record.frozen(100)
    record.frozen(110)  # Still: the same span.
    record.thawed(150)
    record.thawed(155)
    record.frozen(200)
    again = OwnerRecord(tmp_path)
    assert again.frozen_s(since=0, now=230) == 80
    assert again.frozen_s(since=140, now=230) == 40
    assert again.frozen_s(since=210, now=230) == 20
    again.thawed(220)
    assert again.frozen_s(since=0, now=500) == 70


def test_a_record_that_cannot_be_read_means_pause(tmp_path: Path) -> None:
    (tmp_path / "owner.json").write_text('{"asked": "dance"}')
    assert OwnerRecord(tmp_path).word.asked == "pause"


def test_a_word_that_cannot_be_written_holds_if_it_is_no_leave(tmp_path: Path) -> None:
    record = OwnerRecord(tmp_path)
    (tmp_path / "owner.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        record.say(Word(asked="drain"))
    assert record.word == Word(asked="drain")
    with pytest.raises(OSError, match="directory"):
        record.say(Word(asked="open"))
    assert record.word == Word(asked="drain")
