"""Settings of the channel, from `CHANNEL_*` variables."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from runtime.logs import LogFormat, LogLevel
from runtime.settings import ServiceSettings
from runtime.signed_urls import LEAST_KEY


class ClientSettings(ServiceSettings):
    """What the command line needs to ask a running service."""

    model_config = SettingsConfigDict(env_prefix="CHANNEL_")

    url: str = "http://127.0.0.1:8700"
    """Where the service answers (REST)."""


class ChannelSettings(ClientSettings):
    """What the service itself needs."""

    broker_url: str
    mongodb_url: str
    database: str = "channel"
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8700, ge=0, le=65535)
    """0 takes a free one."""

    artifacts_key: SecretStr | None = Field(default=None, min_length=LEAST_KEY)
    """The one that the seeker signs URLs of files with; `None`: no files are kept."""

    batch_max: int = Field(default=250, ge=1, le=1000)
    """Results in one write. Three times as many are held in memory at the most."""

    log_level: LogLevel = "info"
    log_format: LogFormat | None = None
