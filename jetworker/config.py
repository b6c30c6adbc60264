"""
The settings, as a tree of models: read once (`settings`), frozen, strict, secret.

A name that nothing reads stops the start: a misspelt setting must not silently be a
default. Each part of the program gets its own sub-model, never the whole.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from aiokafka.helpers import create_ssl_context
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from jetworker.wire.durations import Duration

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LogConfig(_Part):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    format: Literal["json", "console"] = "json"

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value


class KafkaConfig(_Part):
    """Where Kafka is and how we sign in; names as librdkafka's."""

    bootstrap_servers: str = Field(min_length=1)
    group_id: str = Field("jetworker", min_length=1)
    group_instance_id: str | None = None
    session_timeout: Duration = timedelta(seconds=30)
    transaction_timeout: Duration = timedelta(seconds=30)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = (
        "PLAINTEXT"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None
    ssl_key_password: SecretStr | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
                if getattr(self, name) is None:
                    msg = f"{name}: required with security_protocol SASL_*"
                    raise ValueError(msg)
        elif self.sasl_mechanism is not None:
            msg = "sasl_mechanism: needs security_protocol SASL_SSL or SASL_PLAINTEXT"
            raise ValueError(msg)
        if self.ssl_key_location and not self.ssl_certificate_location:
            msg = "ssl_key_location: needs ssl_certificate_location"
            raise ValueError(msg)
        for name in ("ca", "certificate", "key"):
            path = getattr(self, f"ssl_{name}_location")
            if path is not None and not path.is_file():
                msg = f"ssl_{name}_location: there is no such file"
                raise ValueError(msg)
        return self

    def client_options(self) -> dict[str, Any]:
        """Return aiokafka's arguments for the connection and its security."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": "jetworker",
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            assert self.sasl_password is not None
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        if self.security_protocol.endswith("SSL"):
            password = self.ssl_key_password
            options["ssl_context"] = create_ssl_context(
                cafile=self.ssl_ca_location,
                certfile=self.ssl_certificate_location,
                keyfile=self.ssl_key_location,
                password=password.get_secret_value() if password else None,
            )
        return options


class TopicsConfig(_Part):
    """The names of the four topics."""

    commands: str = Field("jet.commands", min_length=1)
    events: str = Field("jet.events", min_length=1)
    state: str = Field("jet.state", min_length=1)
    dead_letters: str = Field("jet.dead-letters", min_length=1)

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        names = (self.commands, self.events, self.state, self.dead_letters)
        if len(set(names)) < len(names):
            msg = "commands: two topics have the same name"
            raise ValueError(msg)
        return self


class JetConfig(_Part):
    """Where Jet is and how we sign in."""

    base_url: str = "https://platform-api-service.services.cloud.signiant.com"
    allow_http: bool = False
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    requests_per_second: float = Field(20, gt=0, le=10_000)
    request_timeout: Duration = timedelta(seconds=10)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        url = urlsplit(self.base_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            msg = "base_url: write https://HOST"
            raise ValueError(msg)
        if url.username or url.query or url.fragment:
            msg = "base_url: no credentials, query or fragment"
            raise ValueError(msg)
        safe = url.scheme == "https" or url.hostname in _LOOPBACK or self.allow_http
        if not safe:
            msg = "base_url: http:// only for loopback, or set allow_http to true"
            raise ValueError(msg)
        return self


class PollingConfig(_Part):
    """How often Jet is asked about one delivery."""

    min_interval: Duration = timedelta(seconds=2)
    max_interval: Duration = timedelta(seconds=60)

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.min_interval > self.max_interval:
            msg = "min_interval: longer than max_interval"
            raise ValueError(msg)
        return self


class StartsConfig(_Part):
    """How unknown starts are settled."""

    settle: Duration = timedelta(seconds=20)
    max_attempts: int = Field(3, ge=1, le=100)


class EventsConfig(_Part):
    """How often counts alone are told."""

    progress_interval: Duration = timedelta(seconds=10)


class LimitsConfig(_Part):
    """How much is taken."""

    max_objects: int = Field(10_000, ge=1, le=1_000_000)
    max_active: int = Field(20_000, ge=1)


class HttpConfig(_Part):
    """Where the probes, the metrics and the status page are."""

    host: str = "0.0.0.0"  # noqa: S104 -- a pod is probed from outside
    port: int = Field(8080, ge=0, le=65535)


class ShutdownConfig(_Part):
    """How long a stop may take."""

    timeout: Duration = timedelta(seconds=20)


class Config(_Part):
    """All settings."""

    routes_file: Path
    dedupe_window: Duration = timedelta(days=7)
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
