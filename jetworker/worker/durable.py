"""Futures of steps about whose durability nothing needs to be waited for."""

import asyncio

from jetworker.core.errors import StoreError


def done() -> "asyncio.Future[None]":
    """Return the future of a step that changes nothing."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def failed(message: str) -> "asyncio.Future[None]":
    """Return the future of a step that cannot be taken any more."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(StoreError(message))
    future.exception()  # retrieved: not everybody waits for it
    return future
