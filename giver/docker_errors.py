"""Where docker-py's exceptions end and the engine's error tree begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import requests
import urllib3
from docker.errors import APIError, DockerException

from giver.engine import (
    EngineError,
    EngineFailed,
    EngineUnavailable,
    ImageUnusable,
    PullInterrupted,
    RequestRefused,
)

_PERMANENT_PULL_ERRORS = (
    "not found",
    "manifest unknown",
    "no matching manifest",
    "does not match the specified platform",
    "denied",
    "unauthorized",
    "unsupported",
)
"""Docker passes most of what a registry says on as status 500; only the words tell them apart."""

_OF_THIS_HOST = ("bind source path does not exist",)
"""Called a fault of the request, but the folder is one of ours: this Docker is on another host."""

_WRONG_REQUESTS = ("is not a directory", "file name too long")
"""Faults of the request that Docker answers with status 500: a working directory that is a file, or
that no file system can have."""


_LACKING = ("unknown or invalid runtime name",)
"""What this host lacks, and others may have, though Docker answers with status 400."""


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """
    Raises:
        EngineUnavailable: no answer, a broken connection.
        RequestRefused: Docker says that the request itself is wrong.
        EngineFailed: any other error answer that the block does not handle itself.
    """
    try:
        yield
    except EngineError:
        raise
    except APIError as error:
        reason = f"Docker refused to {doing}: {explanation(error)}"
        raise (RequestRefused if _wrong(error) else EngineFailed)(reason) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise EngineUnavailable(f"Docker does not answer ({doing}): {_cause(error)}") from error
    except DockerException as error:
        raise EngineUnavailable(f"Docker cannot be reached: {_cause(error)}") from error


def _wrong(error: APIError) -> bool:
    """Whether the request itself is at fault, so that every other Docker would say the same."""
    if any(words in explanation(error) for words in _OF_THIS_HOST):
        return False
    # 404 and 409 are about what there is on the host.
    by_status = 400 <= status(error) < 500 and status(error) not in (404, 409)
    if any(words in explanation(error) for words in _LACKING):
        return False
    return by_status or any(words in explanation(error) for words in _WRONG_REQUESTS)


def status(error: APIError) -> int:
    """The HTTP status; 0 where there is none."""
    return int(error.status_code or 0)


def explanation(error: APIError) -> str:
    return str(error.explanation or error)


def pull_error(reference: str, text: str, code: int) -> EngineError:
    """What a failed pull means, from Docker's words and, where there is one, the HTTP status."""
    lowered = text.lower()
    if code in (400, 401, 403, 404) or any(word in lowered for word in _PERMANENT_PULL_ERRORS):
        return ImageUnusable(f"image {reference} cannot be pulled: {text}")
    return PullInterrupted(f"pulling image {reference} failed: {text}")


def _cause(error: BaseException) -> str:
    """The innermost reason: docker-py and requests wrap it in several layers of repr."""
    seen = error
    while True:
        inner = seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    return str(getattr(seen, "strerror", None) or seen or type(seen).__name__)
