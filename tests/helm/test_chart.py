"""The chart renders what Kubernetes accepts, and refuses values that are wrong."""

import os
import re
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate  # type: ignore[import-untyped]  # theirs has no types
import pytest
import yaml
from typer.testing import CliRunner
from typing_extensions import override

from jetworker.cli.main import cli
from tests.helm.charts import (
    CASES,
    CHART,
    GOLDEN,
    Tree,
    merged,
    objects,
    only,
    pod_specs,
    read,
    rendered,
    values,
)

# The oldest that Chart.yaml allows, and the newest whose schemas there are.
KUBERNETES = ("1.27", "1.37")
OF_OPERATORS = {"ScaledObject", "TriggerAuthentication", "PodMonitor"} | {
    "PrometheusRule",
    "KafkaTopic",
    "KafkaUser",
    "HTTPRoute",
}
UPDATE = "JETWORKER_UPDATE_GOLDEN"

each_case = pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
each_version = pytest.mark.parametrize("version", KUBERNETES)


@each_case
def test_every_example_passes_lint_at_its_strictest(case: Path) -> None:
    report = helm_python.lint(str(CHART), read(case), strict=True)

    assert not report["errors"]
    assert not [each for each in report["messages"] if each["severity"] > 1]


@each_case
def test_every_example_renders_what_it_did(case: Path) -> None:
    texts = rendered(read(case))
    parts = [
        f"# {name}\n{text.strip()}\n"
        for name, text in sorted(texts.items())
        if text.strip()
    ]
    golden = GOLDEN / case.name.replace("-values.yaml", ".yaml")
    if os.environ.get(UPDATE):
        golden.write_text("\n".join(parts))

    hint = f"if this is meant: {UPDATE}=1 pytest tests/helm, and read the diff"
    assert golden.read_text() == "\n".join(parts), hint


@each_version
@each_case
def test_every_object_is_valid_for_an_old_and_a_new_kubernetes(
    case: Path, version: str
) -> None:
    found = [each for each in objects(read(case)) if each["kind"] not in OF_OPERATORS]

    assert len(found) >= 7
    for each in found:
        kubernetes_validate.validate(each, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found_by_these_tests() -> None:
    worker = only(values("minimal"), "StatefulSet")
    worker["spec"]["template"]["spec"]["enableServiceLink"] = False

    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(worker, KUBERNETES[0], strict=True)


@each_case
def test_no_two_objects_have_one_name(case: Path) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in objects(read(case))]

    assert len(set(names)) == len(names)


@each_case
def test_every_pod_satisfies_the_restricted_pod_security_standard(case: Path) -> None:
    given = read(case) | {"initContainers": [], "extraContainers": []}
    pods = list(pod_specs(given))

    assert len(pods) >= 2
    for _, pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all("hostPath" not in volume for volume in pod["volumes"])
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("timeout", "grace"),
    [("20s", 30), ("1m", 70), ("1500ms", 12), ("0.5", 11), ("1h", 3610), (45, 55)],
)
def test_the_grace_period_is_the_shutdown_timeout_and_ten_seconds(
    timeout: str | float, grace: int
) -> None:
    given = merged(values("minimal"), {"config": {"shutdown": {"timeout": timeout}}})

    pod = only(given, "StatefulSet")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == grace


def _checksum(given: Tree) -> str:
    template = only(given, "StatefulSet")["spec"]["template"]
    return str(template["metadata"]["annotations"]["checksum/config"])


def test_changed_settings_restart_the_workers_and_changed_routes_do_not() -> None:
    given = values("minimal")
    before = _checksum(given)
    settings = merged(given, {"config": {"log": {"level": "DEBUG"}}})
    routes = merged(given, {"routes": {"archive": {"job_name": "Archive"}}})

    assert _checksum(settings) != before
    assert _checksum(routes) == before
    assert "archive" in only(routes, "ConfigMap", "-routes")["data"]["routes.yaml"]


