"""What a large fleet asks Jet is planned with arithmetic that its followers bear out."""

import pytest

from tests.benchmark.fleet import Fleet, made

NEAR = 0.25  # of what the arithmetic says


def is_near(found: float, said: float) -> bool:
    return abs(found - said) <= NEAR * said


@pytest.mark.parametrize(
    "fleet",
    [
        Fleet(workers=3, jobs=3, open=180, seconds=300, poll=30),
        pytest.param(Fleet(), marks=pytest.mark.nightly, id="20 workers, 20,000 open"),
    ],
)
@pytest.mark.timeout(1800)
def test_followers_ask_as_often_as_the_arithmetic_says(fleet: Fleet) -> None:
    found = made(fleet)

    listings, questions = (
        found[each] / fleet.seconds for each in ("listings", "questions")
    )
    assert is_near(listings, fleet.listings()), (listings, fleet.listings())
    assert is_near(questions, fleet.questions()), (questions, fleet.questions())
