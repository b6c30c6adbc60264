"""One log line for each step of a delivery that an operator or an auditor asks about."""

import structlog

from jetworker.core.delivery import Event, EventType, ReasonCode

log = structlog.get_logger()

_TEXTS = {
    EventType.ACCEPTED: "a command was accepted, it is started as its route allows",
    EventType.WAITING: "a delivery waits, it is started when that has changed",
    EventType.UNCERTAIN: "a start is uncertain, it is looked up at Jet",
    EventType.STARTED: "a delivery was started, it is followed to its end",
    EventType.COMPLETED: "a delivery was completed",
    EventType.FAILED: "a delivery failed",
    EventType.CANCELLED: "a delivery was cancelled before it was started",
}
_HELD = "a start is held, an operator decides: jetworker explain, then resolve"
_WARNINGS = frozenset({EventType.UNCERTAIN, EventType.FAILED})


def tell(event: Event) -> None:
    """Say what an event told, if it is a step; progress and transfers are none."""
    text = _TEXTS.get(event.type)
    if text is None:
        return
    delivery = event.delivery
    fields: dict[str, object] = {
        "command_id": delivery.command_id,
        "route": delivery.route,
        "delivery_id": delivery.delivery_id,
        "traceparent": delivery.traceparent,
    }
    if delivery.reason is not None:
        fields |= {"reason": delivery.reason.code, "message": delivery.reason.message}
        if delivery.reason.code is ReasonCode.HELD:
            text = _HELD
    if event.type is EventType.STARTED and delivery.adopted:
        fields["adopted"] = True
    said = {name: value for name, value in fields.items() if value is not None}
    if event.type in _WARNINGS:
        log.warning(text, **said)
    else:
        log.info(text, **said)
