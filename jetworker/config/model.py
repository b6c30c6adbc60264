"""
The settings, as a tree of models: read once (`settings`), frozen, strict, secret.

A name that nothing reads stops the start: a misspelt setting must not silently be a
default. Each part of the program gets its own sub-model, never the whole.
"""

import re
import ssl
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from aiokafka.helpers import create_ssl_context
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jetworker.wire.command_model import MAX_OBJECTS
from jetworker.wire.durations import Duration, within


class Part(BaseModel):
    """A part of the settings: frozen, strict, and silent about what it was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_meant(cls, value: object, info: ValidationInfo) -> object:
        """Refuse `yes` where a number belongs: it would be 1."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and field.annotation is not bool:
            msg = "YAML reads this as true or false"
            raise ValueError(msg)
        return value


_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?")
_LAST_PORT = 65535


def _upper(value: object) -> object:
    """Accept lower case: that is how librdkafka writes it."""
    return value.upper() if isinstance(value, str) else value


class KafkaConfig(Part):
    """Where Kafka is and how we sign in."""

    bootstrap_servers: str = Field(min_length=1)
    group_id: str = Field("jetworker", min_length=1)
    group_instance_id: str | None = None
    takes_over: str | None = Field(None, min_length=1, max_length=249)
    session_timeout: Annotated[Duration, within("1s", "30m")] = timedelta(seconds=30)
    transaction_timeout: Annotated[Duration, within("1s", "15m")] = timedelta(
        seconds=30
    )
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        BeforeValidator(_upper),
    ] = "PLAINTEXT"
    sasl_mechanism: (
        Annotated[
            Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"],
            BeforeValidator(_upper),
        ]
        | None
    ) = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_oauthbearer_method: Literal["oidc", "aws_msk_iam"] | None = None
    sasl_oauthbearer_token_endpoint_url: str | None = None
    sasl_oauthbearer_client_id: str | None = None
    sasl_oauthbearer_client_secret: SecretStr | None = None
    sasl_oauthbearer_scope: str | None = None
    sasl_kerberos_service_name: str | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None
    ssl_key_password: SecretStr | None = None

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_servers(cls, value: str) -> str:
        for server in value.split(","):
            found = _SERVER.fullmatch(server.strip())
            if found is None or int(found["port"] or 1) not in range(1, _LAST_PORT + 1):
                msg = "write HOST:PORT, several with commas between them"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.has_sasl:
            _need(self, "sasl_", "SASL_SSL or SASL_PLAINTEXT")
        if not self.has_tls:
            _need(self, "ssl_", "SSL or SASL_SSL")
        if self.has_sasl:
            self._check_sasl()
        if self.has_tls:
            self._tls()
        return self

    def _check_sasl(self) -> None:
        """Refuse what the mechanism lacks, and what it would silently leave unused."""
        if self.sasl_mechanism is None:
            msg = "sasl_mechanism: required with security_protocol SASL_*"
            raise ValueError(msg)
        way: str | None = self.sasl_mechanism
        if way == "OAUTHBEARER":
            way = self.sasl_oauthbearer_method
        if way is None:
            msg = "sasl_oauthbearer_method: required with OAUTHBEARER: oidc or aws_msk_iam"
            raise ValueError(msg)
        needed, also = _SASL[way]
        for name in type(self).model_fields:
            is_given = getattr(self, name) is not None
            if name in needed and not is_given:
                msg = f"{name}: required with {way}"
                raise ValueError(msg)
            if name.startswith("sasl_") and is_given and name not in {*needed, *also}:
                msg = f"{name}: not used with {way}"
                raise ValueError(msg)
        url = self.sasl_oauthbearer_token_endpoint_url
        if url is not None and not _may_take_secrets(url):
            msg = (
                "sasl_oauthbearer_token_endpoint_url: write https://HOST/PATH"
                " (http:// only for loopback), without user and password"
            )
            raise ValueError(msg)
        _need_extra(way)

    @property
    def has_sasl(self) -> bool:
        """Whether we sign in by name and password."""
        return self.security_protocol.startswith("SASL")

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    def client_options(self) -> dict[str, Any]:
        """Return aiokafka's arguments for the connection and its security."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": "jetworker",
            "security_protocol": self.security_protocol,
        }
        if self.has_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
        if self.sasl_password is not None:
            options |= {
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        if self.sasl_kerberos_service_name is not None:
            options["sasl_kerberos_service_name"] = self.sasl_kerberos_service_name
        if self.has_tls:
            options["ssl_context"] = self._tls()
        return options

    def _tls(self) -> ssl.SSLContext:
        """Make the context from the files; raises ValueError that names the file."""
        certificate, key = self.ssl_certificate_location, self.ssl_key_location
        if (key is None) is not (certificate is None):
            wrong = "ssl_certificate_location" if key else "ssl_key_location"
            msg = f"{wrong}: certificate and key belong together, give both"
            raise ValueError(msg)
        for kind in ("ca", "certificate", "key"):
            path = getattr(self, f"ssl_{kind}_location")
            if path is not None and not path.is_file():
                msg = f"ssl_{kind}_location: there is no such file"
                raise ValueError(msg)
        try:
            context = create_ssl_context(cafile=self.ssl_ca_location)
        except OSError as exc:
            msg = "ssl_ca_location: the file has no certificates in PEM"
            raise ValueError(msg) from exc
        if certificate is not None:
            self._load_certificate(context, certificate)
        return context

    def _load_certificate(self, context: ssl.SSLContext, certificate: Path) -> None:
        given = self.ssl_key_password
        # Without a password OpenSSL would ask the terminal for one, and wait.
        password = given.get_secret_value() if given else ""
        try:
            context.load_cert_chain(certificate, self.ssl_key_location, password)
        except (OSError, ValueError) as exc:
            msg = (
                "ssl_key_location: certificate and key cannot be read together"
                " (PEM, each other's, with ssl_key_password?)"
            )
            raise ValueError(msg) from exc


_MECHANISM = ("sasl_mechanism",)
_BY_NAME = (*_MECHANISM, "sasl_username", "sasl_password")
_BY_TOKEN = (*_MECHANISM, "sasl_oauthbearer_method")
# What each way of signing in needs, and what it can use besides.
_SASL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "PLAIN": (_BY_NAME, ()),
    "SCRAM-SHA-256": (_BY_NAME, ()),
    "SCRAM-SHA-512": (_BY_NAME, ()),
    "oidc": (
        (
            *_BY_TOKEN,
            "sasl_oauthbearer_token_endpoint_url",
            "sasl_oauthbearer_client_id",
            "sasl_oauthbearer_client_secret",
        ),
        ("sasl_oauthbearer_scope",),
    ),
    "aws_msk_iam": (_BY_TOKEN, ()),
    "GSSAPI": (_MECHANISM, ("sasl_kerberos_service_name",)),
}
_EXTRAS = {
    "aws_msk_iam": ("aws_msk_iam_sasl_signer", "aws"),
    "GSSAPI": ("gssapi", "kerberos"),
}


def _need_extra(way: str) -> None:
    """Refuse a way of signing in whose library is not installed."""
    if way in _EXTRAS:
        module, extra = _EXTRAS[way]
        if find_spec(module) is None:
            msg = f"sasl_mechanism: {way} needs pip install 'jetworker[{extra}]'"
            raise ValueError(msg)


def _may_take_secrets(text: str) -> bool:
    """Whether a secret may be sent there: by TLS, or without leaving the machine."""
    url = _split(text)
    if url is None or "@" in url.netloc or url.fragment:
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url))


def _need(config: KafkaConfig, prefix: str, protocols: str) -> None:
    """Refuse what the protocol would silently leave unused: it is meant to protect."""
    for name in type(config).model_fields:
        if name.startswith(prefix) and getattr(config, name) is not None:
            msg = f"{name}: needs security_protocol {protocols}"
            raise ValueError(msg)


__all__ = [
    "Config",
    "EventsConfig",
    "HttpConfig",
    "JetConfig",
    "KafkaConfig",
    "LimitsConfig",
    "LogConfig",
    "NotificationsConfig",
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
    """The names of the topics; that of deliveries is off by default."""

    commands: TopicName = "jet.commands"
    events: TopicName = "jet.events"
    state: TopicName = "jet.state"
    dead_letters: TopicName = "jet.dead-letters"
    deliveries: TopicName | None = None

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        first: dict[str, str] = {}
        for setting in type(self).model_fields:
            name = getattr(self, setting)
            if name in first:
                msg = f"{setting}: has the same name as {first[name]}: {name}"
                raise ValueError(msg)
            if name is not None:
                first[name] = setting
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Return those that there are, the optional one last."""
        four = (self.commands, self.events, self.state, self.dead_letters)
        return four if self.deliveries is None else (*four, self.deliveries)


