"""A post is told from others by its window and its contents, in few bytes."""

from dataclasses import replace

from jetworker.core.command import CommandId, ObjectSpec
from jetworker.core.delivery import Intent, State
from jetworker.core.finished import finish
from jetworker.core.known import known_delivery, posts_of
from jetworker.core.post import (
    Contents,
    Ghost,
    Post,
    Window,
    contents_of,
    hash_of,
    sample,
    sample_of,
)
from tests.support.builders import DELIVERY, JOB, NOW, SECOND, a_delivery

HOUR = 3600 * SECOND
MINUTES = 600 * SECOND


def test_the_ends_of_a_window_belong_to_it() -> None:
    window = Window(NOW, NOW + SECOND)

    assert window.contains(NOW)
    assert window.contains(NOW + SECOND)
    assert not window.contains(NOW + 2 * SECOND)
    assert not window.contains(NOW - SECOND)


def test_contents_are_equal_for_the_same_paths_however_they_are_ordered_or_written() -> (
    None
):
    one = contents_of((ObjectSpec("/e\u0301.mov", 1), ObjectSpec("/b", 2)))
    other = contents_of((ObjectSpec("/b", 2), ObjectSpec("/\u00e9.mov", 1)))

    assert one == other == Contents(2, 3, False, hash_of(["/b", "/\u00e9.mov"]))


def test_an_object_without_a_size_and_a_folder_may_be_of_any_size() -> None:
    unsized = contents_of((ObjectSpec("/a"),))
    folder = contents_of((ObjectSpec("/a", is_directory=True),))

    assert (unsized.size, folder.size) == (None, None)
    assert folder.folders


def test_the_sample_is_of_a_path_with_a_folder_in_it() -> None:
    flat, deep = ObjectSpec("/a.mov"), ObjectSpec("/show/a.mov")

    assert sample_of((flat, deep)) == sample("/show/a.mov")
    assert sample_of((flat,)) is None


def test_the_window_of_an_intent_begins_before_jets_clock_at_its_writing() -> None:
    intent = Intent(JOB, NOW + HOUR, NOW, hi=NOW + 30 * SECOND)

    assert intent.window == Window(NOW - 3 * SECOND, NOW + 30 * SECOND)


def test_an_intent_of_an_earlier_version_has_a_window_as_wide_as_its_doubt() -> None:
    heard, unheard = Intent(JOB, NOW + HOUR, NOW), Intent(JOB, NOW)

    assert heard.window == Window(NOW - 3 * SECOND, NOW + MINUTES)
    assert unheard.window == Window(NOW - 3 * SECOND - MINUTES, NOW + MINUTES)


def test_what_is_unknown_is_a_post_with_its_ghosts() -> None:
    ghost = Ghost(1, Window(NOW, NOW), contents_of((ObjectSpec("/a.mov", 100),)))
    uncertain = a_delivery(State.UNCERTAIN, attempt=2, posts=(ghost,))
    assert uncertain.intent is not None
    command_id = CommandId("c-1")

    assert posts_of(uncertain) == (
        Post(command_id, 1, ghost.window, ghost.contents, is_ghost=True),
        Post(
            command_id,
            2,
            uncertain.intent.window,
            contents_of(uncertain.objects),
            frozenset({"/a.mov"}),
        ),
    )


def test_of_a_command_that_went_on_only_its_ghosts_are_posts() -> None:
    ghost = Ghost(1, Window(NOW, NOW), contents_of(()))
    waiting = a_delivery(State.CLEARED, posts=(ghost,))
    ended = finish(a_delivery(State.FAILED, posts=(ghost,)))
    left = (Post(CommandId("c-1"), 1, ghost.window, ghost.contents, is_ghost=True),)

    assert posts_of(waiting) == left
    assert posts_of(ended) == left
    assert posts_of(a_delivery(State.UNCERTAIN, intent=None)) == ()


def test_a_bound_delivery_testifies_open_or_ended_with_what_is_kept_of_it() -> None:
    window = Window(NOW, NOW + SECOND)
    running = a_delivery(State.IN_PROGRESS, made_in=window, sample=b"12345678")
    dated = replace(
        running, state=State.COMPLETED, created_on=NOW, ended_on=NOW, finished_at=NOW
    )

    known, ended = known_delivery(running), known_delivery(finish(dated))

    assert known is not None
    assert (known.made_in, known.asked.count, known.asked.size) == (window, 1, 100)
    assert not known.is_whole
    assert ended == replace(
        known, made_in=Window(NOW, NOW), ended_on=NOW, is_whole=True
    )
    assert ended.delivery_id == DELIVERY
    assert known_delivery(a_delivery()) is None
