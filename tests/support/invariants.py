"""The invariants of every run, judged from events and from what Jet created."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from tests.support.documents import SCHEMAS
from tests.support.jet.fake_server import JetServer
from tests.support.system import Event

VALIDATORS = {
    schema["$id"]: Draft202012Validator(schema, format_checker=FormatChecker())
    for schema in SCHEMAS.values()
}


def judge(
    events: Sequence[Event], commands: Sequence[dict[str, Any]], jet: JetServer
) -> None:
    """Fail unless every command ended once, was started once, and was told gaplessly."""
    of: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        VALIDATORS[event.headers["ce_dataschema"]].validate(event.data)
        if event.kind.startswith(("delivery.", "transfer.")):
            of[event.data["commandId"]].append(event)
    assert of.keys() == {command["commandId"] for command in commands}
    for command_id, told in of.items():
        numbers = [event.data["sequence"] for event in told]
        assert numbers == list(range(1, len(told) + 1)), (command_id, numbers)
        assert told[0].kind == "delivery.accepted"
        assert [e.is_terminal for e in told[:-1]] == [False] * (len(told) - 1)
        assert told[-1].is_terminal, (command_id, told[-1].kind)
        for event in told:
            assert event.headers["ce_id"] == f"{command_id}:{event.data['sequence']}"
            assert event.key == event.headers["ce_subject"] == command_id
    _judge_creations(of, commands, jet)


def _judge_creations(
    of: dict[str, list[Event]], commands: Sequence[dict[str, Any]], jet: JetServer
) -> None:
    made = jet.creations()
    for command in commands:
        created = made.get(command["objects"][0]["relativePath"], [])
        last = of[command["commandId"]][-1]
        assert len(created) <= 1, (command["commandId"], created)
        if last.kind == "delivery.completed":
            assert [last.data["deliveryId"]] == created
