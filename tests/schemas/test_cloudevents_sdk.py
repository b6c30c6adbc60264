"""The CloudEvents SDK reads what we write, and we read what it writes."""

from datetime import timedelta

import pytest
from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from jetworker.core.command import Send
from jetworker.wire.commands import decode
from tests.support.builders import NOW

COMMAND = {"commandId": "c-1", "route": "archive", "objects": [{"relativePath": "/a"}]}


def a_cloudevent() -> CloudEvent:
    """Return a command as a publisher with the SDK would make it."""
    attributes = {
        "id": "1",
        "source": "/mam",
        "type": "com.example.send",
        "specversion": "1.0",
        "time": NOW + timedelta(seconds=1),
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes=attributes, data=COMMAND)


@pytest.mark.parametrize(
    "write", [to_binary_event, to_structured_event], ids=["binary", "structured"]
)
def test_we_read_the_sdk_s_commands(write: object) -> None:
    assert callable(write)
    message: KafkaMessage = write(a_cloudevent(), JSONFormat())

    headers = [(name, value) for name, value in message.headers.items()]
    command = decode(message.value, headers, max_objects=10)

    assert isinstance(command, Send)
    assert command.command_id == "c-1"
