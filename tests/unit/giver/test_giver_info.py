"""`giver info`: whom it asks, and what it says when nobody answers."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from giver.cli import main


class _Giver(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/info" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"giver_id": "here"}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def no_local_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GIVER_URL", "GIVER_HTTP_HOST", "GIVER_HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Giver) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield "127.0.0.1", server.server_port
        server.shutdown()


def info(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["info", "--json", *arguments], env=env)


def test_it_asks_where_it_is_told(address: tuple[str, int]) -> None:
    host, port = address
    url = f"http://{host}:{port}"
    for run in (
        info("--url", url),
        info("--url", f"{url}/", GIVER_URL="http://127.0.0.1:1"),
        info(GIVER_URL=url, GIVER_HTTP_PORT="1"),
        info(GIVER_HTTP_PORT=str(port)),
    ):
        assert run.exit_code == 0, run.stderr
        assert json.loads(run.stdout) == {"giver_id": "here"}


def test_when_nobody_answers_the_address_and_the_remedy_are_told() -> None:
    run = info("--url", "http://127.0.0.1:1")
    assert run.exit_code == 3
    assert "no giver answers at http://127.0.0.1:1/info" in run.stderr
    assert "--url or GIVER_URL" in run.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8701", "http://a:b", "ftp://host"])
def test_what_is_no_url_is_wrong_use(url: str) -> None:
    run = info("--url", url)
    assert run.exit_code == 2
    assert repr(url) in run.stderr
