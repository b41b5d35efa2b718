from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.__main__ import MESSAGES as WITH_JSON_SCHEMA
from schemas.base import SCHEMA_VERSION, MalformedMessage, Message, Part
from schemas.result import SEQUENCE_BYTES, SEQUENCE_MOST, Result, sequence
from tests.unit.schemas.messages import MESSAGES, any_message, results

NOTHING_FITS = [None]
"""Neither a scalar, nor a model, nor an item of any list on the wire."""

FieldPath = tuple[str | int, ...]


def fields_of(part: Part, above: FieldPath = ()) -> Iterator[tuple[FieldPath, type[Part]]]:
    """Every field at every level of a message, and the model that it belongs to."""
    for name in type(part).model_fields:
        yield (*above, name), type(part)
        value = getattr(part, name)
        if isinstance(value, Part):
            yield from fields_of(value, (*above, name))
        elif isinstance(value, tuple):
            for position, item in enumerate(value):
                if isinstance(item, Part):
                    yield from fields_of(item, (*above, name, position))


def folder_of(document: Any, path: FieldPath) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


def dotted(path: FieldPath) -> str:
    return ".".join(map(str, path))


def wire_messages(base: type[Message] = Message) -> set[type[Message]]:
    found = set()
    for message in base.__subclasses__():
        if message.__module__.startswith("schemas."):
            found |= {message, *wire_messages(message)}
    return found


def test_every_message_is_covered_here_and_has_a_json_schema() -> None:
    assert set(MESSAGES) == set(WITH_JSON_SCHEMA) == wire_messages()


@given(any_message)
def test_a_message_survives_encoding(message: Message) -> None:
    assert type(message).decode(message.encode()) == message


@given(any_message)
def test_unknown_fields_are_tolerated_at_every_level(message: Message) -> None:
    document = json.loads(message.encode())
    for path, _ in list(fields_of(message)):
        folder_of(document, path)["from_the_future"] = {"of": ["any", 1, None]}
    assert type(message).decode(json.dumps(document).encode()) == message


@given(any_message, st.data())
def test_a_wrong_field_at_any_level_is_refused_by_name(
    message: Message, data: st.DataObject
) -> None:
    path, _ = data.draw(st.sampled_from(list(fields_of(message))))
    document = json.loads(message.encode())
    folder_of(document, path)[path[-1]] = NOTHING_FITS
    with pytest.raises(MalformedMessage) as refused:
        type(message).decode(json.dumps(document).encode())
    assert str(refused.value).startswith(f"{type(message).__name__}: {dotted(path)}")


@given(any_message, st.data())
def test_a_missing_field_at_any_level_is_refused_by_name(
    message: Message, data: st.DataObject
) -> None:
    required = [
        path for path, part in fields_of(message) if part.model_fields[str(path[-1])].is_required()
    ]
    path = data.draw(st.sampled_from(required))
    document = json.loads(message.encode())
    del folder_of(document, path)[path[-1]]
    with pytest.raises(MalformedMessage) as refused:
        type(message).decode(json.dumps(document).encode())
    assert f"{dotted(path)}: Field required" in str(refused.value)


@given(any_message, st.integers(SCHEMA_VERSION + 1, 1 << 40))
def test_a_newer_version_is_refused_by_number(message: Message, version: int) -> None:
    document = {**json.loads(message.encode()), "schema_version": version}
    with pytest.raises(MalformedMessage, match=f"schema_version {version} is newer"):
        type(message).decode(json.dumps(document).encode())


@given(st.sampled_from(sorted(MESSAGES, key=lambda message: message.__name__)), st.binary())
def test_random_bytes_are_refused_as_malformed(model: type[Message], body: bytes) -> None:
    with pytest.raises(MalformedMessage, match=model.__name__):
        model.decode(body)


@pytest.mark.parametrize("model", MESSAGES, ids=lambda model: model.__name__)
def test_a_body_of_more_than_the_most_is_refused_before_it_is_parsed(
    model: type[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(_: bytes) -> None:
        pytest.fail("parsed")

    monkeypatch.setattr(model, "model_validate_json", parse)
    with pytest.raises(MalformedMessage, match=f"{model.MAX_BYTES + 1} bytes, at most"):
        model.decode(bytes(model.MAX_BYTES + 1))


@given(any_message)
def test_a_message_that_its_reader_would_refuse_for_its_size_is_not_encoded(
    message: Message,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(message), "MAX_BYTES", len(message.encode()) - 1)
        with pytest.raises(MalformedMessage, match="bytes, at most"):
            message.encode()


def test_the_json_schema_of_each_message_is_written_by_a_command(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "schemas", tmp_path / "new"], check=True)
    written = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "new").iterdir()}
    assert written.keys() == {message.__name__ for message in MESSAGES}
    assert written["Result"]["properties"]["result_id"]["maxLength"] == 160
    assert "result_id" in written["Result"]["required"]


def test_a_folder_that_cannot_be_written_is_named_without_a_traceback(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    run = subprocess.run(
        [sys.executable, "-m", "schemas", taken], check=False, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stderr == f"{taken} cannot be written: File exists\n"


@given(st.lists(results(), min_size=1, max_size=3))
def test_results_that_travel_together_are_the_same_at_the_end(several: list[Result]) -> None:
    bodies = [each.encode() for each in several]
    assume(sum(map(len, bodies)) <= SEQUENCE_BYTES)
    assert Result.decode_all(sequence(bodies)) == tuple(several)


def test_of_results_that_travel_together_the_wrong_one_is_named() -> None:
    body = sequence([b"{}", b"{}"])
    with pytest.raises(MalformedMessage, match=r"^1 of 2: Result: result_id: Field required"):
        Result.decode_all(body)


def test_more_results_than_may_travel_together_are_refused() -> None:
    with pytest.raises(MalformedMessage, match=r"^Result: 17 of together 34 bytes, at most 16"):
        Result.decode_all(sequence([b"{}"] * (SEQUENCE_MOST + 1)))
    with pytest.raises(MalformedMessage, match=r"^Result: 2 of together 32772 bytes"):
        Result.decode_all(sequence([b"{}", b"x" * (SEQUENCE_BYTES + 2)]))
