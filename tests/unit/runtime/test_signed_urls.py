"""URLs that are a right."""

from __future__ import annotations

import pytest

from runtime.signed_urls import NotAllowed, Right, UrlSigner, check

KEY = "k" * 32
SHA256 = "a" * 64


def token_of(url: str) -> str:
    return url.partition("?token=")[2]


def test_a_url_says_what_its_holder_may_do() -> None:
    urls = UrlSigner(KEY, "http://channel:8700/")
    reading = urls.read(SHA256, 60)
    assert reading.startswith(f"http://channel:8700/v1/artifacts/{SHA256}?")
    assert check(KEY, token_of(reading)) == Right("read", SHA256)
    writing = urls.write("assignment", 1000, 60)
    assert "/v1/artifacts/{sha256}?" in writing
    assert check(KEY, token_of(writing)) == Right("write", "assignment", 1000)


@pytest.mark.parametrize(
    ("key", "valid_s", "complaint"),
    [("x" * 32, 60, "not signed"), (KEY, -1, "expired")],
)
def test_another_key_or_a_late_comer_may_nothing(key: str, valid_s: float, complaint: str) -> None:
    url = UrlSigner(key, "http://channel").read(SHA256, valid_s)
    with pytest.raises(NotAllowed, match=complaint):
        check(KEY, token_of(url))


def test_what_is_no_token_is_refused() -> None:
    with pytest.raises(NotAllowed):
        check(KEY, "none")
