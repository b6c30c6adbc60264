"""Tokens for OAUTHBEARER: fetched once for all who ask, ahead of their end."""

import asyncio
import base64
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

from jetworker.config.model import KafkaConfig
from jetworker.core.errors import ConfigurationError
from jetworker.kafka.sign_in import (
    MskIam,
    Oidc,
    Token,
    Tokens,
    client_options,
    region,
)
from tests.support.kafka.tokens import CLIENT, SECRET, TokenServer, serving


def a_config(url: str, **changes: object) -> KafkaConfig:
    """Return the settings of a client that signs in by tokens."""
    return KafkaConfig.model_validate(
        {
            "bootstrap_servers": "kafka:9092",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauthbearer_method": "oidc",
            "sasl_oauthbearer_token_endpoint_url": f"{url}/token",
            "sasl_oauthbearer_client_id": CLIENT,
            "sasl_oauthbearer_client_secret": SecretStr(SECRET),
            **changes,
        }
    )


@pytest.fixture
def server() -> Iterator[TokenServer]:
    """Return a token server that answers."""
    with serving(TokenServer()) as made:
        yield made


class Fetch:
    """Gives tokens of a life, or fails."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.asked = 0
        self.is_down = False

    async def __call__(self) -> Token:
        """Give the next."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise KafkaConnectionError
        return Token(f"token-{self.asked}", self.life)


async def test_many_connections_at_once_fetch_one_token() -> None:
    fetch = Fetch(life=3600)
    tokens = Tokens(fetch)

    given = await asyncio.gather(*(tokens.token() for _ in range(50)))

    assert (set(given), fetch.asked) == ({"token-1"}, 1)


async def test_a_token_is_renewed_before_its_end() -> None:
    fetch = Fetch(life=0.0)
    tokens = Tokens(fetch)

    assert [await tokens.token(), await tokens.token()] == ["token-1", "token-2"]


async def test_a_token_that_still_holds_serves_while_no_new_one_is_to_be_had() -> None:
    fetch = Fetch(life=3600)
    tokens = Tokens(fetch, fresh=0.0)
    assert await tokens.token() == "token-1"
    fetch.is_down = True

    assert await tokens.token() == "token-1"

    assert fetch.asked == 2


async def test_no_token_at_all_is_a_connection_that_fails() -> None:
    fetch = Fetch(life=3600)
    fetch.is_down = True

    with pytest.raises(KafkaConnectionError):
        await Tokens(fetch).token()


async def test_client_credentials_are_sent_as_the_rfc_says(server: TokenServer) -> None:
    config = a_config(server.url, sasl_oauthbearer_scope="kafka write")

    token = await Oidc(config).fetch()

    assert token.life == server.life
    assert server.asked == [
        {"grant_type": ["client_credentials"], "scope": ["kafka write"]}
    ]


async def test_the_provider_is_what_aiokafka_asks(server: TokenServer) -> None:
    options = client_options(a_config(server.url))

    assert options["sasl_mechanism"] == "OAUTHBEARER"
    assert await options["sasl_oauth_token_provider"].token()
    assert server.issued == 1


async def test_a_refusal_names_its_status_and_no_secret(server: TokenServer) -> None:
    wrong = a_config(server.url, sasl_oauthbearer_client_secret=SecretStr("canary"))

    with pytest.raises(KafkaConnectionError) as caught:
        await Oidc(wrong).fetch()

    assert "refuses the credentials (401)" in str(caught.value)
    assert "canary" not in str(caught.value)


async def test_an_endpoint_that_is_not_there_is_a_connection_that_fails() -> None:
    with pytest.raises(KafkaConnectionError, match="did not answer"):
        await Oidc(a_config("http://127.0.0.1:9")).fetch()


@pytest.mark.parametrize(
    ("body", "life"),
    [
        (b'{"access_token": "t"}', 300.0),
        (b'{"access_token": "t", "expires_in": "60"}', 60.0),
        (b'{"access_token": "t", "expires_in": 1e12}', 86_400.0),
    ],
)
def test_how_long_a_token_is_good_is_read(body: bytes, life: float) -> None:
    assert Token.of(body) == Token("t", life)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"access_token": ""}',
        b'{"access_token": 7}',
        b'{"access_token": "t", "expires_in": "soon"}',
        b'{"access_token": "t", "expires_in": 0}',
        b'{"access_token": "t", "expires_in": []}',
    ],
)
def test_an_answer_that_is_no_token_is_a_connection_that_fails(body: bytes) -> None:
    with pytest.raises(KafkaConnectionError, match="no access_token"):
        Token.of(body)


async def test_a_token_for_msk_is_a_request_that_aws_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As AWS documents it: a presigned `kafka-cluster:Connect`, in base64url."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")

    token = await MskIam("eu-west-1").fetch()

    padded = token.value + "=" * (-len(token.value) % 4)
    url = urlsplit(base64.urlsafe_b64decode(padded).decode())
    fields = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert url.hostname == "kafka.eu-west-1.amazonaws.com"
    assert fields["Action"] == "kafka-cluster:Connect"
    assert fields["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert fields["X-Amz-SignedHeaders"] == "host"
    assert fields["X-Amz-Expires"] == "900"
    assert len(fields["X-Amz-Signature"]) == 64
    assert "canary" not in url.query
    assert 0 < token.life <= 900


@pytest.mark.parametrize(
    ("servers", "environ", "found"),
    [
        ("b-1.x.c2.kafka.eu-west-1.amazonaws.com:9098", {}, "eu-west-1"),
        ("boot-x.c1.kafka-serverless.us-east-2.amazonaws.com:9098", {}, "us-east-2"),
        ("proxy:9098", {"AWS_REGION": "eu-north-1"}, "eu-north-1"),
        ("proxy:9098", {"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
    ],
)
def test_the_region_is_the_environment_s_or_the_brokers(
    servers: str, environ: dict[str, str], found: str
) -> None:
    assert region(servers, environ) == found


def test_without_a_region_the_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        region("proxy:9098", {})
