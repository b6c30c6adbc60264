"""The rules of each setting: strict names, safe URLs, usable TLS, bounded durations."""

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from jetworker.config.load import credentials_source, load
from jetworker.config.model import Config
from jetworker.core.errors import ConfigurationError

BASE = {
    "JETWORKER_ROUTES_FILE": "routes.yaml",
    "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "kafka:9092",
    "JETWORKER_JET__CLIENT_ID": "id",
    "JETWORKER_JET__CLIENT_SECRET": "hush-hush",
}


def loaded(**changes: str) -> Config:
    """Load with settings by the part of the name behind the prefix."""
    return load(BASE | {f"JETWORKER_{name}": value for name, value in changes.items()})


def refused(**changes: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert "hush" not in message
    return message


def from_file(folder: Path, text: str) -> Config:
    file = folder / "config.yaml"
    file.write_text(text)
    return loaded(CONFIG=str(file))


def test_the_defaults_are_those_of_the_contract() -> None:
    dumped = load(BASE).model_dump(mode="json")

    assert dumped == {
        "routes_file": "routes.yaml",
        "dedupe_window": "P7D",
        "log": {"level": "INFO", "format": "json"},
        "kafka": {
            "bootstrap_servers": "kafka:9092",
            "group_id": "jetworker",
            "group_instance_id": None,
            "takes_over": None,
            "session_timeout": "PT30S",
            "transaction_timeout": "PT30S",
            "security_protocol": "PLAINTEXT",
            "sasl_mechanism": None,
            "sasl_username": None,
            "sasl_password": None,
            "sasl_oauthbearer_method": None,
            "sasl_oauthbearer_token_endpoint_url": None,
            "sasl_oauthbearer_client_id": None,
            "sasl_oauthbearer_client_secret": None,
            "sasl_oauthbearer_scope": None,
            "sasl_kerberos_service_name": None,
            "ssl_ca_location": None,
            "ssl_certificate_location": None,
            "ssl_key_location": None,
            "ssl_key_password": None,
        },
        "topics": {
            "commands": "jet.commands",
            "events": "jet.events",
            "state": "jet.state",
            "dead_letters": "jet.dead-letters",
            "deliveries": None,
        },
        "jet": {
            "base_url": "https://platform-api-service.services.cloud.signiant.com",
            "allow_http": False,
            "client_id": "id",
            "client_secret": "**********",
            "ssl_ca_location": None,
            "proxy": None,
            "requests_per_second": 20,
            "shared_requests_per_second": None,
            "request_timeout": "PT10S",
        },
        "polling": {"min_interval": "PT2S", "max_interval": "PT1M"},
        "starts": {
            "settle": "PT20S",
            "max_attempts": 3,
            "max_waiting_bytes": 256 << 20,
        },
        "events": {"progress_interval": "PT10S"},
        "limits": {"max_objects": 10000, "max_active": 20000},
        "http": {"host": "0.0.0.0", "port": 8080},
        "notifications": {"port": None, "url": None, "secret": None},
        "shutdown": {"timeout": "PT20S"},
    }


def test_nothing_set_names_every_setting_that_is_required() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({})

    for name in BASE:
        assert f"{name} is required and not set" in str(caught.value)


@pytest.mark.parametrize("name", ["TYPO", "KAFKA__TYPO", "KAFK__GROUP_ID"])
def test_an_unknown_name_stops_the_start_even_without_a_value(name: str) -> None:
    message = refused(**{name: ""})

    assert f"JETWORKER_{name.removesuffix('__GROUP_ID')} is not a setting" in message


def test_a_known_name_without_a_value_is_not_set() -> None:
    empty = dict.fromkeys(
        ["DEDUPE_WINDOW", "KAFKA__SASL_USERNAME", "JET", "CONFIG"], ""
    )

    assert loaded(**empty) == load(BASE)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CONFG", "JETWORKER_CONFIG"),
        ("SECRET_DIR", "JETWORKER_SECRETS_DIR"),
        ("LOG_LEVEL", "JETWORKER_LOG__LEVEL"),
        ("JET__SECRET", "JETWORKER_JET__CLIENT_SECRET"),
        ("KAFKA__BOOTSTRAP", "JETWORKER_KAFKA__BOOTSTRAP_SERVERS"),
        ("Log__Level", "JETWORKER_LOG__LEVEL"),
    ],
)
def test_a_suggestion_is_the_name_that_was_meant(name: str, meant: str) -> None:
    assert f"did you mean {meant}?" in refused(**{name: "x"})


