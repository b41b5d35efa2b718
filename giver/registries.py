"""Credentials of private registries: from the file that `docker login` writes, or a job's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docker.utils import config

from runtime.settings import SettingsError
from schemas.job import RegistryAuth


def file_in_use(named: Path | None) -> Path | None:
    """The file named by GIVER_DOCKER_CONFIG, else the one that the docker command uses, if any."""
    if named is not None:
        return named
    found = config.find_config_file()
    return Path(str(found)) if found else None


def known(named: Path | None) -> list[str]:
    """The registries that there are credentials for.

    Raises:
        SettingsError: the file that is named cannot be read, or is none of Docker's.
    """
    file = file_in_use(named)
    if file is None:
        return []
    remedy = "write it with `docker --config FOLDER login REGISTRY`, or name another"
    try:
        values: Any = json.loads(file.read_bytes())
        names = {*values.get("auths", ()), *values.get("credHelpers", ())}
    except OSError as error:
        reason = error.strerror
    except (ValueError, AttributeError, TypeError) as error:
        reason = f"it is no configuration of Docker's: {error}"
    else:
        helper = values.get("credsStore")
        return sorted(names) + ([f"those of the helper {helper}"] if helper else [])
    raise SettingsError(f"GIVER_DOCKER_CONFIG={file} cannot be used ({reason}): {remedy}")


def docker_auth(auth: RegistryAuth | None) -> dict[str, str] | None:
    """As docker-py takes it; `None`: it looks for the owner's."""
    if auth is None:
        return None
    written = {
        "username": auth.username,
        "password": auth.password,
        "identitytoken": auth.identity_token,
        "serveraddress": auth.registry,
    }
    return {name: value for name, value in written.items() if value}
