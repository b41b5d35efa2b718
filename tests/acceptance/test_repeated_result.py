"""A giver that dies once the broker has its result: it is sent again, and kept once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from deploy.local.layout import CHECKOUT
from schemas.identifiers import new_session
from tests.acceptance.conftest import User
from tests.containers import free_ports

PATIENCE_S = 60.0


def test_a_result_that_is_sent_twice_is_one_document(user: User, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    giver_id = f"forgetful-{new_session()}"
    env = {
        **os.environ,
        **user.stack.env,
        "GIVER_ID": giver_id,
        "GIVER_STATE_DIR": str(tmp_path),
        "GIVER_HTTP_PORT": str(port),
    }

    def start(*module: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *module]
        return subprocess.Popen(command, env=env, cwd=CHECKOUT, stderr=subprocess.DEVNULL)

    job = user.enqueue("--require", f'id == "{giver_id}"', "busybox:local", "--", "echo", "once")
    dying = start("tests.failpoints", "after_publish")
    assert dying.wait(PATIENCE_S) == -signal.SIGKILL
    again = start("giver.cli", "run")
    try:
        info = f"http://127.0.0.1:{port}/info"
        confirmed = False
        give_up_at = time.monotonic() + PATIENCE_S
        while not confirmed:
            assert time.monotonic() < give_up_at
            time.sleep(0.1)
            try:
                said = httpx.get(info, trust_env=False).json()
            except httpx.HTTPError:
                continue
            confirmed = said["broker_connected"] and said["unconfirmed"] == 0
        assert user.run("seeker", "wait", job, "--timeout", "30").code == 0
        (result,) = user.run("channel", "results", f"{job}-0", "--json").json
        assert (result["stdout"], result["giver_id"]) == ("once\n", giver_id)
    finally:
        again.send_signal(signal.SIGTERM)
        again.wait(30)
