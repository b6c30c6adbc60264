"""The audit's history: what it reads of the records of the topics."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from jetworker.cli.audit import compose
from jetworker.core.answered import RecordKind
from jetworker.core.audit import judge
from jetworker.core.command import DeliveryId, Origin
from jetworker.core.delivery import OrderKind, PendingAdopt, State, WaitingOrder
from jetworker.wire import handing, snapshots
from tests.support.builders import a_delivery
from tests.support.system import a_command

DELIVERY = a_delivery()
OLD = SimpleNamespace(
    key=DELIVERY.command_id.encode(), value=snapshots.encode(DELIVERY)
)
DELIVERY_ID = DeliveryId("d-1")
GONE = SimpleNamespace(key=OLD.key, value=None)


def test_a_snapshot_that_stayed_behind_is_judged_and_one_that_moved_on_is_not() -> None:
    stayed = compose([OLD], [], [], [], {}, later=[OLD])
    moved_on = compose([OLD], [], [], [], {}, later=[OLD, GONE])

    assert [*stayed.snapshots] == [DELIVERY.command_id]
    assert moved_on.moving == {"c-1"}
    assert not stayed.moving


def of_commands(value: bytes | None, *headers: tuple[str, bytes]) -> SimpleNamespace:
    return SimpleNamespace(
        topic="t",
        partition=0,
        offset=0,
        timestamp=0,
        key=b"k",
        value=value,
        headers=headers,
    )


PLAIN = json.dumps(a_command("c-1")).encode()
STRUCTURED = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    "record",
    [
        of_commands(PLAIN),
        of_commands(b"\x00\x00\x00\x00\x07" + PLAIN),
        of_commands(
            json.dumps(STRUCTURED | {"data": a_command("c-1")}).encode(),
            ("content-type", b"application/cloudevents+json"),
        ),
    ],
    ids=["plain", "framed", "structured"],
)
def test_a_command_is_read_in_every_form_that_a_worker_reads(
    record: SimpleNamespace,
) -> None:
    """Else a record that was accepted would be called unanswered."""
    data = {"sequence": 1, "commandId": "c-1"}
    told = SimpleNamespace(
        partition=0,
        timestamp=0,
        headers=[
            ("ce_type", b"io.jetworker.delivery.accepted"),
            ("ce_subject", b"c-1"),
        ],
        value=json.dumps(data).encode(),
    )
    state = [SimpleNamespace(key=b"c-1", value=None)]
    found = compose(state, [record], [told], [], {0: 1})

    (command,) = found.commands
    assert (command.command_id, command.kind) == ("c-1", RecordKind.SEND)
    assert command.paths
    assert [str(each) for each, _ in judge(found).violations] == [
        "the state topic agrees with the last event"
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"commandId": "c-1", "type": "cancel"}, RecordKind.CANCEL),
        (
            {"commandId": "c-1", "type": "resolve", "action": "abandon"},
            RecordKind.RESOLVE,
        ),
        ({"commandId": "c-1", "type": "send"}, RecordKind.UNREADABLE),
    ],
)
def test_what_a_record_is_and_of_whom_is_read(value: Any, kind: RecordKind) -> None:
    record = of_commands(json.dumps(value).encode())
    (found,) = compose([], [record], [], [], {}).commands

    assert (found.command_id, found.kind, found.paths) == ("c-1", kind, ())


def test_the_places_of_what_waits_are_read_from_the_state() -> None:
    """An adopt that Jet is asked about, an order behind it, and what was handed over."""
    at = DELIVERY.accepted_at
    delivery = replace(
        DELIVERY,
        state=State.HELD,
        pending=PendingAdopt(DELIVERY_ID, Origin("t", 0, 5, at)),
        orders=(WaitingOrder(OrderKind.CANCEL, Origin("t", 0, 6, at)),),
    )
    held = SimpleNamespace(key=b"c-1", value=snapshots.encode(delivery), partition=0)
    record = handing.encode(of_commands(PLAIN), "state", 1, 2)
    handed = SimpleNamespace(key=record.key, value=record.value, partition=1)
    answered = SimpleNamespace(key=b" handed:0:1:0:2", value=None, partition=1)

    found = compose([held, handed, answered], [], [], [], {})

    assert found.waiting == {(0, 5), (0, 6), (0, 0)}
