"""What operators read is what their definitions allow: see crds/README.md."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.helm.charts import CASES, Tree, merged, objects, only, read, values

CRDS = Path(__file__).parent / "crds"
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = {
    "type": "object",
    "required": ["name", "namespace"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"},
        "namespace": {"type": "string"},
        "labels": TEXTS,
        "annotations": TEXTS,
    },
}


@cache
def _definitions() -> dict[tuple[str, ...], Any]:
    """Return the schema of each by its group, kind and version."""
    return {
        (found["group"], *file.stem.split(".")): found["schema"]
        for file in CRDS.glob("*.yaml")
        for found in [read(file)]
    }


def _strict(node: Any) -> Any:
    """Refuse what is not described, as `kubectl apply --validate=strict` does."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    strict = {key: _strict(below) for key, below in node.items()}
    if isinstance(node.get("properties"), dict) and "type" in node:
        opened = node.get("x-kubernetes-preserve-unknown-fields", False)
        strict.setdefault("additionalProperties", opened)
    if node.get("nullable"):
        strict["type"] = [node["type"], "null"]
    return strict


def _problems(found: Tree) -> Iterator[str]:
    group, _, version = found["apiVersion"].partition("/")
    schema = _strict(_definitions()[group, found["kind"], version])
    schema["properties"]["metadata"] = METADATA
    for error in Draft202012Validator(schema).iter_errors(found):
        yield f"{error.json_path}: {error.message}"


def _of_operators(given: Tree) -> list[Tree]:
    groups = {group for group, _, _ in _definitions()}
    return [e for e in objects(given) if e["apiVersion"].partition("/")[0] in groups]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_object_for_an_operator_is_what_its_definition_allows(case: Path) -> None:
    for found in _of_operators(read(case)):
        assert list(_problems(found)) == [], found["kind"]


def test_every_definition_is_one_that_some_example_is_checked_against() -> None:
    checked = {
        (*each["apiVersion"].split("/"), each["kind"])
        for case in CASES
        for given in [read(case), merged(read(case), BEFORE)]
        for each in _of_operators(given)
    }

    assert {(g, v, k) for g, k, v in _definitions()} == checked


BEFORE: Tree = {"strimzi": {"apiVersion": "kafka.strimzi.io/v1beta2"}}


def test_an_older_strimzi_takes_topics_and_user_too() -> None:
    found = _of_operators(merged(values("strimzi"), BEFORE))

    assert len(found) == 6
    for each in found:
        assert each["apiVersion"] == "kafka.strimzi.io/v1beta2"
        assert list(_problems(each)) == []


def test_a_user_that_signs_in_by_certificate_is_allowed_too() -> None:
    user = {"strimzi": {"user": {"authentication": "tls", "allowCli": True}}}

    assert not list(_problems(only(merged(values("strimzi"), user), "KafkaUser")))


def _planted(found: Tree, path: str, value: object) -> Tree:
    """Return *found* with *value* at a dotted path."""
    here: Any = found
    *way, last = path.split(".")
    for step in way:
        here = here[int(step)] if step.isdigit() else here[step]
    here[last] = value
    return found


@pytest.mark.parametrize(
    ("case", "kind", "path", "value"),
    [
        ("keda", "ScaledObject", "spec.cooldown", 30),
        ("keda", "ScaledObject", "spec.triggers.0.metadata.lagThreshold", 50),
        ("keda", "ScaledObject", "spec.advanced.behavior", {}),
        ("keda", "TriggerAuthentication", "spec.secretTargetRef.0.secret", "x"),
        ("full", "PodMonitor", "spec.podMetricsEndpoints.0.scrapeTimeout", "10"),
        ("full", "PodMonitor", "spec.endpoints", []),
        ("full", "PodMonitor", "metadata.ownerReference", []),
        ("full", "PrometheusRule", "spec.groups.0.rules.0.severity", "page"),
        ("full", "PrometheusRule", "metadata.labels.release", 1),
        ("strimzi", "KafkaUser", "spec.authorization.acls.0.operations", ["Look"]),
        ("strimzi", "KafkaUser", "spec.authorization.acls.0.operation", "Read"),
        ("ui", "HTTPRoute", "spec.rules.0.backendRefs.0.port", "http"),
        ("ui", "HTTPRoute", "spec.rules.0.backends", []),
        ("ui", "HTTPRoute", "spec.hostname", "jet.example.com"),
    ],
)
def test_a_field_that_an_operator_does_not_know_is_found_by_these_tests(
    case: str, kind: str, path: str, value: object
) -> None:
    planted = _planted(only(values(case), kind), path, value)

    assert len(list(_problems(planted))) == 1


# The settings of KEDA's scaler `kafka` are no part of its definition: these are the
# tags of pkg/scalers/kafka_scaler.go in github.com/kedacore/keda/v2 v2.21.0.
TRIGGER = {
    "bootstrapServers",
    "consumerGroup",
    "topic",
    "partitionLimitation",
    "lagThreshold",
    "activationLagThreshold",
    "offsetResetPolicy",
    "allowIdleConsumers",
    "excludePersistentLag",
    "scaleToZeroOnInvalidOffset",
    "limitToPartitionsWithLag",
    "ensureEvenDistributionOfPartitions",
    "fullMetadata",
    "version",
    "tls",
    "unsafeSsl",
    "sasl",
}
AUTHENTICATION = {"ca", "cert", "key", "keyPassword", "username", "password"}


def test_keda_is_told_only_what_its_scaler_reads() -> None:
    secure = {
        "kafkaTls": {"clientSecret": "x"},
        "secret": {"keys": {"kafka__ssl_key_password": "y"}},
    }
    given = merged(values("keda"), secure)
    (trigger,) = only(given, "ScaledObject")["spec"]["triggers"]
    wanted = only(given, "TriggerAuthentication")["spec"]["secretTargetRef"]

    assert trigger["type"] == "kafka"
    assert trigger["metadata"].keys() <= TRIGGER
    assert {each["parameter"] for each in wanted} == AUTHENTICATION


# Those of pkg/scalers/prometheus_scaler.go, of the same version.
PROMETHEUS = {
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "namespace",
    "customHeaders",
    "ignoreNullValues",
    "unsafeSsl",
    "queryParameters",
    "timeout",
}


def test_by_the_workers_own_metric_keda_needs_nothing_of_kafka() -> None:
    """So it goes with every way of signing in, also by tokens."""
    given = values("company")
    (trigger,) = only(given, "ScaledObject")["spec"]["triggers"]

    assert trigger["type"] == "prometheus"
    assert trigger["metadata"].keys() <= PROMETHEUS
    assert trigger["metadata"]["query"] == (
        'sum(jetworker_commands_lag{job="media/test-jetworker"})'
    )
    assert "authenticationRef" not in trigger
    assert not [x for x in objects(given) if x["kind"] == "TriggerAuthentication"]
