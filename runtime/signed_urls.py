"""URLs that are a right: to read one content, or to leave some under a name, until they expire.

Who has the key makes them, and a holder of the same key checks them; neither asks the other.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import jwt

_ALGORITHM = "HS256"
_AUDIENCE = "artifacts"
_PARAMETER = "token"

LEAST_KEY = 32
"""Characters."""


class NotAllowed(Exception):
    """The message says what is wrong with the token; for the one who sent it."""


@dataclass(frozen=True, slots=True)
class Right:
    """What the holder may do."""

    action: Literal["read", "write"]
    subject: str
    """Of a reader, the content's SHA-256; of a writer, in whose name."""
    most_bytes: int = 0
    """That a writer may leave under that name altogether."""


class UrlSigner:
    def __init__(self, key: str, base_url: str) -> None:
        """`base_url`: of the channel, as those who get the URLs reach it."""
        self._key = key
        self._base = f"{base_url.rstrip('/')}/v1/artifacts/"

    def read(self, sha256: str, valid_s: float) -> str:
        return f"{self._base}{sha256}?{_PARAMETER}={self._token(Right('read', sha256), valid_s)}"

    def write(self, subject: str, most_bytes: int, valid_s: float) -> str:
        """With `{sha256}` where that of the content goes."""
        token = self._token(Right("write", subject, most_bytes), valid_s)
        return f"{self._base}{{sha256}}?{_PARAMETER}={token}"

    def _token(self, right: Right, valid_s: float) -> str:
        claims = {
            "aud": _AUDIENCE,
            "exp": int(time.time() + valid_s),
            "act": right.action,
            "sub": right.subject,
            "max": right.most_bytes,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)


def check(key: str, token: str) -> Right:
    """
    Raises:
        NotAllowed: it is none of ours, or has expired.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["exp", "aud", "sub", "act", "max"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise NotAllowed("the URL has expired: ask for a new one") from error
    except jwt.InvalidTokenError as error:
        raise NotAllowed(f"the URL is not signed by this channel's key ({error})") from error
    return Right(claims["act"], claims["sub"], claims["max"])
