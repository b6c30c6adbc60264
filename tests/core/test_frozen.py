"""A frozen value with other fields is what the library would have made."""

from dataclasses import replace as library

import pytest

from jetworker.core.command import ObjectSpec
from jetworker.core.delivery import State
from jetworker.core.frozen import of_columns, replace
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


def test_columns_make_what_their_rows_would() -> None:
    paths, sizes, folders = ["/a", "/b"], [1, None], [False, True]

    made = of_columns(ObjectSpec, paths, iter(sizes), folders)

    assert made == [ObjectSpec("/a", 1), ObjectSpec("/b", is_directory=True)]
    assert of_columns(ObjectSpec, [], [], []) == []


def test_a_field_without_a_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="argument"):
        of_columns(ObjectSpec, ["/a"], [1])
