"""
The settings, as a tree of models: read once (`settings`), frozen, strict, secret.

A name that nothing reads stops the start: a misspelt setting must not silently be a
default. Each part of the program gets its own sub-model, never the whole.
"""

import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from jetworker.config.kafka_config import KafkaConfig
from jetworker.config.part import Part
from jetworker.wire.durations import Duration, within

__all__ = [
    "Config",
    "EventsConfig",
    "HttpConfig",
    "JetConfig",
    "KafkaConfig",
    "LimitsConfig",
    "LogConfig",
    "PollingConfig",
    "ShutdownConfig",
    "StartsConfig",
    "TopicsConfig",
]
_HOST = re.compile(r"[A-Za-z0-9._:-]+")

TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class LogConfig(Part):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    format: Literal["json", "console"] = "json"

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value


class TopicsConfig(Part):
    """The names of the four topics."""

    commands: TopicName = "jet.commands"
    events: TopicName = "jet.events"
    state: TopicName = "jet.state"
    dead_letters: TopicName = "jet.dead-letters"

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        names = (self.commands, self.events, self.state, self.dead_letters)
        if len(set(names)) < len(names):
            msg = "commands: two topics have the same name"
            raise ValueError(msg)
        return self


class JetConfig(Part):
    """Where Jet is and how we sign in."""

    base_url: str = "https://platform-api-service.services.cloud.signiant.com"
    allow_http: bool = False
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    requests_per_second: float = Field(20, gt=0, le=10_000)
    request_timeout: Annotated[Duration, within("10ms", "10m")] = timedelta(seconds=10)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        url = _split(self.base_url)
        if url is None or url.scheme not in {"http", "https"}:
            msg = "base_url: write https://HOST or https://HOST:PORT"
            raise ValueError(msg)
        if "@" in url.netloc or url.query or url.fragment:
            msg = "base_url: no credentials, query or fragment"
            raise ValueError(msg)
        if url.scheme != "https" and not self.allow_http and not _is_loopback(url):
            msg = "base_url: http:// only for loopback, or set allow_http to true"
            raise ValueError(msg)
        return self


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        is_whole = url.port != 0 and _HOST.fullmatch(url.hostname or "")
    except ValueError:  # brackets, or a port that is none
        return None
    return url if is_whole else None


def _is_loopback(url: SplitResult) -> bool:
    host = url.hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class PollingConfig(Part):
    """How often Jet is asked about one delivery."""

    min_interval: Annotated[Duration, within("10ms", "24h")] = timedelta(seconds=2)
    max_interval: Annotated[Duration, within("10ms", "24h")] = timedelta(seconds=60)

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.min_interval > self.max_interval:
            msg = "min_interval: longer than max_interval"
            raise ValueError(msg)
        return self


class StartsConfig(Part):
    """How unknown starts are settled."""

    settle: Annotated[Duration, within("10ms", "24h")] = timedelta(seconds=20)
    max_attempts: int = Field(3, ge=1, le=100)


class EventsConfig(Part):
    """How often counts alone are told."""

    progress_interval: Annotated[Duration, within("1ms", "24h")] = timedelta(seconds=10)


class LimitsConfig(Part):
    """How much is taken."""

    max_objects: int = Field(10_000, ge=1, le=1_000_000)
    max_active: int = Field(20_000, ge=1)


class HttpConfig(Part):
    """Where the probes, the metrics and the status page are."""

    host: str = "0.0.0.0"  # noqa: S104 -- a pod is probed from outside
    port: int = Field(8080, ge=0, le=65535)


class ShutdownConfig(Part):
    """How long a stop may take."""

    timeout: Annotated[Duration, within("100ms", "1h")] = timedelta(seconds=20)


class Config(Part):
    """All settings."""

    routes_file: Path
    dedupe_window: Annotated[Duration, within("1s", "3650d")] = timedelta(days=7)
    log: LogConfig = LogConfig()
    kafka: KafkaConfig
    topics: TopicsConfig = TopicsConfig()
    jet: JetConfig
    polling: PollingConfig = PollingConfig()
    starts: StartsConfig = StartsConfig()
    events: EventsConfig = EventsConfig()
    limits: LimitsConfig = LimitsConfig()
    http: HttpConfig = HttpConfig()
    shutdown: ShutdownConfig = ShutdownConfig()
