"""Numbers and times as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jetworker.wire import times, units


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (104_857_600, "104.9 MB"),
        (5 * 10**12, "5.0 TB"),
        (10**22, "10000.0 EB"),
    ],
)
def test_bytes_are_told_in_the_unit_that_leaves_three_digits(
    number: int, text: str
) -> None:
    assert units.size(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2000, "2,000 files")]
)
def test_one_of_a_kind_is_told_in_the_singular(number: int, text: str) -> None:
    assert units.counted(number, "file") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (90061, "1 d 1 h"),
    ],
)
def test_a_length_of_time_is_told_in_two_units_at_most(
    seconds: float, text: str
) -> None:
    assert units.span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_an_instant_is_told_in_utc_wherever_it_was_read(zone: timezone) -> None:
    moment = datetime(2026, 11, 23, 10, tzinfo=UTC).astimezone(zone)

    assert times.encode(moment) == "2026-11-23T10:00:00.000Z"
