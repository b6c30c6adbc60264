"""How often: a bucket whose limit changes, and what Jet denied again and again."""

from jetworker.core.polling import Denied, denied_again
from jetworker.core.rate import Bucket


def test_the_same_limit_changes_nothing() -> None:
    full = Bucket.full(20, 0)

    assert full.limited(20, 5) is full


def test_a_bucket_under_a_smaller_limit_holds_no_larger_burst() -> None:
    assert Bucket.full(20, 0).limited(4, 1) == Bucket(4, 4, 2, 1)


def test_a_bucket_that_was_slowed_stays_slow_under_another_limit() -> None:
    slowed = Bucket.full(20, 0).slowed(0)

    under = slowed.limited(40, 0)

    assert (under.limit, under.rate) == (40, 20)


def test_a_row_of_denials_grows_with_each() -> None:
    first = denied_again(None, 10)
    second = denied_again(first, 40)

    assert (first, second) == (Denied(10, 10), Denied(10, 40, 2))
    assert second.lasted == 30


def test_a_long_silence_begins_a_row_anew() -> None:
    assert denied_again(Denied(10, 40, 2), 1000) == Denied(1000, 1000)
