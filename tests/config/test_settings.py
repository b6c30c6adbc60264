"""Settings: three sources, strict at every level, and no secret in any message."""

from pathlib import Path

import pytest

from jetworker.config.load import credentials_source, load
from jetworker.core.errors import ConfigurationError

BASE = {
    "JETWORKER_ROUTES_FILE": "routes.yaml",
    "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "kafka:9092",
    "JETWORKER_JET__CLIENT_ID": "id",
    "JETWORKER_JET__CLIENT_SECRET": "hush-hush",
}


def test_environment_beats_secrets_beats_file(tmp_path: Path) -> None:
    file, secrets = tmp_path / "config.yaml", tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "jet__client_id").write_text("from-secrets\n")
    (secrets / "jet__client_secret").write_text("from-secrets\n")
    (secrets / "..data").mkdir()
    file.write_text("jet: {client_id: from-file, requests_per_second: 7}\n")
    sources = {
        "JETWORKER_CONFIG": str(file),
        "JETWORKER_SECRETS_DIR": str(secrets),
    }
    environ = {k: v for k, v in BASE.items() if k != "JETWORKER_JET__CLIENT_ID"}

    config = load(environ | sources)

    assert config.jet.client_id == "from-secrets"
    assert config.jet.client_secret.get_secret_value() == "hush-hush"
    assert config.jet.requests_per_second == 7


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"JETWORKER_POLLING__MIN_INTERVAL": "soon"},
            "JETWORKER_POLLING__MIN_INTERVAL",
        ),
        ({"JETWORKER_POLLING__MIN_INTERVAL": "2m"}, "JETWORKER_POLLING__MIN_INTERVAL"),
        ({"JETWORKER_POLING__MIN_INTERVAL": "2s"}, "did you mean JETWORKER_POLLING"),
        ({"JETWORKER_KAFKA__GROUP": "x"}, "JETWORKER_KAFKA__GROUP is not a setting"),
        ({"JETWORKER_TYPO": "x"}, "JETWORKER_TYPO is not a setting"),
        ({"JETWORKER_JET": "x"}, "JETWORKER_JET: is a group of settings, not one"),
        (
            {"JETWORKER_TYPO": "x", "JETWORKER_TYPO__X": "x"},
            "is not a setting: typo has none below it",
        ),
        (
            {"JETWORKER_JET__CLIENT_SECRET": ""},
            "JETWORKER_JET__CLIENT_SECRET is required",
        ),
        ({"JETWORKER_JET__BASE_URL": "http://jet.example"}, "JETWORKER_JET__BASE_URL"),
        ({"JETWORKER_JET__BASE_URL": "ftp://jet"}, "JETWORKER_JET__BASE_URL"),
        ({"JETWORKER_JET__BASE_URL": "https://a:b@jet"}, "JETWORKER_JET__BASE_URL"),
        ({"JETWORKER_HTTP__PORT": "70000"}, "JETWORKER_HTTP__PORT"),
        ({"JETWORKER_STARTS__MAX_ATTEMPTS": "0"}, "JETWORKER_STARTS__MAX_ATTEMPTS"),
        ({"JETWORKER_STARTS__SETTLE": "0"}, "JETWORKER_STARTS__SETTLE"),
        ({"JETWORKER_LOG__LEVEL": "LOUD"}, "JETWORKER_LOG__LEVEL"),
        (
            {"JETWORKER_TOPICS__EVENTS": "jet.state"},
            "JETWORKER_TOPICS__STATE: has the same name as events: jet.state",
        ),
        (
            {"JETWORKER_TOPICS__DELIVERIES": "jet.events"},
            "JETWORKER_TOPICS__DELIVERIES: has the same name as events: jet.events",
        ),
        (
            {"JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"},
            "JETWORKER_KAFKA__SASL_MECHANISM",
        ),
        (
            {"JETWORKER_KAFKA__SASL_MECHANISM": "PLAIN"},
            "JETWORKER_KAFKA__SASL_MECHANISM",
        ),
        (
            {"JETWORKER_KAFKA__SSL_CA_LOCATION": "/no/such/file"},
            "JETWORKER_KAFKA__SSL_CA_LOCATION",
        ),
        ({"JETWORKER_CONFIG": "/no/such/file"}, "JETWORKER_CONFIG"),
        ({"JETWORKER_SECRETS_DIR": "/no/such/folder"}, "JETWORKER_SECRETS_DIR"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_without_secrets(
    changes: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(BASE | changes)

    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_what_kubernetes_injects_is_ignored() -> None:
    injected = {
        "JETWORKER_SERVICE_HOST": "10.0.0.1",
        "JETWORKER_SERVICE_PORT_HTTP": "8080",
        "JETWORKER_PORT": "tcp://10.0.0.1:8080",
        "JETWORKER_PORT_8080_TCP": "x",
    }

    assert load(BASE | injected) == load(BASE)


def test_no_secret_is_in_a_representation() -> None:
    assert "hush" not in repr(load(BASE))


def test_http_is_for_loopback_or_where_it_is_allowed() -> None:
    for url in ("http://127.0.0.1:1", "http://localhost"):
        assert load(BASE | {"JETWORKER_JET__BASE_URL": url}).jet.base_url == url
    allowed = {
        "JETWORKER_JET__BASE_URL": "http://jet",
        "JETWORKER_JET__ALLOW_HTTP": "true",
    }
    assert load(BASE | allowed).jet.base_url == "http://jet"


def test_a_secret_rotated_on_disk_is_read_anew(tmp_path: Path) -> None:
    secret = tmp_path / "jet__client_secret"
    secret.write_text("old")
    environ = {k: v for k, v in BASE.items() if "SECRET" not in k}
    environ["JETWORKER_SECRETS_DIR"] = str(tmp_path)
    read = credentials_source(load(environ), environ)
    before = read()

    secret.write_text("new")

    assert (before, read()) == (("id", "old"), ("id", "new"))


def test_sasl_reaches_the_kafka_client() -> None:
    sasl = {
        "JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "JETWORKER_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "JETWORKER_KAFKA__SASL_USERNAME": "u",
        "JETWORKER_KAFKA__SASL_PASSWORD": "p",
    }

    options = load(BASE | sasl).kafka.client_options()

    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == (
        "u",
        "p",
    )


def test_a_line_feed_at_the_end_of_a_variable_is_no_part_of_a_secret() -> None:
    config = load(BASE | {"JETWORKER_JET__CLIENT_SECRET": "hush\r\n"})

    assert config.jet.client_secret.get_secret_value() == "hush"


def test_an_ipv6_address_may_be_written_as_in_a_url() -> None:
    assert load(BASE | {"JETWORKER_HTTP__HOST": "[::1]"}).http.host == "::1"


def test_a_window_shorter_than_a_start_can_be_unknown_is_warned_of() -> None:
    short = load(BASE | {"JETWORKER_DEDUPE_WINDOW": "1m"})

    assert load(BASE).warning is None
    assert short.warning is not None
    assert "60 s is shorter than a start can be unknown (80 s:" in short.warning