@pytest.mark.parametrize(
    "name", ["LOG__LEVEL__X", "KAFKA__GROUP_ID__X", "ROUTES_FILE__X"]
)
def test_what_is_below_a_setting_is_none_itself(name: str) -> None:
    assert f"JETWORKER_{name} is not a setting" in refused(**{name: "x"})


def test_a_group_that_is_given_a_value_is_named_not_what_is_below_it() -> None:
    said = "JETWORKER_KAFKA: is a group of settings, not one"

    assert refused(KAFKA="x") == said
    assert refused(LOG="x", LOG__LEVEL="INFO") == said.replace("KAFKA", "LOG")


@pytest.mark.parametrize("name", ["TYPO", "PORTX", "SERVICE_HOSTX"])
def test_what_is_like_nothing_is_to_be_removed(name: str) -> None:
    assert refused(**{name: "x"}) == f"JETWORKER_{name} is not a setting, remove it"


@pytest.mark.parametrize(
    "url",
    [
        "jet.example",
        "https://",
        "https://[",
        "https:// jet",
        "https://jet:port",
        "https://jet:0",
        "https://jet:99999",
        "https://:hush@jet",
        "https://hush@jet",
        "https://jet?secret=hush",
        "https://jet#hush",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.1",
    ],
)
def test_a_base_url_that_is_not_safe_is_refused(url: str) -> None:
    assert refused(JET__BASE_URL=url).startswith("JETWORKER_JET__BASE_URL: ")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2:1", "http://[::1]:1", "https://jet.example:8443/api"]
)
def test_a_base_url_that_is_safe_is_taken(url: str) -> None:
    assert loaded(JET__BASE_URL=url).jet.base_url == url


@pytest.mark.parametrize(
    "servers", ["h:port", "h:0", "h:99999", "a:1,,b:2", "a:1,", "kafka://h:1", "a b:1"]
)
def test_servers_that_no_client_could_reach_are_refused(servers: str) -> None:
    message = refused(KAFKA__BOOTSTRAP_SERVERS=servers)

    assert message.startswith("JETWORKER_KAFKA__BOOTSTRAP_SERVERS: write HOST:PORT")


@pytest.mark.parametrize("servers", ["h", "a:1, b:2", "[::1]:9092", "k_1.ns.svc:9092"])
def test_servers_as_clients_take_them_are_taken(servers: str) -> None:
    assert loaded(KAFKA__BOOTSTRAP_SERVERS=servers).kafka.bootstrap_servers == servers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEDUPE_WINDOW", "0"),
        ("DEDUPE_WINDOW", "999999999d"),
        ("DEDUPE_WINDOW", "-1s"),
        ("KAFKA__SESSION_TIMEOUT", "1ms"),
        ("KAFKA__TRANSACTION_TIMEOUT", "16m"),
        ("JET__REQUEST_TIMEOUT", "1h"),
        ("POLLING__MIN_INTERVAL", "1ms"),
        ("STARTS__SETTLE", "2d"),
        ("SHUTDOWN__TIMEOUT", "1d"),
    ],
)
def test_a_duration_out_of_bounds_is_refused_in_plain_words(
    name: str, value: str
) -> None:
    message = refused(**{name: value})

    assert message.startswith(f"JETWORKER_{name}: ")
    assert "timedelta" not in message


def test_durations_are_read_in_every_form() -> None:
    config = loaded(STARTS__SETTLE="0.2", POLLING__MIN_INTERVAL="500ms")

    assert config.starts.settle == timedelta(milliseconds=200)
    assert config.polling.min_interval == timedelta(milliseconds=500)


