"""Every value is documented, checked, and what the worker really reads."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import BaseModel, ByteSize, TypeAdapter

from jetworker.config import load as settings
from jetworker.config.model import Config, TopicsConfig
from jetworker.kafka import topics
from jetworker.wire import durations
from jetworker.wire.routes import RouteModel
from jetworker.worker import route_table as routebook
from tests.helm.charts import (
    CASES,
    CHART,
    Tree,
    merged,
    objects,
    only,
    pod_specs,
    read,
    schema,
    values,
)

DEFAULTS = read(CHART / "values.yaml")
# What the chart sets itself, or takes from the Secret.
OURS = {
    "routes_file",
    "kafka.group_instance_id",
    "kafka.sasl_password",
    "kafka.ssl_ca_location",
    "kafka.ssl_certificate_location",
    "kafka.ssl_key_location",
    "kafka.ssl_key_password",
    "kafka.sasl_oauthbearer_client_secret",
    "jet.ssl_ca_location",
    "jet.client_id",
    "jet.client_secret",
    "notifications.secret",
}


def _leaves(node: Tree, tree: Tree, path: str = "") -> Iterator[tuple[str, Any, Tree]]:
    """Yield every value with its place in the schema; free objects are one value."""
    for name, value in tree.items():
        below = node["properties"][name]
        here = f"{path}{name}"
        if "properties" in below and value:
            yield from _leaves(below, value, f"{here}.")
        else:
            yield here, value, below


def _table() -> dict[str, str]:
    text = (CHART / "README.md").read_text()
    table = text.partition("<!-- values -->")[2].partition("<!-- /values -->")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {row[0].strip("| `"): row[1].strip("`") for row in rows}


LEAVES = list(_leaves(schema(), DEFAULTS))


def test_every_value_is_in_the_readme_with_its_default() -> None:
    table = _table()

    assert list(table) == [path for path, _, _ in LEAVES]
    for path, value, _ in LEAVES:
        said = table[path]
        if said != "see values.yaml":
            assert json.loads(said) == value, path


def test_every_value_is_described_by_the_schema_and_every_described_one_exists() -> (
    None
):
    for path, _, node in LEAVES:
        assert node["description"].strip(), path

    def names(node: Tree, path: str = "") -> Iterator[str]:
        for name, below in node["properties"].items():
            here = f"{path}{name}"
            if here in {"global", "secret.keys"}:
                continue
            if "properties" in below:
                yield from names(below, f"{here}.")
            else:
                yield here

    assert {*names(schema()), "secret.keys"} == {path for path, _, _ in LEAVES}


def test_the_schema_is_one_and_is_strict_wherever_it_names_values() -> None:
    Draft7Validator.check_schema(schema())

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if "properties" in node and node.get("type") == "object":
                assert node.get("additionalProperties") is False, node
            for below in node.values():
                walk(below)

    walk(schema())


def _settings(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _settings(kind, f"{path}{name}.")
        else:
            yield f"{path}{name}", field.default


def test_the_chart_has_every_setting_of_the_worker_with_the_workers_default() -> None:
    ours = {
        path.removeprefix("config."): value
        for path, value, _ in LEAVES
        if path.startswith("config.")
    }
    theirs = {name: value for name, value in _settings(Config) if name not in OURS}

    assert ours.keys() == theirs.keys()
    for name, default in theirs.items():
        if isinstance(default, timedelta):
            assert durations.parse(ours[name]) == default, name
        elif isinstance(default, ByteSize):
            assert TypeAdapter(ByteSize).validate_python(ours[name]) == default, name
        elif ours[name] != "":
            assert ours[name] == default, name


def test_the_schema_knows_the_keys_of_a_route() -> None:
    route = schema()["properties"]["routes"]["additionalProperties"]["properties"]

    assert route.keys() == RouteModel.model_fields.keys()


def test_every_secret_of_the_chart_may_have_another_name_in_an_existing_one() -> None:
    secret = schema()["properties"]["secret"]["properties"]

    assert secret["data"]["properties"].keys() <= secret["keys"]["properties"].keys()


# As kafkaTls mounts them; the key's password is that of the examples.
PEMS = Path(__file__).parents[1] / "config" / "pems"
TLS = {"ca.crt": "plain.pem", "client.crt": "locked.pem", "client.key": "locked.key"}


def _mounted(given: Tree, pod: Tree, root: Path) -> dict[str, str]:
    """Lay a pod's files under *root* and return its environment, as Kubernetes does."""
    made = {(each["kind"], each["metadata"]["name"]): each for each in objects(given)}
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    (container,) = (c for c in pod["containers"] if "jetworker" in c["image"])
    for mount in container["volumeMounts"]:
        folder = root / mount["mountPath"].lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        source = sources[mount["name"]]
        files: Mapping[str, str] = {}
        if mount["name"] == "jet-tls":
            files = {"ca.crt": (PEMS / TLS["ca.crt"]).read_text()}
        elif "configMap" in source:
            files = made["ConfigMap", source["configMap"]["name"]]["data"]
        elif mount["name"] == "secrets":
            files = _secrets(made, source["projected"]["sources"])
        elif mount["name"] == "kafka-tls":
            files = {
                item["path"]: (PEMS / TLS[item["path"]]).read_text()
                for each in source["projected"]["sources"]
                for item in each["secret"]["items"]
            }
        for name, text in files.items():
            (folder / name).write_text(text.replace("/etc/", f"{root}/etc/"))
    return {
        each["name"]: each["value"].replace("/etc/", f"{root}/etc/")
        if "value" in each
        else "test-jetworker-0"
        for each in container["env"]
    }


