"""A Kafka that takes some records of a command line and answers no more."""

import asyncio
from typing import Any


class TakesSome:
    """A Kafka that takes so many records, and answers no more."""

    def __init__(self, takes: int) -> None:
        self._left = takes

    def __call__(self, **_: Any) -> "TakesSome":
        return self

    async def start(self) -> None:
        if self._left < 0:
            raise OSError

    async def send(self, *_: Any, **__: Any) -> "asyncio.Future[Any]":
        answer = asyncio.get_running_loop().create_future()
        self._left -= 1
        if self._left < 0:
            answer.set_exception(TimeoutError())
        else:
            answer.set_result(_Taken())
        return answer

    async def stop(self) -> None:
        pass


class _Taken:
    """Where a record is."""

    partition, offset = 0, 7
