"""`python3 deploy/systemd/install.py install|uninstall SERVICE…`: the services under systemd.

Stands on nothing but the standard library. Installing again upgrades; what was edited stays.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

SERVICES = ("giver", "seeker", "channel")
CREDENTIALS = {
    "giver": {"broker_url": "amqp://USER:PASSWORD@BROKER/"},
    "seeker": {
        "broker_url": "amqp://USER:PASSWORD@BROKER/",
        "mongodb_url": "mongodb://USER:PASSWORD@DATABASE/?replicaSet=NAME",
        "artifacts_key": "that of the channel, by which they know each other's URLs",
    },
    "channel": {
        "broker_url": "amqp://USER:PASSWORD@BROKER/",
        "mongodb_url": "mongodb://USER:PASSWORD@DATABASE/?replicaSet=NAME",
        "artifacts_key": "that of the seeker, by which they know each other's URLs",
    },
}
"""By service, the settings that are secret, and how they look."""

EDITED = {"giver": ("policy.yaml",)}
"""By service, what else is there for the owner of the host to edit."""

VENV = Path("/opt/seekgive")
ETC = Path("/etc/seekgive")
UNITS = Path("/etc/systemd/system")
SYSUSERS = Path("/usr/lib/sysusers.d/seekgive.conf")
TMPFILES = Path("/usr/lib/tmpfiles.d/seekgive.conf")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("install", "uninstall"))
    parser.add_argument("services", nargs="+", choices=SERVICES, metavar="SERVICE")
    parser.add_argument(
        "--pip", action="append", default=[], metavar="OPTION", help="Handed to pip; repeatable."
    )
    given = parser.parse_args(arguments)
    if os.geteuid() != 0:
        sys.exit(f"users and units are root's to make. Type: sudo make {given.action}")
    if shutil.which("systemctl") is None:
        sys.exit("this host has no systemd: run the services by hand, see docs/operations.md")
    if given.action == "install":
        install(given.services, given.pip)
    else:
        uninstall(given.services)


def install(services: Sequence[str], pip: Sequence[str]) -> None:
    say(f"install the packages into {VENV}")
    if not (VENV / "bin" / "python").exists():
        run(sys.executable, "-m", "venv", str(VENV))
    constraints = f"--constraint={ROOT / 'constraints.txt'}"
    python = str(VENV / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--no-input", "--upgrade", constraints, *pip,
        str(ROOT))  # fmt: skip
    say("make users and folders")
    copy(HERE / "seekgive.sysusers.conf", SYSUSERS)
    copy(HERE / "seekgive.tmpfiles.conf", TMPFILES)
    run("systemd-sysusers", str(SYSUSERS))
    run("systemd-tmpfiles", "--create", str(TMPFILES))
    for service in services:
        say(f"install {unit(service)}")
        copy(HERE / unit(service), UNITS / unit(service))
        for settings in (f"{service}.env", *EDITED.get(service, ())):
            if not (ETC / settings).exists():
                copy(HERE / settings, ETC / settings)
    run("systemctl", "daemon-reload")
    make_artifacts_key(services)
    tell_next(services)


def uninstall(services: Sequence[str]) -> None:
    """Settings, credentials and state stay, and so do users, as files may be theirs."""
    for service in services:
        say(f"remove {unit(service)}")
        subprocess.run(["systemctl", "disable", "--now", unit(service)], check=False)
        (UNITS / unit(service)).unlink(missing_ok=True)
    if not any((UNITS / unit(service)).exists() for service in SERVICES):
        say(f"remove {VENV}")
        shutil.rmtree(VENV, ignore_errors=True)
        SYSUSERS.unlink(missing_ok=True)
        TMPFILES.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")


def make_artifacts_key(services: Sequence[str]) -> None:
    """One for seeker and channel. Where they live apart, the second gets the first's by hand."""
    folder = ETC / "credentials"
    known = [path.read_text() for path in folder.glob("*_artifacts_key")]
    # A seeker alone cannot know that of a channel elsewhere.
    if known or "channel" in services:
        key = known[0] if known else secrets.token_urlsafe(32)
        for service in services:
            path = folder / f"{service}_artifacts_key"
            if "artifacts_key" in CREDENTIALS[service] and not path.exists():
                path.touch(mode=0o600)
                path.write_text(key)


def tell_next(services: Sequence[str]) -> None:
    """What only the owner of the host can do."""
    for service in services:
        running = subprocess.run(["systemctl", "is-active", "--quiet", unit(service)], check=False)
        missing = {
            path: example
            for name, example in CREDENTIALS[service].items()
            if not (path := ETC / "credentials" / f"{service}_{name}").exists()
        }
        print(f"\n{service}:")
        for path, example in missing.items():
            print(f"  write into {path}: {example}")
        others = "".join(f" and {ETC / name}" for name in EDITED.get(service, ()))
        print(f"  look at {ETC / service}.env{others}")
        verb = "restart" if running.returncode == 0 else "enable --now"
        print(f"  systemctl {verb} {unit(service)}")


def unit(service: str) -> str:
    return f"seekgive-{service}.service"


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)


def run(*command: str) -> None:
    ended = subprocess.run(command, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {ended.returncode}; nothing was started")


def say(what: str) -> None:
    print(f"  … {what}", flush=True)


if __name__ == "__main__":
    main()
