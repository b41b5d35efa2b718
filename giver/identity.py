"""Who this giver is: an id made once, and a state folder that no other giver uses meanwhile."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from pathlib import Path

from giver import control_token
from schemas.identifiers import GIVER_PATTERN

_ID_FILE = "id"
_LOCK_FILE = "lock"
_SUFFIX_BYTES = 3


class IdentityError(Exception):
    """The state folder cannot be used; the message names it and the remedy."""


class StateDir:
    """The giver's folder, locked as long as this object is open."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            IdentityError: not writable, or used by a running giver.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise IdentityError(
                f"cannot write to the state folder {path} ({error.strerror}): "
                "name a folder of your own with --state-dir or GIVER_STATE_DIR"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise IdentityError(
                f"another giver is running with the state folder {path}: "
                "stop it, or give this one its own with --state-dir or GIVER_STATE_DIR"
            ) from error

    def close(self) -> None:
        os.close(self._lock)

    def new_control_token(self) -> str:
        """
        Raises:
            IdentityError: it cannot be written.
        """
        try:
            return control_token.make(self.path)
        except OSError as error:
            raise IdentityError(f"cannot write to {self.path} ({error.strerror})") from error

    def identity(self, wanted: str | None) -> str:
        """The id kept here; at the first call it becomes `wanted`, or a new one.

        Raises:
            IdentityError: the folder belongs to another id, or its id is unusable.
        """
        file = self.path / _ID_FILE
        try:
            kept = file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            chosen = wanted or new_id(socket.gethostname())
            self._keep(file, chosen)
            return chosen
        except OSError as error:
            raise IdentityError(f"cannot read {file} ({error.strerror})") from error
        if re.fullmatch(GIVER_PATTERN, kept) is None:
            raise IdentityError(
                f"{file} holds {kept!r}, which is no giver id: restore it, or remove the folder "
                "to start as a new giver"
            )
        if wanted is not None and wanted != kept:
            raise IdentityError(
                f"the state folder {self.path} belongs to giver {kept}, not to {wanted}: "
                "give each id its own folder"
            )
        return kept

    def _keep(self, file: Path, identity: str) -> None:
        draft = file.with_suffix(".new")
        try:
            with draft.open("w", encoding="utf-8") as stream:
                stream.write(identity + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(file)
        except OSError as error:
            raise IdentityError(f"cannot write {file} ({error.strerror})") from error


def new_id(hostname: str) -> str:
    """The host's name as a DNS label, and a random suffix: hosts are often called alike."""
    slug = re.sub(r"[^a-z0-9]+", "-", hostname.split(".")[0].lower()).strip("-")
    suffix = secrets.token_hex(_SUFFIX_BYTES)
    room = 63 - len(suffix) - 1
    return f"{slug[:room].strip('-') or 'giver'}-{suffix}"
