"""Logs: every line on stderr is one JSON object, and no secret is in any of them."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
import structlog

from jetworker.runtime.logs import OnceAMinute, held_back

HEAD = "import logging, structlog, warnings; from jetworker.runtime import logs; "
CONFIGURE = "logs.configure({level!r}, {form!r}); log = structlog.get_logger()\n"


def written(code: str, level: str = "INFO", form: str = "json") -> str:
    """Return what *code* writes to stderr, in a process of its own."""
    script = HEAD + CONFIGURE.format(level=level, form=form) + code
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, timeout=60
    )
    assert done.stdout == b""  # results only go there
    return done.stderr.decode()


def lines(code: str, level: str = "INFO") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in written(code, level).splitlines()]
    assert all(line.pop("ts").endswith("Z") for line in found)
    return found


def test_a_line_is_one_object_with_time_level_text_and_fields() -> None:
    assert lines("log.warning('it is late, waiting', seconds=3)") == [
        {"level": "warning", "event": "it is late, waiting", "seconds": 3}
    ]


def test_a_line_break_cannot_forge_a_line() -> None:
    assert len(lines(r"log.info('one\n{}', path='/a\n{\"level\": \"error\"}')")) == 1


@pytest.mark.parametrize(
    "fields",
    [
        "client_secret='hush'",
        "sasl_password='hush'",
        "Authorization='Bearer hush'",
        "access_token='hush'",
        "accessToken='hush'",
        "options={'jet': {'client_secret': 'hush'}}",
        "headers=[('authorization', 'hush'), (b'Authorization', b'hush')]",
        "found=[{'password': 'hush'}]",
    ],
)
def test_what_is_called_a_secret_is_masked_at_any_depth(fields: str) -> None:
    text = written(f"log.info('x', {fields})") + written(
        f"log.info('x', {fields})", form="console"
    )

    assert "hush" not in text
    assert "***" in text


def test_what_only_sounds_like_a_secret_is_told() -> None:
    assert lines("log.info('x', token_expires_in=5, name=('token', 1))") == [
        {"level": "info", "event": "x", "token_expires_in": 5, "name": ["token", "***"]}
    ]


CRASH = """
try:
    local = "hush"
    raise ValueError("boom")
except ValueError:
    {}
"""


@pytest.mark.parametrize(
    "call", ["log.exception('gone')", "logging.getLogger('aiokafka').exception('gone')"]
)
def test_a_traceback_has_no_locals(call: str) -> None:
    (line,) = lines(CRASH.format(call))

    assert (line["event"], line["level"]) == ("gone", "error")
    assert line["exception"][0]["exc_value"] == "boom"
    assert "hush" not in str(line)


def test_the_libraries_warn_in_our_form_and_are_quiet_otherwise() -> None:
    code = """
for name in ("aiokafka.consumer", "httpx", "aiohttp.access", "asyncio"):
    logging.getLogger(name).info("GET https://storage/hush")
    logging.getLogger(name).warning("%s is odd", name)
"""

    assert [line["event"] for line in lines(code, "DEBUG")] == [
        "aiokafka.consumer is odd",
        "httpx is odd",
        "aiohttp.access is odd",
        "asyncio is odd",
    ]


def test_python_s_own_warnings_are_lines_too() -> None:
    (line,) = lines("warnings.warn('old ways')")

    assert line["level"] == "warning"
    assert "old ways" in line["event"]


def test_the_level_holds_for_ours_and_theirs() -> None:
    code = "log.warning('w'); log.error('e'); logging.getLogger('httpx').warning('w')"

    assert [line["event"] for line in lines(code, "ERROR")] == ["e"]


@pytest.mark.parametrize(
    "value", [r"'\udcff'", "2**70", "b'\\xff'", "object()", "{1: {2}}", "float('nan')"]
)
def test_what_json_cannot_hold_is_still_a_line(value: str) -> None:
    (line,) = lines(f"log.info('odd, going on', value={value})")

    assert line["event"] == "odd, going on"
    assert "value" in line


def test_the_console_form_is_for_people() -> None:
    text = written("log.info('it runs', port=1)", form="console")

    assert "it runs" in text
    assert "port=1" in text
    assert "\x1b" not in text  # no colours where there is no terminal


def test_the_same_complaint_about_the_same_thing_comes_once_a_minute() -> None:
    now = 100.0
    once = OnceAMinute(lambda: now)

    def say(event: str, **fields: Any) -> dict[str, Any] | None:
        try:
            return dict(once(None, "warning", {"event": event, **fields}))
        except structlog.DropEvent:
            return None

    first = say("no token", about="token", error="401")
    again = [say("no token", about="token", error="403") for _ in range(3)]
    other = say("no token", about="else"), say("gone", about="token")
    plain = say("no token"), say("no token")
    now += 60
    later = say("no token", about="token", error="401")

    assert first == {"event": "no token", "error": "401"}
    assert again == [None, None, None]
    assert other == ({"event": "no token"}, {"event": "gone"})
    assert plain == ({"event": "no token"}, {"event": "no token"})
    assert later == {"event": "no token", "error": "401", "not_repeated": 3}


def test_a_library_s_complaint_comes_once_a_minute_too() -> None:
    code = """
theirs = logging.getLogger("aiokafka")
for _ in range(5):
    theirs.error("Unable connect to %s", "a:1")
theirs.error("Unable connect to %s", "b:1")
logging.getLogger("aiohttp").error("Unable connect to %s", "a:1")
for word in ("one", "one", "other"):
    theirs.error("failed", exc_info=OSError(word))
theirs.error("%d of them", "not a number")
"""
    said = [json.loads(line) for line in written(code).splitlines() if line[0] == "{"]

    assert [line["event"] for line in said[:5]] == [
        "Unable connect to a:1",
        "Unable connect to b:1",
        "Unable connect to a:1",
        "failed",
        "failed",
    ]


def test_what_was_held_back_of_a_library_is_counted_when_it_comes_again() -> None:
    now = 100.0
    is_let_through = held_back(OnceAMinute(lambda: now))

    def say() -> str | None:
        record = logging.makeLogRecord({"msg": "no %s", "args": ("broker",)})
        return record.getMessage() if is_let_through(record) else None

    first, *again = [say() for _ in range(3)]
    now += 60

    assert (first, again) == ("no broker", [None, None])
    assert say() == "no broker (not repeated: 2)"


def test_complaints_about_very_many_things_do_not_fill_the_memory() -> None:
    once = OnceAMinute(lambda: 0.0)

    said = [
        once(None, "warning", {"event": "x", "about": number}) for number in range(2500)
    ]

    assert said == [{"event": "x"}] * 2500
    assert len(once._said) <= 1000  # noqa: SLF001 -- that is the claim


def test_old_complaints_are_forgotten_before_those_of_this_minute() -> None:
    now = 0.0
    once = OnceAMinute(lambda: now)
    for number in range(999):
        once(None, "warning", {"event": "x", "about": number})
    now += 60
    once(None, "warning", {"event": "no token", "about": "token"})

    once(None, "warning", {"event": "x", "about": "one more than is remembered"})

    with pytest.raises(structlog.DropEvent):
        once(None, "warning", {"event": "no token", "about": "token"})


def test_a_line_that_may_be_repeated_does_not_show_how_that_is_known() -> None:
    code = "for _ in range(5): log.warning('no token', about='token')"

    assert lines(code) == [{"level": "warning", "event": "no token"}]
