"""What makes two results of one task equal."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Part
from schemas.identifiers import IMAGE_NAME

COMPARABLE_BYTES = 16 << 10
"""Of a text compared with a tolerance, at the most: it travels to the seeker, and lies there with
the vote. Longer ones are equal only to the byte."""


class Comparison(Part):
    """Outcome and exit code always count, and so do output files, each to the byte; of stdout, what
    `by` says.

    It is part of what it compares: a giver that claims another comparison than its job's agrees
    with nobody.
    """

    by: Literal["bytes", "text", "lines", "numbers", "json", "image", "files"] = "bytes"
    """`bytes`: all of it as it is. `text`: but for line ends and white space at the end of lines
    and of the whole. `lines`: as text, in any order of lines. `numbers`: as text, numbers in it
    within the tolerance. `json`: as JSON, in any order of names, numbers within the tolerance.
    `image`: as the user's own container says. `files`: nothing of it."""
    relative: float = Field(default=0.0, ge=0, lt=1)
    """Numbers are equal that differ by no more than this times the larger of them..."""
    absolute: float = Field(default=0.0, ge=0)
    """...or by no more than this."""
    image: str = Field(default="", max_length=500)
    """Of the container that compares two results."""
    command: tuple[str, ...] = Field(default=(), max_length=100)
    """Empty: the image's own."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.image and not re.fullmatch(IMAGE_NAME, self.image):
            raise ValueError(
                f"the comparator {self.image!r} is no image: name one, for example compare:1"
            )
        if any("\x00" in text for text in self.command):
            raise ValueError("a NUL cannot be handed to a process: take it out")
        if self.image and self.by != "image":
            raise ValueError(
                f"the comparator {self.image} says which results agree, comparing by {self.by} "
                "says it, too: drop one"
            )
        if self.by == "image" and not self.image:
            raise ValueError("to compare by image is what a comparator does: name its image")
        if (self.relative or self.absolute) and self.by not in ("numbers", "json"):
            raise ValueError(
                f"a tolerance means nothing to a comparison by {self.by}: "
                "compare by numbers or json"
            )
        return self

    @property
    def tolerant(self) -> bool:
        """Whether results may be equal whose digests are not; that need not be transitive."""
        return self.by in ("numbers", "json", "image")