def _secrets(made: Mapping[tuple[str, str], Tree], sources: list[Tree]) -> Tree:
    """Return the files of a projected Secret; of one that is not ours, made-up ones."""
    files: Tree = {}
    for each in sources:
        secret = each["secret"]
        own = made.get(("Secret", secret["name"]))
        if own is not None:
            files |= {k: base64.b64decode(v).decode() for k, v in own["data"].items()}
        elif "items" in secret:
            files |= {item["path"]: "from-their-secret" for item in secret["items"]}
        else:
            files |= {"jet__client_id": "theirs", "jet__client_secret": "theirs"}
    return files


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_the_worker_reads_what_the_chart_gives_it(case: Path, tmp_path: Path) -> None:
    given = read(case)
    wanted = merged(DEFAULTS, given)["config"]

    for kind, pod in pod_specs(given):
        root = tmp_path / kind
        environ = _mounted(given, pod, root)
        config = settings.load(environ)

        assert config.kafka.bootstrap_servers == wanted["kafka"]["bootstrap_servers"]
        assert config.limits.max_objects == wanted["limits"]["max_objects"]
        assert config.http.port == wanted["http"]["port"]
        assert config.jet.requests_per_second == wanted["jet"]["requests_per_second"]
        assert config.notifications.port == (wanted["notifications"]["port"] or None)
        assert config.notifications.is_on is bool(wanted["notifications"]["url"])
        timeout = durations.parse(wanted["shutdown"]["timeout"])
        assert config.shutdown.timeout == timeout
        is_worker = kind == "StatefulSet"
        assert (config.kafka.group_instance_id is not None) is is_worker
        if kind != "Job":
            _, routes = routebook.read(config.routes_file)
            assert routes.keys() == given["routes"].keys()


def test_strimzi_makes_the_topics_that_the_worker_would_make() -> None:
    named = TopicsConfig(deliveries="jet.deliveries")
    made = topics.intended(named, limit=topics.COMMAND_BYTES, replication=3)
    found = [e for e in objects(values("strimzi")) if e["kind"] == "KafkaTopic"]

    assert {
        each["spec"]["topicName"]: {
            name: str(value) for name, value in each["spec"]["config"].items()
        }
        for each in found
    } == made
    assert {each["spec"]["partitions"] for each in found} == {6}


def test_more_objects_are_rendered_as_templates_whether_maps_or_texts() -> None:
    more = only(values("full"), "ConfigMap", "-more")
    text = only(values("full"), "ConfigMap", "-text")

    assert more["metadata"]["name"] == "test-jet-more"
    assert more["data"] == {"group": "jetworker"}
    assert text["metadata"] == {"name": "test-text", "namespace": "media"}