@pytest.mark.parametrize("name", ["a b", "", "/", "x" * 250])
def test_a_topic_that_kafka_would_refuse_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="JETWORKER_TOPICS__EVENTS: must"):
        from_file(tmp_path, f'topics: {{events: "{name}"}}')


def test_an_empty_group_in_the_file_is_not_set(tmp_path: Path) -> None:
    text = "topics:\njet: {request_timeout:}\nkafka:\nlog: {level: debug}\n"

    assert from_file(tmp_path, text).log.level == "DEBUG"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("typo:", "JETWORKER_TYPO is not a setting"),
        ("log: {levl: INFO}", "did you mean JETWORKER_LOG__LEVEL?"),
        ("Kafka: {group_id: x}", "Kafka is not a setting, write kafka"),
        ("http: {Port: 1}", "http.Port is not a setting, write http.port"),
        ("jet__client_id: x", "jet__client_id is not a setting, write jet.client_id"),
        ("topics: 3", "JETWORKER_TOPICS: is a group of settings, not one"),
        ("1: 2", "JETWORKER_1"),
        ("[1]", "is not a tree of settings"),
        ("a: [", "is not YAML in line 1"),
        ("log: {level: INFO}\nlog: {format: json}", "log occurs twice in line 1"),
        ("jet:\n  client_id: a\n  client_id: b", "client_id occurs twice in line 2"),
        ("kafka: {group_id: 2026-02-31}", "is not YAML"),
        ("dedupe_window: 1:30", "JETWORKER_DEDUPE_WINDOW: not a duration"),
        ("jet: {requests_per_second: 1:30.5}", "JETWORKER_JET__REQUESTS_PER_SECOND"),
        ("limits: {max_active: yes}", "MAX_ACTIVE: YAML reads this as true or false"),
        ("a: &a {b: *a}", "refers to itself"),
        ("jet: {client_secret: *hush}", "is not YAML in line 1"),
        ("!!python/object:os.system {}", "is not YAML in line 1"),
        ("jet: {base_url: [hush]}", "JETWORKER_JET__BASE_URL: must be"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(
    text: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_file(tmp_path, text)

    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_of_the_secrets_folder_that_is_no_setting_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "jet_client_secret").write_text("hush")

    assert refused(SECRETS_DIR=str(tmp_path)) == (
        "JETWORKER_SECRETS_DIR: file jet_client_secret is not a setting,"
        " did you mean JETWORKER_JET__CLIENT_SECRET?"
    )


def test_a_secret_that_cannot_be_read_any_more_stays_as_it_was(tmp_path: Path) -> None:
    secret = tmp_path / "jet__client_secret"
    secret.write_text("old")
    environ = {k: v for k, v in BASE.items() if "SECRET" not in k}
    environ["JETWORKER_SECRETS_DIR"] = str(tmp_path)
    read = credentials_source(load(environ), environ)

    secret.unlink()
    tmp_path.rmdir()

    assert read() == ("id", "old")


def test_a_secret_that_is_changed_in_the_file_is_taken_with_the_next_token(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("jet: {client_id: id, client_secret: old}")
    environ = {k: v for k, v in BASE.items() if "JET__" not in k}
    environ["JETWORKER_CONFIG"] = str(file)
    read = credentials_source(load(environ), environ)

    file.write_text("jet: {client_id: id, client_secret: new}")
    assert read() == ("id", "new")

    file.write_text("jet: is being written")
    assert read() == ("id", "new")


SASL = {
    "KAFKA__SECURITY_PROTOCOL": "sasl_plaintext",
    "KAFKA__SASL_MECHANISM": "scram-sha-256",
    "KAFKA__SASL_USERNAME": "u",
    "KAFKA__SASL_PASSWORD": "hush",
}


def test_sasl_is_written_as_librdkafka_writes_it() -> None:
    options = loaded(**SASL).kafka.client_options()

    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert options["sasl_mechanism"] == "SCRAM-SHA-256"
    assert "ssl_context" not in options


@pytest.mark.parametrize(
    "missing", ["SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD"]
)
def test_sasl_with_a_part_missing_is_refused(missing: str) -> None:
    assert f"JETWORKER_KAFKA__{missing}: required" in refused(
        **SASL | {f"KAFKA__{missing}": ""}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA__SASL_PASSWORD", "hush"),
        ("KAFKA__SASL_USERNAME", "u"),
        ("KAFKA__SSL_CA_LOCATION", "/etc/ca.pem"),
        ("KAFKA__SSL_KEY_PASSWORD", "hush"),
    ],
)
def test_what_the_protocol_would_leave_unused_is_refused(name: str, value: str) -> None:
    """A CA that is given means to encrypt: sending in the clear is no default."""
    assert f"JETWORKER_{name}: needs security_protocol" in refused(**{name: value})


OIDC = {
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SASL_MECHANISM": "OAUTHBEARER",
    "KAFKA__SASL_OAUTHBEARER_METHOD": "oidc",
    "KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://login.example/token",
    "KAFKA__SASL_OAUTHBEARER_CLIENT_ID": "jetworker",
    "KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET": "oidc-canary",
}
MSK = {
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SASL_MECHANISM": "OAUTHBEARER",
    "KAFKA__SASL_OAUTHBEARER_METHOD": "aws_msk_iam",
}


@pytest.mark.parametrize("ways", [OIDC, MSK])
def test_a_token_takes_the_place_of_name_and_password(ways: dict[str, str]) -> None:
    config = loaded(**ways).kafka

    assert config.client_options()["sasl_mechanism"] == "OAUTHBEARER"
    assert "sasl_plain_password" not in config.client_options()
    assert "canary" not in repr(config)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (OIDC | {"KAFKA__SASL_OAUTHBEARER_METHOD": ""}, "METHOD"),
        (OIDC | {"KAFKA__SASL_OAUTHBEARER_CLIENT_ID": ""}, "CLIENT_ID"),
        (OIDC | {"KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET": ""}, "CLIENT_SECRET"),
        (OIDC | {"KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": ""}, "ENDPOINT_URL"),
        (OIDC | {"KAFKA__SASL_PASSWORD": "p"}, "SASL_PASSWORD: not used with oidc"),
        (MSK | {"KAFKA__SASL_OAUTHBEARER_SCOPE": "s"}, "SCOPE: not used with aws"),
        (SASL | {"KAFKA__SASL_OAUTHBEARER_METHOD": "oidc"}, "METHOD"),
    ],
)
def test_a_way_of_signing_in_names_what_it_lacks_and_what_it_leaves_unused(
    settings: dict[str, str], named: str
) -> None:
    message = refused(**{name: value for name, value in settings.items() if value})

    assert named in message
    assert "canary" not in message


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/token",
        "https://user:canary@login.example/token",
        "https://:443/",
        "login.example/token",
        "ftp://localhost/token",
    ],
)
def test_a_secret_goes_to_no_token_endpoint_in_the_clear(url: str) -> None:
    message = refused(**OIDC | {"KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": url})

    assert "TOKEN_ENDPOINT_URL: write https://" in message
    assert "canary" not in message
    loopback = {"KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "http://127.0.0.1:1/t"}
    assert loaded(**OIDC | loopback).kafka.has_sasl


@pytest.mark.skipif(find_spec("gssapi") is not None, reason="the extra is installed")
def test_kerberos_without_its_extra_names_the_cure() -> None:
    message = refused(
        KAFKA__SECURITY_PROTOCOL="SASL_SSL", KAFKA__SASL_MECHANISM="GSSAPI"
    )

    assert message.endswith("GSSAPI needs pip install 'jetworker[kerberos]'")


# Made for these tests alone, with openssl: plain, locked (password: hush), foreign.
PEMS = Path(__file__).parent / "pems"


def tls(**names: str) -> dict[str, str]:
    files = {f"KAFKA__SSL_{k.upper()}": str(PEMS / v) for k, v in names.items()}
    return {"KAFKA__SECURITY_PROTOCOL": "SSL"} | files


def test_tls_comes_with_host_name_checks_and_the_client_s_certificate() -> None:
    plain = tls(
        ca_location="plain.pem",
        certificate_location="plain.pem",
        key_location="plain.key",
    )
    locked = tls(certificate_location="locked.pem", key_location="locked.key")
    locked["KAFKA__SSL_KEY_PASSWORD"] = "hush"

    for settings in (plain, locked):
        context = loaded(**settings).kafka.client_options()["ssl_context"]
        assert context.check_hostname


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        ({"ca_location": "none.pem"}, "SSL_CA_LOCATION: there is no such file"),
        ({"ca_location": "junk.pem"}, "SSL_CA_LOCATION: the file has no certificates"),
        ({"certificate_location": "plain.pem"}, "SSL_KEY_LOCATION: certificate and"),
        ({"key_location": "plain.key"}, "SSL_CERTIFICATE_LOCATION: certificate and"),
        (
            {"certificate_location": "plain.pem", "key_location": "foreign.key"},
            "SSL_KEY_LOCATION: certificate and key cannot be read",
        ),
        (
            {"certificate_location": "junk.pem", "key_location": "junk.pem"},
            "SSL_KEY_LOCATION: certificate and key cannot be read",
        ),
        (
            {"certificate_location": "locked.pem", "key_location": "locked.key"},
            "SSL_KEY_LOCATION: certificate and key cannot be read",
        ),
    ],
)
def test_tls_that_would_not_work_is_refused_at_the_start(
    names: dict[str, str], wrong: str
) -> None:
    """And OpenSSL never asks the terminal for the password of a locked key."""
    assert f"JETWORKER_KAFKA__{wrong}" in refused(**tls(**names))


