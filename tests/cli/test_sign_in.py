"""Commands sign in to Kafka as a worker does, whatever the mechanism is."""

import shutil
from pathlib import Path

import pytest

from jetworker.cli.ui.orders import Action, Publisher
from jetworker.config.load import load
from jetworker.config.model import KafkaConfig
from jetworker.core.errors import StoreError
from jetworker.kafka import group_members
from tests.config.test_config import PEMS

BY_TOKEN = load(
    {
        "JETWORKER_ROUTES_FILE": "routes.yaml",
        "JETWORKER_JET__CLIENT_ID": "id",
        "JETWORKER_JET__CLIENT_SECRET": "hush-hush",
        "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "JETWORKER_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
        "JETWORKER_KAFKA__SASL_OAUTHBEARER_METHOD": "oidc",
        "JETWORKER_KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://login/token",
        "JETWORKER_KAFKA__SASL_OAUTHBEARER_CLIENT_ID": "jetworker",
        "JETWORKER_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET": "hush-hush",
    }
)
AWAY = "connecting: no broker answers at 127.0.0.1:1"


async def test_who_looks_at_the_group_signs_in_by_token() -> None:
    """It ended with a traceback, and with it the page that looks every few seconds."""
    with pytest.raises(StoreError, match=AWAY):
        await group_members.look(BY_TOKEN)


async def test_an_order_of_the_page_is_published_by_who_signs_in_by_token() -> None:
    publisher = Publisher(BY_TOKEN, {})

    with pytest.raises(StoreError, match=AWAY):
        await publisher.order(Action.CANCEL, ())


async def test_a_file_that_is_being_replaced_does_not_end_who_looks_at_the_group(
    tmp_path: Path,
) -> None:
    """The page looks every few seconds, and goes on once the file is there again."""
    authority = tmp_path / "ca.pem"
    shutil.copy(PEMS / "plain.pem", authority)
    config = BY_TOKEN.model_copy(
        update={
            "kafka": KafkaConfig(
                bootstrap_servers="127.0.0.1:1",
                security_protocol="SSL",
                ssl_ca_location=authority,
            )
        }
    )

    authority.unlink()

    with pytest.raises(StoreError, match="ssl_ca_location: there is no such file"):
        await group_members.look(config)
