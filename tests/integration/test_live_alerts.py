"""A real fault moves the metric that its alert reads, and no other alert fires."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from aiohttp import web
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.support.alerting import ALERTS, assert_firing
from tests.support.jet.fake_server import JetServer
from tests.support.operating import says
from tests.support.system import System, WorkerProcess, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration
needs_promtool = pytest.mark.platform("promtool")

# Only promtool shows that these fire, by series that are made up; why no fault here does.
NOT_SHOWN = {
    "JetworkerNoConsumer": "there is nobody to ask for metrics",
    "JetworkerWorkerDown": "there is nobody to ask for metrics",
    "JetworkerStateLost": "a state that is lost: tests of the state topic",
    "JetworkerInputGap": "commands that are gone: tests of the state topic",
    "JetworkerRestoreIncomplete": "over in a moment with topics as small as ours",
    "JetworkerStartsSlow": "five minutes have to pass",
    "JetworkerStatusStale": "a time, and ten minutes have to pass",
    "JetworkerTokenNotRenewed": "a time, which has to pass",
    "JetworkerUnexplainedDelivery": "needs somebody else at Jet: tests of look-ups",
    "JetworkerBudgetShort": "calls would have to wait for a minute",
    "JetworkerFencedInALoop": "needs two owners of one partition: tests of isolation",
    "JetworkerRebalancing": "needs a group that never settles",
    "JetworkerEventLoopLate": "needs a machine without time",
    "JetworkerLagRising": "commands would have to wait for half an hour",
    "JetworkerCommandsNotTaken": "ten minutes have to pass",
    "JetworkerInternalError": "needs a defect: tests of what is set aside",
}


async def begun(system: System) -> tuple[WorkerProcess, str]:
    """Return a worker that has done something, and its metrics."""
    worker = await (await system.worker()).ready()
    await system.publish(*(a_command(f"before-{n}") for n in range(5)))
    await system.terminal(5)
    return worker, (await worker.get("/metrics")).text


async def told(system: System, claim: Callable[[set[str]], bool]) -> None:
    """Wait until the kinds of events, each with its reason, are as claimed."""

    async def enough() -> bool:
        kinds = set()
        for event in await system.events():
            reason = event.data.get("reason")
            kinds.add(f"{event.kind}:{reason['code']}" if reason else event.kind)
        return claim(kinds)

    await until(enough, "the events of this fault")


def test_every_alert_is_shown_here_or_listed_as_not_shown() -> None:
    _, _, tests = Path(__file__).read_text().partition("async def begun")
    shown = {name for name in ALERTS if f'"{name}"' in tests}

    assert shown | NOT_SHOWN.keys() == ALERTS


@needs_promtool
async def test_when_all_is_well_none_fires(system: System) -> None:
    worker, before = await begun(system)

    await system.publish(*(a_command(f"well-{n}") for n in range(5)))
    await system.terminal(10)

    after = (await worker.get("/metrics")).text
    assert_firing(before, after, set(), system.folder)


@needs_promtool
async def test_held_starts_and_dead_letters(system: System) -> None:
    worker, before = await begun(system)
    system.jet.listing = "none"
    hidden = {"list_transfers", "list_files"}

    def lose(operation: str, _server: JetServer) -> "web.Response | str | None":
        if operation in hidden:
            return web.json_response({"items": []})
        return "lost_before" if operation == "start_delivery" else None

    system.jet.fault = lose
    await system.publish(a_command("held-1"), b"{poison")
    await told(
        system,
        lambda kinds: (
            {"delivery.uncertain:held", "command.rejected:invalid_json"} <= kinds
        ),
    )

    after = (await worker.get("/metrics")).text
    alerts = {"JetworkerStartHeld", "JetworkerDeadLetters"}
    assert_firing(before, after, alerts, system.folder)


@needs_promtool
async def test_a_start_whose_outcome_stays_unknown(system: System) -> None:
    system.changes = {"JETWORKER_STARTS__SETTLE": "100s"}
    worker, before = await begun(system)

    def lose(operation: str, _server: JetServer) -> str | None:
        return "lost_before" if operation == "start_delivery" else None

    system.jet.fault = lose
    await system.publish(a_command("unknown-1"))
    await told(system, lambda kinds: "delivery.uncertain:start_unknown" in kinds)

    after = (await worker.get("/metrics")).text
    # The lost call is one of few.
    besides = "JetworkerJetFailing"
    assert_firing(before, after, {"JetworkerStartUncertain"}, system.folder, besides)


@needs_promtool
async def test_a_jet_that_fails_and_throttles_and_refuses_the_token(
    system: System,
) -> None:
    worker, before = await begun(system)
    trouble = cycle([500, 500, 500, 429, 401, 401])

    def refuse(operation: str, _server: JetServer) -> web.Response | None:
        if operation == "token":
            return None
        status = next(trouble)
        return web.json_response({"message": "no"}, status=status)

    system.jet.fault = refuse
    await system.publish(a_command("refused-1", "by-name"))
    await told(system, lambda kinds: "delivery.waiting:unauthorized" in kinds)
    asked = len(system.jet.requests)
    await until(lambda: len(system.jet.requests) > asked + 18, "more refusals")

    after = (await worker.get("/metrics")).text
    alerts = {
        "JetworkerJetFailing",
        "JetworkerJetThrottling",
        "JetworkerJetUnauthorized",
        "JetworkerRouteBlocked",
    }
    assert_firing(before, after, alerts, system.folder)


@needs_promtool
async def test_a_paused_job_deliveries_that_fail_and_routes_that_are_refused(
    system: System,
) -> None:
    worker, before = await begun(system)
    system.jet.jobs["job-other"].paused = True
    await system.publish(a_command("paused-1", "waiting-paused"))
    await system.publish(*(a_command(f"hurried-{n}", "gone") for n in range(6)))
    (system.folder / "routes.yaml").write_text("routes: {broken: }")
    await until(lambda: "routes" in worker.log.read_text(), "a look at the routes")

    async def refused() -> bool:
        text = (await worker.get("/metrics")).text
        return 'routes_reloads_total{outcome="rejected"} 1.0' in text

    await until(refused, "refused routes")
    await system.terminal(11)

    after = (await worker.get("/metrics")).text
    alerts = {
        "JetworkerRouteBlocked",
        "JetworkerFailuresUnusual",
        "JetworkerRoutesRejected",
    }
    assert_firing(before, after, alerts, system.folder)


@needs_promtool
async def test_a_worker_that_never_gets_a_token(system: System) -> None:
    worker = await system.worker(JETWORKER_JET__CLIENT_SECRET="another")
    await says(worker, "no token was obtained yet")
    before = (await worker.get("/metrics")).text
    asked = system.jet.count("token")
    await until(lambda: system.jet.count("token") > asked + 1, "another refusal")
    await says(worker, "[+]partitions ok")

    after = (await worker.get("/metrics")).text
    alerts = {"JetworkerNotReady", "JetworkerJetUnauthorized"}
    assert_firing(before, after, alerts, system.folder)


@needs_promtool
async def test_events_that_kafka_refuses(system: System) -> None:
    worker, before = await begun(system)
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka)
    await admin.start()
    topic = system.config.topics.events
    tiny = {"max.message.bytes": "100"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, tiny)])
    await admin.close()

    await system.publish(a_command("refused-1"))
    aborted = 'kafka_transactions_total{outcome="aborted"}'

    async def often() -> bool:
        lines = (await worker.get("/metrics")).text.splitlines()
        found = [line for line in lines if aborted in line]
        return bool(found) and float(found[0].rpartition(" ")[2]) > 1

    await until(often, "two aborted transactions")
    after = (await worker.get("/metrics")).text
    # Seen between two lives of the partition, or not; and so is the command that waits.
    besides = "JetworkerRestoreIncomplete|JetworkerNotReady|JetworkerCommandsNotTaken"
    alerts = {"JetworkerCommitsFailing"}
    assert_firing(before, after, alerts, system.folder, besides)
