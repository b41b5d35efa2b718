"""Configuration: one frozen object per service, validated when built.

The environment is read here and nowhere else. Inside a checkout with a local stack,
`.local/env` of the nearest folder upwards supplies what the environment does not name, and under
systemd its credentials do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as NotParsed

from runtime.urls import redact


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names the variable, the value and the remedy."""


class SettingsMissing(SettingsError):
    """Nothing is wrong, but where a service is has not been said."""


class ServiceSettings(BaseSettings):
    """Base of each service's settings; subclasses set `env_prefix`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    _overridden: frozenset[str] = PrivateAttr(default=frozenset())
    """Fields that `load` was given."""

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Build from `overrides`, then the environment, then the local stack's `.local/env`, then
        the credentials that systemd hands over.

        An override of `None` counts as not given, so that command-line options can be passed on.

        Raises:
            SettingsMissing: names each variable that is missing.
            SettingsError: names each variable that is missing or wrong.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            made = cls(_env_file=local_stack_env(), _secrets_dir=credentials(), **given)
        except ValidationError as error:
            missing = all(problem["type"] == "missing" for problem in error.errors())
            kind = SettingsMissing if missing else SettingsError
            raise kind(cls._explain(error)) from error
        except NotParsed as error:
            raise SettingsError(cls._explain_value(error)) from error
        made._overridden = frozenset(given)
        return made

    def explained(self) -> list[dict[str, str]]:
        """Each setting as `variable`, `value` and `source`: option, environment, the local stack's
        file, or default. Passwords in URLs are left out."""
        overrides: frozenset[str] = self._overridden
        prefix = self.model_config.get("env_prefix", "")
        local = local_stack_env()
        in_file = local.read_text(encoding="utf-8").splitlines() if local else []
        in_file = [line.partition("=")[0].removeprefix("export ").strip() for line in in_file]
        secrets = credentials()
        rows = []
        for name in sorted(type(self).model_fields):
            variable = f"{prefix}{name}".upper()
            if name in overrides:
                source = "option"
            elif variable in map(str.upper, os.environ):
                source = "environment"
            elif variable in in_file:
                source = str(local)
            elif secrets is not None and (secrets / variable.lower()).is_file():
                source = "credential"
            else:
                source = "default"
            value = getattr(self, name)
            shown = redact(value) if isinstance(value, str) else value
            rows.append({"variable": variable, "value": str(shown), "source": source})
        return rows

    @classmethod
    def _explain_value(cls, error: NotParsed) -> str:
        """Of a setting that is more than a word, such as a mapping."""
        name = str(error).partition('field "')[2].partition('"')[0]
        variable = f"{cls.model_config.get('env_prefix', '')}{name}".upper()
        given = os.environ.get(variable)
        shown = variable if given is None else f"{variable}={given!r}"
        return f'{shown} is not JSON: write it like {{"zone": "a"}}, or ["a", "b"] for a list'

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        prefix = cls.model_config.get("env_prefix", "")
        lines = []
        for problem in error.errors(include_url=False, include_context=False):
            name = (prefix + "_".join(str(step) for step in problem["loc"])).upper()
            if problem["type"] == "missing":
                lines.append(f"{name} is not set: export it, or start a local stack with `make up`")
            else:
                said = problem["msg"].removeprefix("Value error, ")  # One of our own.
                lines.append(f"{name}={problem['input']!r} does not fit: {said}")
        return "\n".join(lines)


def credentials() -> Path | None:
    """Where systemd puts what a unit's `LoadCredential=` names: a file for each secret setting,
    named as its variable in lower case."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def local_stack_env() -> Path | None:
    """The `.local/env` of the nearest folder from here upwards, if there is one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        candidate = folder / ".local" / "env"
        if candidate.is_file():
            return candidate
    return None
