"""What `jetworker send` makes of paths and sizes, and what it says where they do not fit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from typer.testing import CliRunner
from typing_extensions import override

from jetworker.cli import publish
from jetworker.cli.exit_codes import REJECTED
from jetworker.cli.main import cli
from jetworker.cli.publish import fields, objects, send
from jetworker.core.errors import JetworkerError, StoreError
from jetworker.wire.events import ReadEvent
from tests.cli.test_ui_follow import CONFIG
from tests.support.taking import TakesSome


def test_sizes_are_those_of_the_files_in_their_order() -> None:
    made = objects(["a.mov", "/folder/", "/b.mov"], [7, 0], None)

    assert made == [
        {"relativePath": "/a.mov", "sizeInBytes": 7},
        {"relativePath": "/folder", "isDirectory": True},
        {"relativePath": "/b.mov", "sizeInBytes": 0},
    ]


@pytest.mark.parametrize(
    ("paths", "sizes", "said"),
    [
        (["/a"], [1, 2], "2 sizes for 1 file"),
        (["/a", "/b", "/c/"], [1], "1 size for 2 files"),
        (["/c/"], [1], "1 size for 0 files"),
    ],
)
def test_sizes_that_do_not_fit_the_files_are_counted_and_the_cure_is_told(
    paths: list[str], sizes: list[int], said: str
) -> None:
    with pytest.raises(JetworkerError) as told:
        objects(paths, sizes, None)

    assert str(told.value) == f"--size: {said}: give one for each, in their order"


def test_a_size_is_looked_up_below_a_folder_that_shows_the_source(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.mov").write_bytes(b"seven b")
    (tmp_path / "folder").mkdir()

    assert objects(["/a.mov"], [], tmp_path) == [
        {"relativePath": "/a.mov", "sizeInBytes": 7}
    ]
    with pytest.raises(JetworkerError, match=r"--stat: .*/folder is not a file"):
        objects(["/folder"], [], tmp_path)
    with pytest.raises(JetworkerError, match=r"--stat: .*/gone is not a file"):
        objects(["/gone"], [], tmp_path)


async def test_a_path_that_is_no_utf_8_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So a file is called that a shell's * found, and JSON has no way to say it."""
    command = fields("r", objects(["/caf\udce9.mov"], [], None), "c-1", None, None)

    code = await send(CONFIG, command, wait=False, as_json=False)

    assert code == REJECTED
    assert capsys.readouterr().err == (
        "jetworker: invalid_command: cannot be written as JSON: str is not valid UTF-8:"
        " surrogates not allowed\n"
    )


async def test_a_send_that_kafka_did_not_answer_names_the_id_to_repeat_it_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without --id it would get another one, and its objects be delivered twice."""
    command = fields("r", objects(["/a"], [], None), None, None, None)
    name = command["commandId"]
    monkeypatch.setattr(publish, "AIOKafkaProducer", TakesSome(takes=0))

    with pytest.raises(publish.MayBePublished, match=f"--id {name}"):
        await send(CONFIG, command, wait=False, as_json=False)


class Refuses(TakesSome):
    """A Kafka that refuses what it is given: by its client, or when it is asked."""

    def __init__(self, error: Exception, *, at_once: bool) -> None:
        super().__init__(takes=0)
        self._error = error
        self._at_once = at_once

    @override
    async def send(self, *_: Any, **__: Any) -> "asyncio.Future[Any]":
        if self._at_once:
            raise self._error
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_exception(self._error)
        return answer


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "error", [MessageSizeTooLargeError(), TopicAuthorizationFailedError()]
)
async def test_what_kafka_refuses_is_not_said_to_be_published(
    error: Exception, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated by its id it would be refused for ever."""
    command = fields("r", objects(["/a"], [], None), "c-1", None, None)
    kafka = Refuses(error, at_once=at_once)
    monkeypatch.setattr(publish, "AIOKafkaProducer", kafka)

    with pytest.raises(StoreError) as told:
        await send(CONFIG, command, wait=False, as_json=False)

    assert not isinstance(told.value, publish.MayBePublished)
    assert type(error).__name__ in str(told.value)
    assert "published:" not in str(told.value)


async def test_who_waits_in_vain_is_told_what_was_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def breaks(
        _config: object, _id: str, listening: asyncio.Event
    ) -> AsyncIterator[ReadEvent]:
        listening.set()
        await asyncio.sleep(0)
        for event in list[ReadEvent]():
            yield event
        raise StoreError("reading jet.events: no broker answers")

    command = fields("r", objects(["/a"], [], None), "c-1", None, None)
    monkeypatch.setattr(publish, "AIOKafkaProducer", TakesSome(takes=1))
    monkeypatch.setattr(publish, "tail", breaks)

    with pytest.raises(StoreError, match="c-1 is published: jetworker watch c-1"):
        await send(CONFIG, command, wait=True, as_json=True)


@pytest.mark.parametrize("metadata", ['{"a": NaN}', '{"a": 1, "a": 2}', "{"])
def test_metadata_that_a_worker_would_not_read_is_not_published_as_something_else(
    metadata: str,
) -> None:
    told = CliRunner().invoke(cli, ["send", "r", "/a", "--metadata", metadata])

    assert told.exit_code == REJECTED
    assert "Invalid value for '--metadata': " in told.stderr
