from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from channel import documents, rendering
from schemas.result import Result, Stream
from tests.unit.channel.builders import NOON, a_result


def as_answered(result: Result) -> dict[str, Any]:
    """As the API shows it."""
    kept = documents.to_result(documents.from_result(result, "someone", NOON))
    document: dict[str, Any] = json.loads(kept.model_dump_json())
    return document


def test_a_list_shows_whole_ids_and_the_first_line_of_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = a_result(giver="g" * 60, stdout="first\nsecond\n")
    rendering.print_results([as_answered(result)])
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["RESULT", "OUTCOME", "EXIT", "GIVER", "STORED", "DIGEST", "STDOUT"]
    assert row.startswith(result.result_id)
    assert row.rstrip().endswith("first")


def test_what_a_container_wrote_cannot_command_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = as_answered(a_result(stdout="\x1b]0;owned\x07[red]x[/red]\n", reason="\x1b[2J"))
    rendering.print_results([result])
    rendering.print_result(result)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.count("�]0;owned�[red]x[/red]") == 2


def test_a_truncated_binary_stream_is_shown_as_head_and_tail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    stream = Stream(bytes=9000, truncated=True, tail=encoded(b"the end"), encoding="base64")
    result = a_result(stdout=encoded(b"head \xff"), stdout_stream=stream)
    rendering.print_result(as_answered(result))
    shown = capsys.readouterr().out
    assert "head �" in shown
    assert "9000 bytes in all" in shown
    assert "the end" in shown


def test_all_of_a_result_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = as_answered(a_result(stdout="one\ntwo\n", reason="because"))
    rendering.print_result(result)
    shown = capsys.readouterr().out
    for field in ("result_id", "task_id", "digest", "stored_at", "sent_by", "reason"):
        assert str(result[field]) in shown
    assert "--- stdout\none\ntwo\n--- stderr\n" in shown
