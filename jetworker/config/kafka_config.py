"""How Kafka is reached and signed in to: names as librdkafka's, checked at the start."""

import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from aiokafka.helpers import create_ssl_context
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from jetworker.config.part import Part
from jetworker.wire.durations import Duration, within

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
            Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)
        ]
        | None
    ) = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
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
            for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
                if getattr(self, name) is None:
                    msg = f"{name}: required with security_protocol SASL_*"
                    raise ValueError(msg)
        if self.has_tls:
            self._tls()
        return self

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
            assert self.sasl_password is not None
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
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


def _need(config: KafkaConfig, prefix: str, protocols: str) -> None:
    """Refuse what the protocol would silently leave unused: it is meant to protect."""
    for name in type(config).model_fields:
        if name.startswith(prefix) and getattr(config, name) is not None:
            msg = f"{name}: needs security_protocol {protocols}"
            raise ValueError(msg)
