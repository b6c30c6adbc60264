"""A frozen value with other fields is what the library would have made."""

from dataclasses import replace as library

import pytest

from jetworker.core.delivery import State
from jetworker.core.frozen import replace
from jetworker.core.polling import Told
from tests.support.builders import a_delivery


def test_a_copy_is_the_library_s_and_leaves_what_it_was_made_of_as_it_was() -> None:
    before = a_delivery(State.STARTED)
    same = a_delivery(State.STARTED)

    after = replace(before, sequence=7, reason=None, objects=())

    assert after == library(before, sequence=7, reason=None, objects=())
    assert type(after) is type(before)
    assert before == same


def test_each_class_keeps_its_own_fields() -> None:
    told = replace(Told(), delivery_at=2.0)

    assert told == Told(2.0)
    assert replace(told, has_run_back=True) == Told(2.0, has_run_back=True)


def test_what_is_no_field_is_an_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        replace(Told(), nowhere=1)  # type: ignore[call-arg]
