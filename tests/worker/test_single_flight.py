"""A shared question: asked once for all who wait, never answered from before they asked."""

import asyncio

import pytest

from jetworker.runtime.clock import wait
from jetworker.worker.reconciliation.single_flight import SingleFlight


class Oracle:
    """Answers with what it was asked for, once it is let."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def ask(self, wishes: tuple[str, ...]) -> tuple[str, ...]:
        self.asked.append(wishes)
        self.is_asked.set()
        await self.may_answer.wait()
        if "an error" in wishes:
            msg = "no answer"
            raise LookupError(msg)
        return wishes


async def test_who_waits_together_is_asked_for_once() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle.ask)
    oracle.may_answer.set()

    answers = await asyncio.gather(*(shared.get(name) for name in "abc"))

    assert answers == [("a", "b", "c")] * 3
    assert oracle.asked == [("a", "b", "c")]


async def test_who_asks_while_a_question_is_on_its_way_is_answered_by_the_next() -> (
    None
):
    """The answer on its way may be from before what they did."""
    oracle = Oracle()
    shared = SingleFlight(oracle.ask)
    first = asyncio.create_task(shared.get("first"))
    await oracle.is_asked.wait()

    second = asyncio.create_task(shared.get("second"))
    third = asyncio.create_task(shared.get("third"))
    oracle.may_answer.set()

    assert await first == ("first",)
    assert await second == await third == ("second", "third")


async def test_only_a_few_questions_are_on_their_way_at_once() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle.ask)
    asking = []
    for name in "abcdef":
        oracle.is_asked.clear()
        asking.append(asyncio.create_task(shared.get(name)))
        await wait(oracle.is_asked, 0.05)

    oracle.may_answer.set()
    await asyncio.gather(*asking)

    assert oracle.asked == [("a",), ("b",), ("c",), ("d", "e", "f")]


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle.ask)
    impatient = asyncio.create_task(shared.get("impatient"))
    patient = asyncio.create_task(shared.get("patient"))
    await oracle.is_asked.wait()

    impatient.cancel()
    oracle.may_answer.set()

    assert await patient == ("impatient", "patient")


async def test_an_error_is_everybody_s_and_the_next_question_is_asked() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle.ask)
    oracle.may_answer.set()

    failed = await asyncio.gather(
        shared.get("an error"), shared.get("mine"), return_exceptions=True
    )

    assert [type(each) for each in failed] == [LookupError, LookupError]
    assert await shared.get("again") == ("again",)


@pytest.mark.filterwarnings("error")
async def test_an_error_that_nobody_waits_for_is_not_complained_of() -> None:
    oracle = Oracle()
    shared = SingleFlight(oracle.ask)
    alone = asyncio.create_task(shared.get("an error"))
    await oracle.is_asked.wait()
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    alone.cancel()
    oracle.may_answer.set()
    assert await shared.get("next") == ("next",)

    assert complaints == []
