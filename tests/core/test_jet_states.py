"""Jet's words for states: what is over, what runs, and what nobody has told us of."""

import pytest

from jetworker.core.observation import is_final_in_jet, is_known_in_jet


@pytest.mark.parametrize("word", ["COMPLETED", "FAILED", "CANCELLED", "canceled"])
def test_these_mean_that_nothing_comes_after(word: str) -> None:
    assert (is_final_in_jet(word), is_known_in_jet(word)) == (True, True)


@pytest.mark.parametrize("word", ["CREATED", "QUEUED", "SCHEDULED", "in_progress"])
def test_these_mean_that_it_goes_on(word: str) -> None:
    assert (is_final_in_jet(word), is_known_in_jet(word)) == (False, True)


@pytest.mark.parametrize("word", [None, "", "PAUSED", "COMPLETED_WITH_JOY"])
def test_any_other_is_unknown_and_ends_nothing(word: str | None) -> None:
    assert (is_final_in_jet(word), is_known_in_jet(word)) == (False, False)