def test_settings_routes_and_secrets_are_mounted_as_folders() -> None:
    for _, pod in pod_specs(values("full")):
        for mount in pod["containers"][0]["volumeMounts"]:
            assert "subPath" not in mount


def test_each_worker_is_a_static_member_by_the_name_of_its_pod() -> None:
    worker = only(values("minimal"), "StatefulSet")
    env = worker["spec"]["template"]["spec"]["containers"][0]["env"]

    assert worker["spec"]["podManagementPolicy"] == "Parallel"
    assert "volumeClaimTemplates" not in worker["spec"]
    assert {
        "name": "JETWORKER_KAFKA__GROUP_INSTANCE_ID",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
    } in env


@pytest.mark.parametrize(
    ("case", "kind", "most"),
    [
        ("keda", "ScaledObject", "maxReplicaCount"),
        ("hpa", "HorizontalPodAutoscaler", "maxReplicas"),
    ],
)
def test_an_autoscaler_owns_the_replicas_and_stops_at_the_partitions(
    case: str, kind: str, most: str
) -> None:
    given = values(case)
    scaler = only(given, kind)["spec"]

    assert scaler[most] == given["topics"]["partitions"]
    assert "replicas" not in only(given, "StatefulSet")["spec"]
    behavior = (
        scaler.get("behavior")
        or (scaler["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])
    )
    assert behavior["scaleDown"]["policies"] == [
        {"type": "Pods", "value": 1, "periodSeconds": 120}
    ]


@pytest.mark.parametrize(
    ("mechanism", "word"),
    [
        ("PLAIN", "plaintext"),
        ("SCRAM-SHA-256", "scram_sha256"),
        ("SCRAM-SHA-512", "scram_sha512"),
    ],
)
def test_keda_signs_in_to_kafka_as_the_worker_does(mechanism: str, word: str) -> None:
    changed = {"config": {"kafka": {"sasl_mechanism": mechanism}}}
    given = merged(values("keda"), changed)

    (trigger,) = only(given, "ScaledObject")["spec"]["triggers"]
    wanted = only(given, "TriggerAuthentication")["spec"]["secretTargetRef"]
    assert trigger["metadata"]["sasl"] == word
    assert trigger["metadata"]["tls"] == "enable"
    assert trigger["metadata"]["offsetResetPolicy"] == "earliest"
    assert {each["parameter"]: (each["name"], each["key"]) for each in wanted} == {
        "username": ("test-jetworker-keda", "username"),
        "password": ("vault-jetworker", "kafka-password"),
        "ca": ("kafka-ca", "ca.crt"),
    }


def test_keda_shows_kafka_the_workers_own_certificate() -> None:
    given = merged(values("sasl"), {"keda": {"enabled": True}})

    wanted = only(given, "TriggerAuthentication")["spec"]["secretTargetRef"]
    assert {each["parameter"]: (each["name"], each["key"]) for each in wanted} == {
        "username": ("test-jetworker-keda", "username"),
        "password": ("test-jetworker-secret", "kafka__sasl_password"),
        "cert": ("kafka-client", "tls.crt"),
        "key": ("kafka-client", "tls.key"),
        "keyPassword": ("test-jetworker-secret", "kafka__ssl_key_password"),
    }


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1)])
def test_a_single_worker_has_no_disruption_budget(replicas: int, budgets: int) -> None:
    found = objects(values("minimal") | {"replicas": replicas})

    assert sum(e["kind"] == "PodDisruptionBudget" for e in found) == budgets


