"""The metrics are those that users build on, each series is there from the start."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jetworker.runtime.metrics import OPERATIONS, Metrics

METRICS: dict[str, tuple[str, set[str]]] = {
    "commands_total": ("counter", {"outcome"}),
    "deliveries_started_total": ("counter", {"route", "how"}),
    "deliveries_finished_total": ("counter", {"route", "outcome"}),
    "deliveries_active": ("gauge", {"route", "state"}),
    "delivery_duration_seconds": ("histogram", {"route", "outcome"}),
    "start_latency_seconds": ("histogram", {"route"}),
    "uncertain_starts_total": ("counter", {"route", "resolution"}),
    "events_published_total": ("counter", {"type"}),
    "transferred_bytes_total": ("counter", {"route"}),
    "transferred_objects_total": ("counter", {"route"}),
    "jet_requests_total": ("counter", {"operation", "outcome"}),
    "jet_request_duration_seconds": ("histogram", {"operation"}),
    "jet_budget_wait_seconds": ("histogram", set()),
    "kafka_transactions_total": ("counter", {"outcome"}),
    "kafka_commit_duration_seconds": ("histogram", set()),
    "partitions_assigned": ("gauge", set()),
    "restore_duration_seconds": ("histogram", set()),
    "rebalances_total": ("counter", set()),
    "oldest_status_timestamp_seconds": ("gauge", set()),
    "token_expiry_timestamp_seconds": ("gauge", set()),
    "event_loop_lag_seconds": ("gauge", set()),
    "build_info": ("gauge", {"version"}),
    "clock_disagreements_total": ("counter", set()),
    "held_starts_total": ("counter", {"route", "proof"}),
    "refuted_statements_total": ("counter", {"route", "statement"}),
    "unexplained_deliveries_total": ("counter", {"route"}),
    "jet_unknown_states_total": ("counter", set()),
    "routes_reloads_total": ("counter", {"outcome"}),
    "routes_valid": ("gauge", set()),
    "commands_lag": ("gauge", set()),  # a series for each partition that is ours
    "input_gaps_total": ("counter", {"cause"}),
    "commands_skipped_total": ("counter", set()),
    "state_lost_partitions": ("gauge", set()),
    "rejections_total": ("counter", {"reason"}),
    "failures_total": ("counter", {"route", "reason"}),
    "partitions_restored": ("gauge", set()),
    "ready": ("gauge", set()),
    "internal_errors_total": ("counter", {"where"}),
    "notifications_total": ("counter", {"outcome"}),
}


def exposed() -> str:
    registry = CollectorRegistry()
    Metrics(registry, "1.2.3").declare_routes(["archive"])
    return generate_latest(registry).decode()


def series(name: str, label: str) -> set[str]:
    """Return the values of *label* that *name* has before its first event."""
    return {
        sample.labels[label]
        for family in text_string_to_metric_families(exposed())
        for sample in family.samples
        if sample.name == f"jetworker_{name}"
    }


def test_these_metrics_are_exposed_and_no_others() -> None:
    found: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(exposed()):
        name = family.name + "_total" * (family.type == "counter")
        labels = {label for sample in family.samples for label in sample.labels}
        found[name.removeprefix("jetworker_")] = (family.type, labels - {"le"})

    own = {name: each for name, each in found.items() if not name.endswith("_created")}
    assert own == METRICS


@pytest.mark.parametrize("name", METRICS)
def test_an_attribute_is_called_as_its_metric(name: str) -> None:
    assert hasattr(Metrics(CollectorRegistry()), name)


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        (
            "commands_total",
            "outcome",
            {"accepted", "applied", "rejected", "duplicate"},
        ),
        ("deliveries_started_total", "how", {"posted", "adopted"}),
        (
            "deliveries_finished_total",
            "outcome",
            {"completed", "failed", "cancelled"},
        ),
        (
            "uncertain_starts_total",
            "resolution",
            {"adopted", "resent", "held", "abandoned"},
        ),
        ("internal_errors_total", "where", {"record", "delivery"}),
        ("kafka_transactions_total", "outcome", {"committed", "aborted", "fenced"}),
        ("jet_requests_total", "operation", set(OPERATIONS)),
        ("build_info", "version", {"1.2.3"}),
        ("transferred_bytes_total", "route", {"archive"}),
    ],
)
def test_every_series_exists_before_its_first_event(
    name: str, label: str, values: set[str]
) -> None:
    assert series(name, label) == values


def test_every_kind_of_event_and_answer_has_its_series() -> None:
    kinds = series("events_published_total", "type")

    assert {"delivery.accepted", "transfer.failed", "command.rejected"} <= kinds
    assert len(kinds) == 15


def test_a_delivery_that_has_ended_is_not_active() -> None:
    states = series("deliveries_active", "state")

    assert states >= {"accepted", "waiting", "starting", "started", "in_progress"}
    assert not states & {"completed", "failed", "cancelled"}


def test_everything_has_our_prefix_and_none_its_time_of_birth() -> None:
    lines = [line for line in exposed().splitlines() if not line.startswith("#")]

    assert all(line.startswith("jetworker_") for line in lines)
    assert not [line for line in lines if "_created" in line]


def test_a_series_is_found_again_and_one_that_was_removed_is_made_anew() -> None:
    metrics = Metrics(CollectorRegistry())
    accepted = metrics.commands_total.labels("accepted")
    metrics.commands_lag.labels("0").set(7)

    metrics.commands_lag.remove("0")
    metrics.commands_lag.labels("0").set(8)

    assert metrics.commands_total.labels("accepted") is accepted
    lag = metrics.registry.get_sample_value(
        "jetworker_commands_lag", {"partition": "0"}
    )
    assert lag == 8


def test_two_workers_in_one_process_have_their_own() -> None:
    one, two = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())

    one.commands_total.labels("accepted").inc()

    name = "jetworker_commands_total"
    assert one.registry.get_sample_value(name, {"outcome": "accepted"}) == 1
    assert two.registry.get_sample_value(name, {"outcome": "accepted"}) == 0
