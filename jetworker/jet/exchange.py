"""One exchange with Jet: what is asked, what is answered, and what that means."""

from dataclasses import dataclass
from typing import Any

from jetworker.core.command import RouteName
from jetworker.core.errors import (
    JetNotFound,
    JetRejected,
    JetUnauthorized,
    JetUnavailable,
)
from jetworker.core.observation import (
    StartAccepted,
    StartAnswer,
    StartAnswered,
    StartLost,
)
from jetworker.jet.budget import Priority
from jetworker.wire import jet as wire
from jetworker.wire.quoting import quote_answer

_WORTH_WAITING = 2.0
_UNAUTHORIZED, _NOT_FOUND = 401, 404
_AGAIN_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Request:
    """A call that changes nothing, or nothing more when it is made twice."""

    operation: str
    method: str
    path: str
    body: bytes | None = None
    priority: Priority = Priority.POLL
    route: RouteName | None = None
    is_repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; *retry_after* in seconds, if Jet asked for patience."""

    status: int
    body: bytes
    retry_after: float | None


def read(answer: Response) -> Any:
    """Return what a question is answered with; raises JetError."""
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 -- HTTP
        try:
            return wire.loads(answer.body)
        except wire.NoAnswer as exc:
            raise JetUnavailable(str(exc)) from exc
    said = quote_answer(answer.body)
    if status == _UNAUTHORIZED:
        msg = "Jet refuses the token"
        raise JetUnauthorized(msg)
    if status == _NOT_FOUND:
        raise JetNotFound(status, said)
    if 400 <= status < 500 and status not in _AGAIN_LATER:  # noqa: PLR2004 -- HTTP
        raise JetRejected(status, said)
    msg = f"Jet answered {status}"
    raise JetUnavailable(msg, answer.retry_after)


def read_start(answer: Response) -> StartAnswer:
    """Return what a start is answered with."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004 -- HTTP
        return StartAnswered(answer.status, quote_answer(answer.body))
    try:
        delivery_id = wire.delivery_id(wire.loads(answer.body))
    except wire.NoAnswer:
        delivery_id = None
    if delivery_id is None:
        return StartLost(f"Jet answered {answer.status} without a deliveryId")
    return StartAccepted(delivery_id)


def worth_repeating(exc: Exception) -> bool | float:
    """Ask again at once only what Jet did not answer; longer waits are the caller's."""
    if not isinstance(exc, JetUnavailable):
        return False
    if exc.retry_after is None:
        return True
    return exc.retry_after if exc.retry_after <= _WORTH_WAITING else False