SECRET = "hush-hush-hush-hush"
NOTIFIED = {
    "NOTIFICATIONS__PORT": "8081",
    "NOTIFICATIONS__URL": "https://hooks.example/jet/",
    "NOTIFICATIONS__SECRET": SECRET,
}


def test_notifications_are_off_until_all_of_their_settings_are_given() -> None:
    assert not loaded().notifications.is_on
    given = loaded(**NOTIFIED).notifications

    assert given.is_on
    assert given.address == f"https://hooks.example/jet/{SECRET}"
    for name in NOTIFIED:
        message = refused(**{each: x for each, x in NOTIFIED.items() if each != name})
        assert message == (
            f"JETWORKER_{name}: port, url and secret belong together, give all three"
        )


def test_notifications_have_a_port_of_their_own() -> None:
    """One process cannot listen twice; of any free one (0) each gets another."""
    both = NOTIFIED | {"NOTIFICATIONS__PORT": "8080"}

    assert refused(**both) == (
        "JETWORKER_NOTIFICATIONS__PORT: it is JETWORKER_HTTP__PORT too, give another"
    )
    free = {"NOTIFICATIONS__PORT": "0", "HTTP__PORT": "0"}
    assert loaded(**NOTIFIED | free).notifications.port == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("URL", "http://hooks.example", "write https://"),
        ("URL", "https://me:hush@hooks.example", "without credentials"),
        ("URL", "https://hooks.example/?a=b", "without credentials, query"),
        ("URL", "https://hooks.example/" + "a" * 170, "200 characters"),
        ("SECRET", "hush", "16 to 100 letters"),
        ("SECRET", "hush-hush/hush-hush", "16 to 100 letters"),
        ("PORT", "70000", "less than or equal"),
    ],
)
def test_the_address_for_notifications_is_one_that_jet_takes(
    name: str, value: str, said: str
) -> None:
    message = refused(**NOTIFIED | {f"NOTIFICATIONS__{name}": value})

    assert message.startswith(f"JETWORKER_NOTIFICATIONS__{name}: ")
    assert said in message
