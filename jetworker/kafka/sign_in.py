"""
How a client connects and signs in: by name, by certificate, by ticket, or by a token.

A token is what OAUTHBEARER takes (KIP-255). aiokafka asks its provider for one at each
connection and never signs in again on an open one (KIP-368): a broker that ends sessions
with their token cuts the connection, and the next one is made with a new token.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from typing_extensions import override

from jetworker.config.model import KafkaConfig
from jetworker.core.errors import ConfigurationError
from jetworker.runtime.clock import Clock

_TIMEOUT = 10.0  # seconds
_REGION = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com")
# Renewed when so much of its life is over: a connection that begins now still has time.
_FRESH = 0.8
_LONGEST = 86_400.0


def client_options(config: KafkaConfig) -> dict[str, Any]:
    """Return aiokafka's arguments for the connection and its security."""
    options = config.client_options()
    if config.sasl_mechanism == "OAUTHBEARER":
        options["sasl_oauth_token_provider"] = _tokens(config)
    return options


def _tokens(config: KafkaConfig) -> "Tokens":
    if config.sasl_oauthbearer_method == "aws_msk_iam":
        return Tokens(MskIam(region(config.bootstrap_servers, os.environ)).fetch)
    return Tokens(Oidc(config).fetch)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token that is good for *life* seconds from now."""

    value: str
    life: float

    @classmethod
    def of(cls, body: bytes) -> "Token":
        """Read an answer (RFC 6749 §5.1); raises KafkaConnectionError."""
        try:
            found = orjson.loads(body)
            value, life = found["access_token"], float(found.get("expires_in", 300))
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            msg = "the token endpoint's answer has no access_token"
            raise KafkaConnectionError(msg) from exc
        if not isinstance(value, str) or not value or not life > 0:
            msg = "the token endpoint's answer has no access_token that is good"
            raise KafkaConnectionError(msg)
        return cls(value, min(life, _LONGEST))


class Tokens(AbstractTokenProvider):
    """
    Gives the current token, fetched by one caller at a time, ahead of its end.

    It is renewed when *fresh* of its life is over, a share.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Token]], fresh: float = _FRESH
    ) -> None:
        self._fetch = fetch
        self._fresh = fresh
        self._token: Token | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._lock = asyncio.Lock()

    @override
    async def token(self) -> str:
        """
        Return a token; raises KafkaConnectionError, which aiokafka tries again.

        One that still holds is used on while no new one is to be had.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._token is None or now >= self._renew_at:
                try:
                    self._token = await self._fetch()
                except KafkaConnectionError:
                    if self._token is None or now >= self._ends_at:
                        raise
                else:
                    self._renew_at = now + self._token.life * self._fresh
                    self._ends_at = now + self._token.life
            return self._token.value


class Oidc:
    """Client credentials at a token endpoint (RFC 6749 §4.4, Basic as in §2.3.1)."""

    def __init__(self, config: KafkaConfig) -> None:
        assert config.sasl_oauthbearer_token_endpoint_url is not None
        assert config.sasl_oauthbearer_client_id is not None
        assert config.sasl_oauthbearer_client_secret is not None
        self._url = config.sasl_oauthbearer_token_endpoint_url
        self._id = config.sasl_oauthbearer_client_id
        self._secret = config.sasl_oauthbearer_client_secret
        self._scope = config.sasl_oauthbearer_scope

    async def fetch(self) -> Token:
        """Ask for a token; raises KafkaConnectionError, without a secret in it."""
        form = {"grant_type": "client_credentials"}
        if self._scope is not None:
            form["scope"] = self._scope
        credentials = (self._id, self._secret.get_secret_value())
        try:
            async with (
                asyncio.timeout(_TIMEOUT),
                httpx.AsyncClient(verify=ssl.create_default_context()) as client,
            ):
                answer = await client.post(self._url, data=form, auth=credentials)
        except (httpx.HTTPError, TimeoutError, OSError) as exc:
            msg = f"the token endpoint did not answer: {type(exc).__name__}"
            raise KafkaConnectionError(msg) from exc
        if answer.status_code != httpx.codes.OK:
            msg = f"the token endpoint refuses the credentials ({answer.status_code})"
            raise KafkaConnectionError(msg)
        return Token.of(answer.content)


@dataclass(frozen=True, slots=True)
class MskIam:
    """A request to MSK, signed by AWS's credentials of this machine (SigV4)."""

    region: str

    async def fetch(self) -> Token:
        """Sign one; raises KafkaConnectionError. The library is an extra."""
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        sign = MSKAuthTokenProvider.generate_auth_token
        try:
            value, ends_at_ms = await asyncio.to_thread(sign, self.region)
        except (BotoCoreError, ValueError) as exc:
            msg = f"AWS credentials for MSK: {type(exc).__name__}"
            raise KafkaConnectionError(msg) from exc
        left = ends_at_ms / 1000 - Clock().now().timestamp()  # by the wall clock
        return Token(value, max(1.0, left))


def region(bootstrap_servers: str, environ: Mapping[str, str]) -> str:
    """
    Return the AWS region: the environment's, else the one in the brokers' names.

    Raises ConfigurationError if neither tells it.
    """
    given = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    found = _REGION.search(bootstrap_servers)
    if given:
        return given
    if found:
        return found[1]
    msg = "JETWORKER_KAFKA__SASL_OAUTHBEARER_METHOD: aws_msk_iam needs AWS_REGION"
    raise ConfigurationError(msg)
