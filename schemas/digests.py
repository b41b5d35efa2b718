"""What makes results comparable. Pure.

The channel makes the digests, of what it keeps: a giver's word for it would let it return one
thing and vote for another. Only where the middle of an output is not kept is its giver's hash of
the whole believed, together with head and tail. The seeker makes them of answers that are known
beforehand.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re

from schemas.comparison import COMPARABLE_BYTES
from schemas.result import Result
from schemas.states import Outcome

_DECIDED_BY_OUTPUT = (Outcome.SUCCEEDED, Outcome.FAILED)
_LINE_END = re.compile(r"\r\n|\r|\n")
"""Others that Unicode knows may stand within a line, and within a text in JSON."""
_NO_VOTE = (Outcome.KILLED, Outcome.CANCELLED, Outcome.INFRASTRUCTURE_ERROR)


def digest(result: Result) -> str | None:
    """Hexadecimal SHA-256 over what givers are compared by; `None` where a result says nothing of
    the task, as the giver or its Docker failed.

    Of a run that was cut short only the outcome counts: how far it got differs by host.
    """
    if result.outcome in _NO_VOTE or not result.exact_output:
        return None
    parts: list[object] = [result.comparison.model_dump_json(), result.outcome.value]
    if result.outcome in _DECIDED_BY_OUTPUT:
        parts += [result.exit_code, _stdout_key(result), _files(result)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def files_digest(result: Result) -> str | None:
    """Hexadecimal SHA-256 over the output files, their paths included; `None`: there are none."""
    files = _files(result)
    return hashlib.sha256(json.dumps(files).encode()).hexdigest() if files else None


def comparable(result: Result) -> str | None:
    """The text that the seeker compares where a tolerance is allowed; `None`: only the digest."""
    if not result.comparison.tolerant or result.outcome not in _DECIDED_BY_OUTPUT:
        return None
    text = _text(result)
    if text is None or len(text.encode()) > COMPARABLE_BYTES:
        return None
    if result.comparison.by == "image" and "\0" in text:
        return None  # It goes to a container by its environment, which cannot hold it.
    return text


def _files(result: Result) -> list[tuple[str, int, str]]:
    return sorted((each.path, each.size_bytes, each.sha256) for each in result.files)


def _stdout_key(result: Result) -> object:
    if result.comparison.by == "files":
        return None
    if result.comparison.by == "bytes":
        raw = _whole(result)
        if raw is not None:
            return hashlib.sha256(raw).hexdigest()
    else:
        text = _text(result)
        if text is not None:
            return text
    stream = result.stdout_stream
    return [stream.sha256, stream.bytes, result.stdout, stream.tail]


def _text(result: Result) -> str | None:
    """Stdout as it is compared; `None` where some of it is missing, or it is no text."""
    raw = _whole(result)
    if raw is None:
        return None
    try:
        if result.comparison.by == "image":
            return raw.decode()
        lines = [line.rstrip() for line in _LINE_END.split(raw.decode())]
    except UnicodeDecodeError:
        return None
    if result.comparison.by == "lines":
        lines.sort()
        return "\n".join(lines).lstrip("\n")
    return "\n".join(lines).rstrip("\n")


def _whole(result: Result) -> bytes | None:
    if result.stdout_stream.truncated:
        return None
    try:
        if result.stdout_stream.encoding == "base64":
            return base64.b64decode(result.stdout, validate=True)
        return result.stdout.encode()
    except ValueError:  # A giver may say anything of anything.
        return None
