"""Where the owner's policy is read from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from giver.policy import NO_POLICY, OwnersPolicy, PolicyError, parse
from runtime.settings import SettingsError

DEFAULT_NAME = "policy.yaml"
"""In the state folder, where GIVER_POLICY names no other."""


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    policy: OwnersPolicy
    source: str
    """The file, or that there is none."""


def read(named: Path | None, state_dir: Path) -> PolicyInForce:
    """Without a file in the default place there is no policy; one that is named must be there.

    Raises:
        SettingsError: names the file, the key and the remedy.
    """
    path = named or state_dir / DEFAULT_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        if named is None:
            return PolicyInForce(NO_POLICY, f"default, as there is no {path}")
        raise SettingsError(
            f"GIVER_POLICY names {path}, which does not exist: make it, or unset GIVER_POLICY to "
            "grant nothing and allow every image"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"the owner's policy {path} cannot be read ({error.strerror}): let the giver's user "
            "read it, or name another with GIVER_POLICY"
        ) from error
    try:
        return PolicyInForce(parse(text), str(path))
    except PolicyError as error:
        raise SettingsError(f"the owner's policy {path}: {error}") from error