class JetConfig(Part):
    """Where Jet is and how we sign in."""

    base_url: str = "https://platform-api-service.services.cloud.signiant.com"
    allow_http: bool = False
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    ssl_ca_location: Path | None = None
    proxy: SecretStr | None = None
    requests_per_second: float = Field(20, gt=0, le=10_000)
    shared_requests_per_second: float | None = Field(None, gt=0, le=10_000)
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
        if url.scheme != "https" and not self.allow_http and not is_loopback(url):
            msg = "base_url: http:// only for loopback, or set allow_http to true"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _finds_its_way(self) -> Self:
        if self.ssl_ca_location is not None:
            try:
                ssl.create_default_context(cafile=self.ssl_ca_location)
            except OSError as exc:
                msg = "ssl_ca_location: no file with certificates in PEM"
                raise ValueError(msg) from exc
        if self.proxy is not None:
            url = _split(self.proxy.get_secret_value())
            if (
                url is None
                or url.scheme not in {"http", "https"}
                or url.path.strip("/")
            ):
                msg = "proxy: write http://[USER:PASSWORD@]HOST:PORT, or https://"
                raise ValueError(msg)
        return self


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        is_whole = url.port != 0 and _HOST.fullmatch(url.hostname or "")
    except ValueError:  # brackets, or a port that is none
        return None
    return url if is_whole else None


