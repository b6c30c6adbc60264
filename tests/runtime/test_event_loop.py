"""What runs for long has uvloop's loop where it is installed, and asyncio's elsewhere."""

import asyncio
import sys

import pytest

from jetworker.runtime import event_loop


async def answer() -> tuple[str, asyncio.AbstractEventLoop]:
    return event_loop.name(), asyncio.get_running_loop()


def test_it_is_uvloop_s_where_that_is_installed() -> None:
    name, loop = event_loop.run(answer())

    assert name == "uvloop"
    assert loop.is_closed()


def test_it_is_asyncio_s_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    name, loop = event_loop.run(answer())

    assert name == "asyncio"
    assert loop.is_closed()
