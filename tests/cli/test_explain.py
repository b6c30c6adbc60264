"""`jetworker explain`: each reason has its own next step, with commands that can be copied."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from jetworker.cli.explain import facts, next_step
from jetworker.config.model import Config, JetConfig, KafkaConfig
from jetworker.core.delivery import (
    Delivery,
    OrderKind,
    PendingAdopt,
    Reason,
    ReasonCode,
    State,
    WaitingOrder,
)
from jetworker.core.finished import finish
from jetworker.kafka.reader import Place
from tests.support.builders import DELIVERY, NOW, a_delivery, an_origin

CONFIG = Config(
    routes_file=Path("routes.yaml"),
    kafka=KafkaConfig(bootstrap_servers="nowhere:9092"),
    jet=JetConfig(client_id="test", client_secret=SecretStr("test")),
)
WAITS = {
    ReasonCode.JOB_PAUSED: "resume the job",
    ReasonCode.ROUTE_PAUSED: "set paused: false for the route archive",
    ReasonCode.LIMIT: "when a delivery of the route archive ends",
    ReasonCode.JET_UNAVAILABLE: "when Jet answers again",
    ReasonCode.UNAUTHORIZED: "repair jet.client_id and jet.client_secret",
    ReasonCode.JOB_UNAVAILABLE: "repair the route archive",
}
ENDS = {
    ReasonCode.OBJECTS_FAILED: "jetworker resend c-1 --failed-only",
    ReasonCode.JET_FAILED: "jetworker resend c-1",
    ReasonCode.EXPIRED: "jetworker resend c-1",
    ReasonCode.JOB_NOT_FOUND: "jetworker resend c-1",
    ReasonCode.ABANDONED: "jetworker resend c-1",
    ReasonCode.DEADLINE_EXCEEDED: "jetworker resend c-1",
    ReasonCode.REJECTED_BY_JET: "jetworker resend c-1",
    ReasonCode.JOB_PAUSED: "jetworker resend c-1",
}


@pytest.mark.parametrize("state", [State.WAITING, State.CLEARED])
@pytest.mark.parametrize("code", WAITS)
def test_each_thing_in_the_way_has_its_own_cure(code: ReasonCode, state: State) -> None:
    found = next_step(a_delivery(state, reason=Reason(code, "?")), CONFIG)

    assert WAITS[code] in found.text
    assert found.commands


@pytest.mark.parametrize("code", WAITS)
def test_what_may_be_over_by_now_is_told_with_when_it_was_told(
    code: ReasonCode,
) -> None:
    delivery = a_delivery(State.WAITING, reason=Reason(code, "?"))

    told = dict(facts("c-1", Place(3, delivery, NOW)))
    following = next_step(delivery, CONFIG)

    assert told["told"] == "2026-11-23T10:00:00.000Z, and not told when it is over"
    assert "If that is over by now, it waits for its turn" in following.text


def test_what_is_so_until_somebody_acts_is_told_without_a_doubt() -> None:
    held = a_delivery(State.HELD, reason=Reason(ReasonCode.HELD, "no witness"))

    assert "told" not in dict(facts("c-1", Place(3, held, NOW)))


def test_both_times_of_an_unknown_start_count_from_the_doubt() -> None:
    said = next_step(a_delivery(State.UNCERTAIN), CONFIG).text

    assert said == (
        "it is looked up from 20 s after it became uncertain on; if it could not be"
        " decided 50 s after it became uncertain, it is held"
    )


@pytest.mark.parametrize("code", ENDS)
def test_what_failed_can_be_sent_again(code: ReasonCode) -> None:
    failed = a_delivery(State.FAILED, reason=Reason(code, "?"), finished_at=NOW)

    assert ENDS[code] in next_step(finish(failed), CONFIG).commands


def test_orders_behind_an_adopt_are_told_in_their_turn() -> None:
    adopt = PendingAdopt(DELIVERY, an_origin())
    orders = tuple(
        WaitingOrder(kind, an_origin()) for kind in (OrderKind.RESEND, OrderKind.CANCEL)
    )
    alone = a_delivery(State.HELD, pending=adopt)

    said = next_step(alone, CONFIG).text
    more = next_step(replace(alone, orders=orders), CONFIG).text

    assert said == "an operator's adopt waits until Jet can be asked"
    assert more == f"{said}; then it is the turn of: resend, cancel"


def test_a_held_command_names_itself_in_each_way_out() -> None:
    found = next_step(a_delivery(State.HELD), CONFIG)

    assert found.commands == (
        "jetworker resolve c-1 adopt --delivery-id DELIVERY_ID",
        "jetworker resolve c-1 resend",
        "jetworker resolve c-1 abandon",
    )


@pytest.mark.parametrize(
    "delivery",
    [
        *(a_delivery(state) for state in State),
        *(a_delivery(State.WAITING, reason=Reason(c, "?")) for c in ReasonCode),
    ],
)
def test_there_is_a_next_step_wherever_a_command_is(delivery: Delivery) -> None:
    found = next_step(delivery, CONFIG)

    assert found.text
    assert not any("COMMAND_ID" in each for each in found.commands)