def is_loopback(url: SplitResult) -> bool:
    """Whether a URL leads to this machine itself."""
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
    max_waiting_bytes: Annotated[ByteSize, Field(ge=1 << 20)] = ByteSize(256 << 20)


class EventsConfig(Part):
    """How often counts alone are told."""

    progress_interval: Annotated[Duration, within("1ms", "24h")] = timedelta(seconds=10)


class LimitsConfig(Part):
    """How much is taken."""

    max_objects: int = Field(MAX_OBJECTS, ge=1, le=1_000_000)
    max_active: int = Field(20_000, ge=1)


def _bare(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


class HttpConfig(Part):
    """Where the probes, the metrics and the status page are."""

    # A pod is probed from outside; an IPv6 address may be written as in a URL.
    host: Annotated[str, AfterValidator(_bare)] = "0.0.0.0"  # noqa: S104
    port: int = Field(8080, ge=0, le=65535)


class NotificationsConfig(Part):
    """Where Jet's notifications arrive: all three, or none."""

    port: int | None = Field(None, ge=0, le=65535)
    url: str | None = None
    secret: SecretStr | None = None

    @property
    def is_on(self) -> bool:
        """Whether notifications are listened for."""
        return self.port is not None

    @property
    def address(self) -> str:
        """The URL that Jet is given, with the secret in it; never shown."""
        assert self.url is not None
        assert self.secret is not None
        return f"{self.base}{self.secret.get_secret_value()}"

    @property
    def base(self) -> str:
        """How the URLs of our subscriptions begin, whatever their secret."""
        return f"{(self.url or '').rstrip('/')}/"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = [
            name for name in type(self).model_fields if getattr(self, name) is None
        ]
        if given and len(given) < len(type(self).model_fields):
            msg = f"{given[0]}: port, url and secret belong together, give all three"
            raise ValueError(msg)
        if not given:
            self._check_address()
        return self

    def _check_address(self) -> None:
        assert self.url is not None
        assert self.secret is not None
        url = _split(self.url)
        is_safe = url is not None and (
            url.scheme == "https" or (url.scheme == "http" and is_loopback(url))
        )
        if url is None or not is_safe or "@" in url.netloc or url.query or url.fragment:
            msg = "url: write https://HOST/PATH, without credentials, query or fragment"
            raise ValueError(msg)
        if not _SEGMENT.fullmatch(self.secret.get_secret_value()):
            msg = (
                "secret: 16 to 100 letters, digits, '-' and '_', as it is part of a URL"
            )
            raise ValueError(msg)
        if len(self.address) > _LONGEST_ADDRESS:
            msg = "url: with the secret longer than the 200 characters that Jet takes"
            raise ValueError(msg)


_SEGMENT = re.compile(r"[A-Za-z0-9_-]{16,100}")
_LONGEST_ADDRESS = 200


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
    notifications: NotificationsConfig = NotificationsConfig()
    shutdown: ShutdownConfig = ShutdownConfig()

    @model_validator(mode="after")
    def _has_two_ports(self) -> Self:
        if self.http.port and self.http.port == self.notifications.port:
            msg = "notifications__port: it is JETWORKER_HTTP__PORT too, give another"
            raise ValueError(msg)
        return self

    @property
    def warning(self) -> str | None:
        """
        Say that what has ended is forgotten too soon, None if it is not (A9).

        A delivery whose command is forgotten looks like nobody's, and stands in the way
        of every start that is still unknown.
        """
        doubted_for = (
            2 * self.starts.settle
            + self.kafka.session_timeout
            + self.jet.request_timeout
        )
        if self.dedupe_window >= doubted_for:
            return None
        return (
            f"JETWORKER_DEDUPE_WINDOW: {self.dedupe_window.total_seconds():g} s is shorter"
            f" than a start can be unknown ({doubted_for.total_seconds():g} s: twice"
            " settle, session and request timeout); lost starts may be held for it"
        )
