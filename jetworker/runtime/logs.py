"""Logs: one JSON object a line on stderr, no secrets, no locals, no line injection."""

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from datetime import timedelta
from typing import Any, Literal

import orjson
import structlog

from jetworker.core.errors import StoreError

# A token's expiry is no secret: only what ends in the word is one.
_SECRET = re.compile(
    "secret|passw|authorization|credential|private_?key|token$", re.IGNORECASE
)
_MINUTE = 60.0  # seconds
_MOST_COMPLAINTS = 1000  # of which it is remembered when they were said
_FRAMES = 20  # of an error: the innermost
_NOISY = ("aiokafka", "kafka", "aiohttp", "httpx", "httpcore", "asyncio", "stamina")


class OnceAMinute:
    """
    Lets the same complaint about the same thing through at most once a minute.

    A line that may be repeated says what it is about by the field *about*, which is not
    shown; the next one that is let through says how many were not. This is the one place
    where lines are held back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(
        self, _logger: Any, _name: str, fields: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Take a line, or raise DropEvent (structlog's processor)."""
        if "about" not in fields:
            return fields
        now = self._monotonic()
        key = str(fields.get("event")), str(fields.pop("about"))
        said_at, held_back = self._said.get(key, (now - _MINUTE, 0))
        if now - said_at < _MINUTE:
            self._said[key] = said_at, held_back + 1
            raise structlog.DropEvent
        if len(self._said) >= _MOST_COMPLAINTS:
            self._forget(now)
        self._said[key] = now, 0
        if held_back:
            fields["not_repeated"] = held_back
        return fields

    def _forget(self, now: float) -> None:
        """Forget what may be said again; all, if that is too much for one minute."""
        last = {
            key: told for key, told in self._said.items() if now - told[0] < _MINUTE
        }
        self._said = last if len(last) < _MOST_COMPLAINTS else {}


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Send our logs and those of the libraries to stderr, in one form."""
    shared, renderer = _shared(form), _renderer(form)
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    handler.addFilter(held_back(OnceAMinute(time.monotonic)))
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for name in _NOISY:  # httpx logs every URL at INFO
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.getLogger("aiokafka.conn").addFilter(_once("in the clear"))
    # A group that does not exist yet has no coordinator: it gets one, and is tried again.
    logging.getLogger("aiokafka.consumer.group_coordinator").addFilter(
        without("GroupCoordinatorNotAvailableError")
    )
    logging.captureWarnings(capture=True)


def _shared(form: Literal["json", "console"]) -> list[Any]:
    """Return what every line passes through, ours or a library's."""
    trace: Any = structlog.processors.format_exc_info
    if form == "json":
        without_locals = structlog.tracebacks.ExceptionDictTransformer(
            show_locals=False
        )
        trace = structlog.processors.ExceptionRenderer(without_locals)
    return [
        OnceAMinute(time.monotonic),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        trace,
        _mask,
    ]


def _renderer(form: Literal["json", "console"]) -> Any:
    if form == "json":
        return structlog.processors.JSONRenderer(_dumps)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def without(part: str) -> Callable[[logging.LogRecord], bool]:
    """Keep out what a library calls an error and is none, or is told by us."""
    return lambda record: part not in record.getMessage()


def held_back(once: OnceAMinute) -> Callable[[logging.LogRecord], bool]:
    """
    Let a library's line through as ours, *once* a minute.

    It is known by all that it is made of, which is not put together for that: a line of
    theirs that cannot be is no reason to fail where it was written.
    """

    def is_let_through(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        about = f"{record.name} {record.args!r} {error!r}"
        fields: dict[str, Any] = {"event": str(record.msg), "about": about}
        try:
            once(None, record.levelname, fields)
        except structlog.DropEvent:
            return False
        if "not_repeated" in fields:
            record.msg = f"{record.msg} (not repeated: {fields['not_repeated']})"
        return True

    return is_let_through


def _once(part: str) -> Callable[[logging.LogRecord], bool]:
    """Let a message through once that a library repeats at every connection."""
    was_said = False

    def is_new(record: logging.LogRecord) -> bool:
        nonlocal was_said
        if part not in str(record.msg):
            return True
        before, was_said = was_said, True
        return not before

    return is_new


def _dumps(value: Any, **_: Any) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # lone surrogates, more than 64 bits, endless nesting
        return json.dumps({str(name): _plain(each) for name, each in value.items()})


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text.encode(errors="backslashreplace").decode()


def _mask(
    _logger: Any, _name: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Hide what is called a secret, whoever logged it."""
    for name, value in fields.items():
        fields[name] = _masked(name, value)
    return fields


def _masked(name: object, value: Any) -> Any:
    if _SECRET.search(str(name)):
        return "***"
    match value:
        case dict():
            return {key: _masked(key, each) for key, each in value.items()}
        case (str() | bytes() as key, _):  # a header, as HTTP and Kafka have them
            text = key.decode(errors="replace") if isinstance(key, bytes) else key
            return (key, _masked(text, value[1]))
        case list() | tuple():
            return [_masked("", each) for each in value]
        case _:
            return value


def report_end(
    partition: int, group: BaseExceptionGroup[Exception], delay: timedelta
) -> None:
    """Log why a life ended; what Kafka did is expected, anything else is a bug."""
    expected, bugs = group.split(StoreError)
    known = [str(each) for each in leaves(expected)] if expected else []
    structlog.get_logger().log(
        40 if bugs else 30,
        "a partition's life ended, it is restored again",
        about=f"{partition} {known} {bugs!r}",
        partition=partition,
        errors=known,
        delay_seconds=round(delay.total_seconds(), 1),
        exc_info=bugs,
    )


def trace(exc: BaseException) -> list[str]:
    """
    Return where an error was raised, the innermost last, and what led to it.

    Without what it says: that may quote a record. Of a file only its last two parts.
    """
    frames = [
        f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(exc.__traceback__)[-_FRAMES:]
    ]
    before = exc.__cause__ or exc.__context__
    led = [] if before is None else [*trace(before), type(before).__qualname__]
    return [*led, *frames]


def leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """Yield the errors in a group and in the groups in it."""
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from leaves(each)
        else:
            yield each
