"""Ctrl-C ends a command, also where a library swallows the cancellation."""

import asyncio
import os
import signal
import sys

import pytest
import typer

from jetworker.cli import interrupt
from jetworker.cli.interrupt import run_until_interrupted
from jetworker.cli.orders import is_confirmed


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_AGAIN", 0.01)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def swallows(times: int) -> None:
    """Go on until cancelled more often than so many *times*."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


def test_a_command_that_ends_leaves_with_its_code() -> None:
    async def ends() -> int:
        return 3

    assert run_until_interrupted(ends()) == 3


def test_an_error_of_a_command_comes_out() -> None:
    async def fails() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        run_until_interrupted(fails())


def test_a_cancellation_that_is_swallowed_is_repeated() -> None:
    async def goes_on() -> int:
        press_ctrl_c()
        await swallows(2)
        return 1

    assert run_until_interrupted(goes_on()) == 130


def test_what_was_interrupted_before_its_end_has_not_succeeded() -> None:
    """`jetworker send --wait … && rm …`: 0 would say that all was delivered."""

    async def waits() -> int:
        press_ctrl_c()
        await asyncio.Event().wait()
        return 0

    assert run_until_interrupted(waits()) == 130
    assert run_until_interrupted(waits(), has_end=False) == 0


def test_what_a_command_leaves_running_is_ended_too() -> None:
    left = []

    async def leaves_something() -> int:
        left.append(asyncio.create_task(swallows(2)))
        await asyncio.sleep(0)
        return 4

    assert run_until_interrupted(leaves_something()) == 4
    assert left[0].cancelled()


def test_a_question_is_left_by_ctrl_c_and_not_only_after_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a terminal is read the loop stands still, and with it who heeds Ctrl-C."""

    def type_nothing(_question: str) -> str:
        press_ctrl_c()
        return "y"

    async def asks() -> int:
        return 3 if is_confirmed("replay 7?", yes=False) else 4

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(f"{typer.confirm.__module__}.visible_prompt_func", type_nothing)

    assert run_until_interrupted(asks()) == 130
