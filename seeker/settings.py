"""Settings of the seeker, from `SEEKER_*` variables."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from runtime.logs import LogFormat, LogLevel
from runtime.settings import ServiceSettings
from runtime.signed_urls import LEAST_KEY


class SeekerSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SEEKER_")

    broker_url: str
    mongodb_url: str
    database: str = "seeker"
    channel_url: str = "http://127.0.0.1:8700"
    """Where results are read (REST)."""
    artifacts_key: SecretStr | None = Field(default=None, min_length=LEAST_KEY)
    """Signs the URLs by which files come and go, as the channel has it; `None`: tasks have none."""
    artifacts_url: str | None = None
    """Where givers reach the channel for files; `None`: at `channel_url`."""

    strikes: int = Field(default=3, ge=1)
    """Missed heartbeats after which a giver is purged."""
    lease_s: float = Field(default=10.0, ge=2)
    """Seconds after which another seeker may lead when this one is silent."""
    dispute_grace_s: float = Field(default=10.0, ge=0)
    """Seconds that a disagreement waits for a giver that has not tried the task yet, when there is
    none, before the heuristic decides."""

    log_level: LogLevel = "info"
    log_format: LogFormat | None = None