def test_the_topics_job_needs_nothing_that_is_installed_after_it() -> None:
    given = values("sasl")
    pod = only(given, "Job")["spec"]["template"]["spec"]
    hooks = {
        each["metadata"]["name"]
        for each in objects(given)
        if "pre-install"
        in each["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    }
    own = [v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v]
    own += [
        source["secret"]["name"]
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
    ]

    assert "serviceAccountName" not in pod
    assert set(own) - {"kafka-client"} <= hooks
    assert pod["containers"][0]["args"] == [
        "topics",
        "create",
        "--partitions=3",
        "--replication-factor=1",
    ]


def test_the_topics_job_signs_in_as_the_workers_where_their_account_is_there() -> None:
    """With IAM of Amazon MSK the account is what Kafka knows them by."""
    given = merged(
        values("sasl"), {"serviceAccount": {"create": False, "name": "of-the-cloud"}}
    )
    accounts = {
        kind: pod.get("serviceAccountName", "default") for kind, pod in pod_specs(given)
    }

    assert set(accounts.values()) == {"of-the-cloud"}
    assert "Job" in accounts


def test_the_topics_job_begins_a_state_anew_only_where_its_loss_is_accepted() -> None:
    """It runs before each upgrade: what is lost must not be made empty by itself."""
    given = values("sasl")
    job = {"topicsJob": given["topicsJob"] | {"acceptLoss": True}}
    arguments = [
        only(each, "Job")["spec"]["template"]["spec"]["containers"][0]["args"]
        for each in (given, given | job)
    ]

    assert ["--accept-loss" in each for each in arguments] == [False, True]


def test_the_kafka_user_may_do_what_a_worker_does_and_no_more() -> None:
    acls = only(values("strimzi"), "KafkaUser")["spec"]["authorization"]["acls"]

    assert {
        (each["resource"]["type"], each["resource"]["name"]): each["operations"]
        for each in acls
    } == {
        ("topic", "jet.commands"): ["Read", "DescribeConfigs"],
        ("topic", "jet.state"): ["Read", "Write", "DescribeConfigs"],
        ("topic", "jet.events"): ["Write", "DescribeConfigs"],
        ("topic", "jet.dead-letters"): ["Write", "DescribeConfigs"],
        ("topic", "jet.deliveries"): ["Write", "DescribeConfigs"],
        ("group", "jetworker"): ["Read"],
        ("transactionalId", "jetworker-jet.state-"): ["Write"],
    }
    prefixed = [e for e in acls if e["resource"]["patternType"] == "prefix"]
    assert [each["resource"]["type"] for each in prefixed] == ["transactionalId"]


def test_names_stay_texts_for_strimzi_whatever_they_look_like() -> None:
    """YAML would take a plain 2026 or 1.10 for a number, and a colon for its own."""
    names = {"commands": "2026", "state": "1.10", "deliveries": "0"}
    kafka = {"group_id": "media: jet, 2", "takes_over": "2025"}
    given = merged(values("strimzi"), {"config": {"topics": names, "kafka": kafka}})

    topics = [
        each["spec"]["topicName"]
        for each in objects(given)
        if each["kind"] == "KafkaTopic"
    ]
    acls = only(given, "KafkaUser")["spec"]["authorization"]["acls"]
    found = {each["resource"]["name"] for each in acls}
    assert {"2026", "1.10", "0"} <= set(topics)
    assert {"2026", "1.10", "0", "media: jet, 2", "2025", "jetworker-1.10-"} <= found


def test_the_notes_say_how_to_send_the_first_command() -> None:
    notes = rendered(values("minimal"))["templates/NOTES.txt"]

    assert "jetworker send london-to-paris /path/to/file.mov --wait" in notes
    assert "helm test test --namespace media" in notes


def test_the_log_of_the_check_is_there_when_helm_asks_for_it() -> None:
    """`helm test --logs` asks after what has succeeded is removed (helm/helm#9098)."""
    check = only(values("minimal"), "Pod")["metadata"]["annotations"]

    assert "--logs" in rendered(values("minimal"))["templates/NOTES.txt"]
    assert check["helm.sh/hook-delete-policy"] == "before-hook-creation"


@pytest.mark.parametrize("name", ["jet.media", f"{'a' * 44}.media", "b" * 80])
def test_whatever_a_release_is_called_a_service_may_be_called_so(name: str) -> None:
    """Helm allows dots in the name of a release, Kubernetes not in that of a Service."""
    given = merged(values("full"), {"fullnameOverride": name, "ui": {"enabled": True}})
    names = [e["metadata"]["name"] for e in objects(given) if e["kind"] == "Service"]

    assert len(names) == 2
    for each in names:
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", each)


def test_a_digest_wins_over_a_tag() -> None:
    digest = f"sha256:{'a' * 64}"
    image = {"repository": "x/y", "tag": "1", "digest": digest}

    pods = dict(pod_specs(values("minimal") | {"image": image}))
    assert pods["StatefulSet"]["containers"][0]["image"] == f"x/y@{digest}"


WRONG: list[tuple[Tree, str]] = [
    ({"config": {"kafka": {"bootstrap_servers": ""}}}, "bootstrap_servers is required"),
    ({"config": {"kafka": {"bootstrap_server": "x"}}}, "bootstrap_server"),
    ({"config": {"kafka": {"group_instance_id": "x"}}}, "group_instance_id"),
    ({"config": {"log": {"level": "LOUD"}}}, "/config/log/level"),
    ({"config": {"shutdown": {"timeout": "soon"}}}, "/config/shutdown/timeout"),
    ({"config": {"http": {"port": 0}}}, "/config/http/port"),
    ({"config": {"jet": {"client_secret": "x"}}}, "client_secret"),
    ({"config": {"kafka": {"sasl_username": "x"}}}, "need config.kafka.security"),
    ({"config": {"kafka": {"security_protocol": "SASL_SSL"}}}, "sasl_mechanism is req"),
    ({"kafkaTls": {"caSecret": "x"}}, "kafkaTls: needs"),
    ({"secret": {"existingSecret": ""}}, "secret.existingSecret is required"),
    ({"secret": {"keys": {"jet__client": "x"}}}, "jet__client"),
    ({"secret": {"data": {"jet__proxy": "x"}}}, "existingSecret and secret.data"),
    (
        {
            "secret": {
                "existingSecret": "",
                "data": {"jet__client_id": "x", "jet__client_secret": "y"},
                "keys": {"jet__client_id": "id"},
            }
        },
        "secret.keys: needs secret.existingSecret",
    ),
    ({"routes": {"london-to-paris": {"job_name": "both"}}}, "/routes/london-to-paris"),
    ({"routes": {"a": {"job_id": "x", "when_pause": "wait"}}}, "when_pause"),
    ({"routes": {"a": {"source": "x"}}}, "/routes/a"),
    ({"existingRoutesConfigMap": "x"}, "routes and existingRoutesConfigMap"),
    ({"replica": 3}, "replica"),
    ({"replicas": -1}, "/replicas"),
    ({"image": {"digest": "latest"}}, "/image/digest"),
    (
        {"keda": {"enabled": True}, "autoscaling": {"enabled": True}},
        "keda.enabled and autoscaling.enabled",
    ),
    ({"keda": {"enabled": True, "minReplicas": 0}}, "/keda/minReplicas"),
    (
        {
            "keda": {"enabled": True},
            "config": {
                "kafka": {
                    "security_protocol": "SASL_SSL",
                    "sasl_mechanism": "OAUTHBEARER",
                    "sasl_username": "x",
                }
            },
        },
        "keda.prometheus is required with OAUTHBEARER",
    ),
    ({"terminationGracePeriodSeconds": 19}, "shorter than config.shutdown.timeout"),
    (
        {
            "topicsJob": {"enabled": True},
            "strimzi": {"cluster": "x", "topics": {"enabled": True}},
        },
        "topicsJob.enabled and strimzi.topics.enabled",
    ),
    ({"strimzi": {"user": {"enabled": True}}}, "strimzi.cluster is required"),
    ({"autoscaling": {"enabled": True, "maxReplicas": 1}}, "autoscaling.minReplicas"),
    (
        {"keda": {"enabled": True, "minReplicas": 4, "maxReplicas": 3}},
        "keda.minReplicas",
    ),
]


@pytest.mark.parametrize(("wrong", "named"), WRONG, ids=[named for _, named in WRONG])
def test_a_wrong_value_is_refused_and_named(wrong: Tree, named: str) -> None:
    given: dict[str, Any] = merged(values("minimal"), wrong)

    with pytest.raises(helm_python.HelmError) as refused:
        rendered(given)

    assert named in str(refused.value)


def test_routes_are_required_unless_somebody_else_looks_after_them() -> None:
    without = values("minimal") | {"routes": {}}

    with pytest.raises(helm_python.HelmError, match="routes is required"):
        rendered(without)

    theirs = {**values("minimal"), "existingRoutesConfigMap": "theirs"}
    assert objects(theirs | {"routes": None})
    theirs |= {"routes": {}}
    names = [each["metadata"]["name"] for each in objects(theirs)]
    assert "test-jetworker-routes" not in names
    pod = dict(pod_specs(theirs))["StatefulSet"]
    assert {"name": "routes", "configMap": {"name": "theirs"}} in pod["volumes"]


def test_the_version_of_the_chart_is_that_of_the_worker() -> None:
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    chart = read(CHART / "Chart.yaml")

    assert f'version = "{chart["appVersion"]}"' in project


def test_the_text_of_every_example_is_one_mapping_of_yaml() -> None:
    for case in CASES:
        assert isinstance(yaml.safe_load(case.read_text()), dict)


@each_case
def test_every_container_runs_a_command_that_exists(case: Path) -> None:
    given = read(case) | {"initContainers": [], "extraContainers": []}

    for _, pod in pod_specs(given):
        for container in pod["containers"]:
            # Options are parsed before the help is shown: an unknown one fails.
            arguments = [*container["args"], "--help"]
            assert CliRunner().invoke(cli, arguments).exit_code == 0, arguments


def test_without_anybody_who_may_come_in_nobody_may() -> None:
    policy = {"networkPolicy": {"enabled": True, "monitoringFrom": []}}
    closed = only(merged(values("minimal"), policy), "NetworkPolicy")["spec"]

    assert closed["ingress"] == []
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    ports = [[p["port"] for p in rule["ports"]] for rule in closed["egress"]]
    assert ports == [[53, 53], [9092], [443]]


def test_everything_of_a_release_is_selected_by_its_labels() -> None:
    given = values("full")
    selectors = [
        only(given, "NetworkPolicy")["spec"]["podSelector"],
        only(given, "PodDisruptionBudget")["spec"]["selector"],
        only(given, "PodMonitor")["spec"]["selector"],
        only(given, "StatefulSet")["spec"]["selector"],
        {"matchLabels": only(given, "Service")["spec"]["selector"]},
    ]
    pod = only(given, "StatefulSet")["spec"]["template"]["metadata"]["labels"]

    for selector in selectors:
        assert selector["matchLabels"].items() <= pod.items()
        assert selector["matchLabels"]["app.kubernetes.io/instance"] == "test"


class _OnlyOnce(yaml.SafeLoader):
    """YAML in which no key may be there twice, as Flux and kustomize want it."""

    @override
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, (twice, str(node.start_mark))
        return super().construct_mapping(node, deep)


def test_the_nearer_label_wins_and_none_is_written_twice() -> None:
    """Labels of the release, of one kind of object, and those by which it is selected."""
    everywhere = {"release": "x", "team": "a", "app.kubernetes.io/name": "mine"}
    given = merged(
        values("full"),
        {
            "commonLabels": everywhere,
            "podLabels": {"team": "b"},
        },
    )

    for name, text in rendered(given).items():
        if name.endswith(".yaml"):
            list(yaml.load_all(text, _OnlyOnce))
    pod = only(given, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert pod["team"] == "b"
    assert pod["app.kubernetes.io/name"] == "jet"
    assert only(given, "StatefulSet")["metadata"]["labels"]["team"] == "a"
    assert only(given, "PodMonitor")["metadata"]["labels"]["release"] == "prometheus"


def test_the_page_is_one_pod_that_only_its_proxy_reaches() -> None:
    given = values("ui")
    page = only(given, "Deployment")
    service = only(given, "Service", "-ui")["spec"]
    (container,) = page["spec"]["template"]["spec"]["containers"]
    pod = page["spec"]["template"]["metadata"]["labels"]

    assert page["spec"]["replicas"] == 1
    assert container["args"] == [
        *("ui", "--host", "0.0.0.0", "--port", "8090", "--allow-actions"),
        *("--allow-host", "jet.example.com"),
        *("--user-header", "X-Auth-Request-Email"),
    ]
    assert service["selector"].items() <= pod.items()
    assert service["ports"][0]["targetPort"] == container["ports"][0]["name"] == "ui"
    assert {
        "from": given["networkPolicy"]["uiFrom"],
        "ports": [{"port": "ui", "protocol": "TCP"}],
    } in only(given, "NetworkPolicy")["spec"]["ingress"]


def test_what_runs_the_page_is_what_the_command_line_takes() -> None:
    (container,) = only(values("ui"), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]

    taken = CliRunner().invoke(cli, [*container["args"], "--help"])

    assert taken.exit_code == 0, taken.output


def test_the_worker_is_not_served_by_the_page_nor_the_page_by_the_worker() -> None:
    for kind, port in (("StatefulSet", "http"), ("Deployment", "ui")):
        pod = only(values("ui"), kind)["spec"]["template"]
        serving = [
            each["metadata"]["name"]
            for each in objects(values("ui"))
            if each["kind"] == "Service"
            and each["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]

        assert len(serving) == 1
        assert [each["name"] for each in pod["spec"]["containers"][0]["ports"]] == [
            port
        ]


def test_the_user_of_kafka_may_what_the_page_does() -> None:
    given = values("ui")
    read_only = merged(given, {"ui": {"allowActions": False}})
    acting, reading = (
        {
            each["resource"]["name"]: set(each["operations"])
            for each in only(tree, "KafkaUser")["spec"]["authorization"]["acls"]
        }
        for tree in (given, read_only)
    )

    for rights in (acting, reading):
        for topic in ("jet.state", "jet.events", "jet.dead-letters"):
            assert "Read" in rights[topic]
    assert "Write" in acting["jet.commands"]
    assert "Write" in acting["jetworker-replay-jet.dead-letters"]
    assert "Write" not in reading["jet.commands"]
    assert "jetworker-replay-jet.dead-letters" not in reading


def test_actions_without_a_proxy_that_names_people_are_refused() -> None:
    with pytest.raises(Exception, match=r"ui\.userHeader is required"):
        objects(merged(values("ui"), {"ui": {"userHeader": ""}}))


def test_what_brings_notifications_reaches_their_port_and_no_other() -> None:
    """Without notifications the rule is left out: it would open a port of nobody's."""
    peers = [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]
    policy = {"enabled": True, "monitoringFrom": [], "notificationsFrom": peers}

    told = only(merged(values("company"), {"networkPolicy": policy}), "NetworkPolicy")[
        "spec"
    ]
    untold = only(
        merged(values("minimal"), {"networkPolicy": policy}), "NetworkPolicy"
    )["spec"]
    service = only(values("company"), "Service", "-hooks")["spec"]

    assert told["ingress"] == [
        {"from": peers, "ports": [{"port": "notifications", "protocol": "TCP"}]}
    ]
    assert untold["ingress"] == []
    assert [each["targetPort"] for each in service["ports"]] == ["notifications"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": {"notifications": {"port": 8080}}}, "give another"),
        ({"config": {"notifications": {"url": ""}}}, "belong together"),
        ({"config": {"notifications": {"port": ""}}}, "port is required"),
        ({"secret": {"data": {"notifications__secret": ""}}}, "belong together"),
    ],
)
def test_notifications_are_given_whole_or_not_at_all(changes: Tree, said: str) -> None:
    with pytest.raises(helm_python.HelmError, match=said):
        objects(merged(values("company"), changes))
