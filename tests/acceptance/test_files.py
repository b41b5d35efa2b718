"""Files into a task and out of it, as a person hands them over and gets them back."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest

from tests.acceptance.conftest import User

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
LARGE = 192 * MIB
FLAT = 64 * MIB


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "scene.json").write_text('{"x": 1}')
    (tmp_path / "maps" / "deep").mkdir(parents=True)
    (tmp_path / "maps" / "deep" / "a.txt").write_text("deep down")
    return tmp_path


@pytest.fixture
def site(here: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(here))

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ended(user: User, *arguments: str) -> tuple[str, dict[str, Any]]:
    """The job, and the result of its one task."""
    job = user.enqueue(*arguments)
    user.run("seeker", "wait", job)
    return job, user.run("seeker", "result", job, "--json").json


def test_files_folders_and_urls_go_in_and_what_was_asked_for_comes_out(
    user: User, here: Path, site: str
) -> None:
    script = (
        "cat /in/scene.json > /out/scene; mkdir /out/all; cat /in/m/deep/a.txt > /out/all/a;"
        "cat /in/url.json > /out/all/url; echo no > /out/unasked; ln -s /etc/passwd /out/all/link;"
        "touch /in/x 2>/dev/null || echo read-only"
    )
    job, result = ended(
        user,
        *("--input", str(here / "scene.json"), "--input", f"{here}/maps:m"),
        *("--input", f"{site}/scene.json:url.json", "--output", "all", "--output", "sc*"),
        *("--replicas", "2", "--quorum", "2", "busybox:local", "--", "sh", "-c", script),
    )
    assert result["stdout"] == "read-only\n"
    fetched = user.run("seeker", "fetch", job, "-o", str(here / "got"))
    assert fetched.code == 0, fetched.err
    got = {str(p.relative_to(here / "got")): p.read_text() for p in (here / "got").rglob("*.*")}
    got |= {
        str(p.relative_to(here / "got")): p.read_text()
        for p in (here / "got").rglob("*")
        if p.is_file()
    }
    assert got == {"scene": '{"x": 1}', "all/a": "deep down", "all/url": '{"x": 1}'}
    votes = user.run("seeker", "votes", job, "--json").json["votes"]
    assert len(votes) == 2


def test_where_only_files_are_compared_stdout_may_differ(user: User) -> None:
    script = "cat /proc/sys/kernel/random/uuid; echo same > /out/file"
    _, result = ended(
        user,
        *("--output", "file", "--compare", "files", "--replicas", "2", "--quorum", "2"),
        *("busybox:local", "--", "sh", "-c", script),
    )
    assert result["outcome"] == "succeeded"
    differing = "cat /proc/sys/kernel/random/uuid > /out/file"
    job = user.enqueue(
        *("--output", "file", "--compare", "files", "--replicas", "2", "--quorum", "2"),
        *("--on-disagreement", "fail", "--max-attempts", "2"),
        *("busybox:local", "--", "sh", "-c", differing),
    )
    assert user.run("seeker", "wait", job).code == 1


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        ("true", "failed", "left no file x in /out"),
        ("head -c 30000000 /dev/zero > /out/x", "output_limit", "a file of more than"),
        (
            "for i in 1 2 3 4; do head -c 9000000 /dev/zero > /out/x$i; sleep 1; done; sleep 30",
            "output_limit",
            "/out holds more than 20971520 bytes",
        ),
        ("echo kept > /out/x; exit 3", "failed", "exit code 3"),
    ],
)
def test_what_goes_wrong_with_outputs_is_told_apart(
    user: User, script: str, outcome: str, reason: str
) -> None:
    _, result = ended(
        user,
        *("--output", "x", "--disk", "20MiB", "--max-attempts", "1"),
        *("busybox:local", "--", "sh", "-c", script),
    )
    assert result["outcome"] == outcome, result["reason"]
    assert reason in result["reason"]
    assert [file["path"] for file in result["files"]] == (["x"] if "kept" in script else [])


def test_a_wrong_input_is_refused_before_anything_is_submitted(user: User, here: Path) -> None:
    for given, complaint in (
        (["--input", str(here / "absent")], "does not exist"),
        (["--input", f"{here}/maps:../up"], "no place below /in"),
        (["--input", f"{here}/maps:a", "--input", f"{here}/scene.json:a/b"], "within the other"),
        (["--output", "/abs"], "no path below a folder"),
        (["--input", str(here / "maps"), "--disk", "9KiB"], "--disk leaves 9216 for it"),
    ):
        answer = user.run("seeker", "enqueue", *given, "busybox:local", "--", "true")
        assert answer.code == 2
        assert complaint in answer.err


def test_large_files_cost_no_memory(user: User, here: Path) -> None:
    source = here / "large"
    with source.open("wb") as file:
        for _ in range(LARGE // MIB):
            file.write(os.urandom(MIB))
    processes = _processes(user)
    before = {process.pid: process.memory_info().rss for process in processes}
    peak = dict(before)
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for process in processes:
                peak[process.pid] = max(peak[process.pid], process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        # Another content comes out than went in, or it would be there already.
        job, result = ended(
            user,
            *("--input", str(source), "--output", "copy", "--timeout", "4m"),
            *("busybox:local", "--", "sh", "-c", "(echo x; cat /in/large) > /out/copy"),
        )
        assert result["outcome"] == "succeeded", result["reason"]
        assert user.run("seeker", "fetch", job, "-o", str(here)).code == 0
    finally:
        over.set()
        looking.join()
    assert _sha256(here / "copy") == result["files"][0]["sha256"]
    assert (here / "copy").stat().st_size == LARGE + 2
    for process in processes:
        grown = peak[process.pid] - before[process.pid]
        assert grown < FLAT, f"{process.cmdline()} grew by {grown} bytes"


def test_a_channel_killed_in_the_middle_of_a_transfer_gets_it_from_its_start(user: User) -> None:
    job = user.enqueue(
        *("--output", "x", "busybox:local", "--", "sh", "-c"),
        "head -c 150000000 /dev/urandom > /out/x",
    )
    env = user.stack.env
    with pymongo.MongoClient(env["CHANNEL_MONGODB_URL"]) as client:
        uploads = client[env["CHANNEL_DATABASE"]]["artifacts.uploads"]
        deadline = time.monotonic() + 60
        while uploads.count_documents({}) == 0:
            assert time.monotonic() < deadline, "no upload began"
            time.sleep(0.01)
        user.stack.kill("channel")
        assert uploads.count_documents({}) == 1
    user.stack.start("channel")
    assert user.run("seeker", "wait", job).code == 0
    (file,) = user.run("seeker", "result", job, "--json").json["files"]
    assert file["size_bytes"] == 150_000_000


def test_a_giver_killed_before_its_container_runs_brings_the_files_again(
    user: User, here: Path
) -> None:
    (here / "half").write_bytes(os.urandom(150_000_000))
    names = {giver_id: name for name, giver_id in user.stack.giver_ids.items()}
    job = user.enqueue(
        *("--input", str(here / "half"), "busybox:local", "--", "sh", "-c", "wc -c < /in/half")
    )
    deadline = time.monotonic() + 60
    while not (tries := user.run("seeker", "status", f"{job}-0", "--json").json["assignments"]):
        assert time.monotonic() < deadline, "not placed"
    user.stack.kill(names[tries[0]["giver_id"]])
    user.stack.start(names[tries[0]["giver_id"]])
    assert user.run("seeker", "wait", job).code == 0
    assert user.run("seeker", "result", job).out == "150000000\n"


def _processes(user: User) -> list[psutil.Process]:
    """Of the channel and the givers."""
    running = {each.name: each.pid for each in user.stack.status() if each.pid}
    return [psutil.Process(pid) for name, pid in running.items() if name[:5] in ("chann", "giver")]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
