"""What every message on the wire has in common.

Bodies are JSON, one model each, strict and frozen. Unknown fields are ignored, so that
services of neighbouring versions can work side by side; wrong ones are refused with an
error that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

SCHEMA_VERSION = 1
"""Raised when a reader of the previous version could misread a message, never for added fields."""

CONTENT_TYPE = "application/json"

SECRETS = frozenset({"registry_auth"})
"""Fields whose values no error repeats."""


class MalformedMessage(ValueError):
    """The body is too large, is not JSON, or does not fit its model.

    The message names the model, each offending field and what was expected of it.
    """


class Part(BaseModel):
    """A frozen piece of a message."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Message(Part):
    """The body of one broker message."""

    MAX_BYTES: ClassVar[int] = 1 << 20
    """Largest accepted body in bytes; checked before parsing."""

    schema_version: int = SCHEMA_VERSION

    def encode(self) -> bytes:
        """The body as UTF-8 JSON.

        Raises:
            MalformedMessage: the body would be larger than its reader accepts.
        """
        try:
            body = self.model_dump_json().encode()
        except (PydanticSerializationError, UnicodeError) as error:
            raise MalformedMessage(f"{type(self).__name__}: not text: {error}") from error
        self._check_size(len(body))
        return body

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse a body.

        Raises:
            MalformedMessage: names every field that is missing or wrong.
        """
        cls._check_size(len(body))
        try:
            message = cls.model_validate_json(body)
        except ValidationError as error:
            raise MalformedMessage(f"{cls.__name__}: {describe(error)}") from error
        if message.schema_version > SCHEMA_VERSION:
            raise MalformedMessage(
                f"{cls.__name__}: schema_version {message.schema_version} is newer than "
                f"{SCHEMA_VERSION}, the newest this reader knows; upgrade this service"
            )
        return message

    @classmethod
    def _check_size(cls, size: int) -> None:
        if size > cls.MAX_BYTES:
            raise MalformedMessage(
                f"{cls.__name__}: {size} bytes, at most {cls.MAX_BYTES} allowed: "
                "send less at a time"
            )


def describe(error: ValidationError, names: Mapping[str, str] | None = None) -> str:
    """One line for a person: each offending field, its value and what was expected.

    Args:
        names: of fields that the person knows by another name.
    """
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        steps = [str(step) for step in problem["loc"]]
        field = ".".join((names or {}).get(step, step) for step in steps) or "body"
        if problem["type"] == "value_error":
            # One of our own messages; of a whole part, it names the fields by itself.
            problem["msg"] = problem["msg"].removeprefix("Value error, ")
            if not problem["loc"]:
                lines.append(problem["msg"])
                continue
        lines.append(f"{field}: {problem['msg']} (got {_shown(problem['input'], steps)})")
    return "; ".join(lines)


def _shown(value: object, steps: Sequence[str]) -> str:
    if SECRETS & {*steps} or (isinstance(value, dict) and SECRETS & value.keys()):
        return "what stays secret"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
