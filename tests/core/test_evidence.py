"""What a job shows of contents is worth what its known deliveries say it is (R6)."""

from dataclasses import replace

import pytest

from jetworker.core.command import CommandId, DeliveryId, ObjectSpec
from jetworker.core.evidence import (
    Asked,
    Form,
    Learned,
    Lesson,
    Reading,
    Shown,
    files_tell,
    learn,
    path_hash,
    shows_another,
)
from jetworker.core.post import Post, Window, contents_of, plain, sample_of
from tests.support.builders import NOW

ROOT = "https://store.example/bucket"
PLAIN = frozenset({Form(Reading.RAW, ROOT), Form(Reading.UNESCAPED, ROOT)})


def lesson(
    *paths: str,
    shown: tuple[str, ...] | None = None,
    size: int | None = 5,
    moved: int | None = None,
    command: bytes = b"1",
    folders: bool = False,
) -> Lesson:
    objects = tuple(ObjectSpec(path, size) for path in paths)
    contents = contents_of(objects)
    asked = Asked(contents.count, contents.size, sample_of(objects), command, folders)
    urls = tuple(ROOT + path for path in paths) if shown is None else shown
    return Lesson(
        asked,
        Shown(
            DeliveryId("d"),
            "COMPLETED",
            count=len(paths),
            size=moved or contents.size or 0,
            files=frozenset(urls),
        ),
    )


def deep(number: int, **changes: object) -> Lesson:
    return lesson(f"/show/{number}.mov", **changes)  # type: ignore[arg-type]  # as above


def post(*paths: str, folders: tuple[str, ...] = ()) -> Post:
    files = tuple(ObjectSpec(path, 5) for path in paths)
    below = tuple(ObjectSpec(path, is_directory=True) for path in folders)
    return Post(
        CommandId("c-1"),
        1,
        Window(NOW, NOW),
        contents_of((*files, *below)),
        frozenset(map(plain, paths)),
        frozenset(map(plain, folders)),
    )


def shown(*paths: str, **changes: object) -> Shown:
    urls = frozenset(ROOT + path for path in paths)
    return replace(Shown(DeliveryId("x"), "COMPLETED", files=urls), **changes)  # type: ignore[arg-type]


def test_three_that_show_a_folder_teach_what_comes_before_a_path() -> None:
    assert learn(deep(n) for n in range(3)).forms == PLAIN


def test_flat_paths_teach_nothing_by_themselves_and_are_held_against_the_others() -> (
    None
):
    """A form that drops folders looks right on `/a.mov`."""
    flat = [lesson(f"/{n}.mov") for n in range(3)]

    assert learn(flat).forms == frozenset()
    assert learn([*flat, *(deep(n) for n in range(3))]).forms == PLAIN


@pytest.mark.parametrize(
    "odd",
    [
        deep(9, shown=(f"{ROOT}/9.mov",)),
        deep(9, shown=("https://elsewhere/show/9.mov",)),
        deep(9, shown=(f"{ROOT}/show/9.mov", f"{ROOT}/show/10.mov")),
        deep(9, shown=(f"{ROOT}/show/something-else.mov",)),
        lesson("/show/1.mov", "/show/2.mov", shown=(f"{ROOT}/show/1.mov",)),
        lesson("/9.mov", shown=(f"{ROOT}/show/9.mov",)),
    ],
    ids=["folders dropped", "root", "more", "names", "the first only", "folders added"],
)
def test_one_that_does_not_fit_spoils_the_form_for_the_job(odd: Lesson) -> None:
    assert learn([*(deep(n) for n in range(5)), odd]).forms == frozenset()


def test_one_that_shows_no_files_or_failed_or_asked_for_folders_spoils_nothing() -> (
    None
):
    silent = deep(7, shown=())
    failed = replace(deep(8), shown=replace(deep(8).shown, failed=1, files=frozenset()))
    folders = deep(9, shown=(f"{ROOT}/any",), folders=True)

    assert learn([*(deep(n) for n in range(3)), silent, failed, folders]).forms == PLAIN


def test_names_are_read_as_storage_writes_them_and_plus_as_a_blank_last() -> None:
    names = ["/s/take #2.mov", "/s/a%20b.mov", "/s/what?.mov"]
    raw = [lesson(name) for name in names]
    escaped = [
        lesson(f"/s/{n} x.mov", shown=(f"{ROOT}/s/{n}%20x.mov",)) for n in range(3)
    ]
    plus = [lesson(f"/s/{n} x.mov", shown=(f"{ROOT}/s/{n}+x.mov",)) for n in range(3)]

    assert learn(raw).forms == {Form(Reading.RAW, ROOT)}
    assert learn(escaped).forms == {Form(Reading.UNESCAPED, ROOT)}
    assert learn(plus).forms == {Form(Reading.BLANKS_ARE_PLUS, ROOT)}


def test_an_accent_may_be_written_in_two_ways() -> None:
    lessons = [
        lesson(f"/s/e\u0301{n}.mov", shown=(f"{ROOT}/s/\u00e9{n}.mov",))
        for n in range(3)
    ]

    assert learn(lessons).forms == PLAIN


def test_a_storage_that_shows_paths_alone_has_no_root() -> None:
    lessons = [lesson(f"/show/{n}.mov", shown=(f"show/{n}.mov",)) for n in range(3)]

    assert learn(lessons).forms == {
        Form(Reading.RAW, ""),
        Form(Reading.UNESCAPED, ""),
    }


def test_sizes_tell_where_ten_show_what_was_asked_for_and_no_two_the_same() -> None:
    ten = [lesson(f"/{n}", size=n, command=b"%d" % n) for n in range(1, 11)]

    assert learn(ten).sizes_tell
    assert not learn(ten[:9]).sizes_tell
    assert not learn([*ten, lesson("/x", size=11, moved=12)]).sizes_tell
    assert not learn([*ten, lesson("/x", size=3, command=b"x")]).sizes_tell
    assert learn([*ten, lesson("/3", size=3, command=b"3")]).sizes_tell
    assert learn([*ten, lesson("/unsized", size=None)]).sizes_tell


def test_files_hash_like_what_was_asked_for_only_in_the_form_of_the_job() -> None:
    ours = post("/show/a", "/b").contents.paths_hash
    form = Form(Reading.RAW, ROOT)

    assert path_hash(shown("/b", "/show/a"), form) == ours
    assert path_hash(shown("/show/a"), form) != ours
    assert path_hash(shown("/show/a", "/c"), form) != ours
    assert path_hash(shown("/show/a", "/b"), Form(Reading.RAW, "x://y")) is None


def test_another_file_is_one_that_was_not_asked_for_in_any_form() -> None:
    ours = post("/show/a", "/b", folders=("/all",))

    assert not shows_another(shown("/b"), ours, PLAIN)
    assert not shows_another(shown("/all/x/y", "/all"), ours, PLAIN)
    assert shows_another(shown("/b", "/other/b"), ours, PLAIN)
    assert shows_another(shown("/c"), post("/b"), PLAIN)
    assert not shows_another(shown("/other"), ours, frozenset())
    assert not shows_another(shown("/other"), post(folders=("/",)), PLAIN)
    elsewhere = replace(shown(), files=frozenset({"x://y/other"}))
    assert not shows_another(elsewhere, ours, PLAIN)


def test_a_file_of_ours_with_plus_for_its_blank_is_no_other() -> None:
    """What is known of the job has no blank in its names: any reading fits those."""
    ours = post("/show/a b", "/1+1", folders=("/all of it",))
    forms = learn([deep(n) for n in range(3)]).forms

    assert not shows_another(shown("/show/a+b"), ours, forms)
    assert not shows_another(shown("/1+1", "/all+of+it/x"), ours, forms)
    assert shows_another(shown("/show/a+c"), ours, forms)


def test_nor_is_one_that_has_a_plus_of_its_own_beside_the_blank() -> None:
    """Then the one is written %2B, and the other +."""
    ours = post("/1+1 is 2", folders=("/a + b",))
    forms = learn([deep(n) for n in range(3)]).forms

    assert not shows_another(shown("/1%2B1+is+2"), ours, forms)
    assert not shows_another(shown("/a+%2B+b/x"), ours, forms)
    assert shows_another(shown("/1%2B1+is+3"), ours, forms)


def test_what_waits_has_not_begun_unless_something_was_moved_before() -> None:
    """A large delivery is queued more than once."""
    queued = shown(state="QUEUED", count=0, size=0)

    assert queued.has_not_begun
    assert not replace(queued, count=3).has_not_begun
    assert not replace(queued, state="IN_PROGRESS").has_not_begun


def test_what_is_queued_again_after_objects_failed_has_begun() -> None:
    again = Shown(DeliveryId("d"), "QUEUED", count=0, size=0, failed=1)

    assert not again.has_not_begun


def test_only_what_completed_with_nothing_failed_is_whole() -> None:
    assert shown().is_whole
    assert not shown(failed=1).is_whole
    assert not shown(state="FAILED").is_whole
    assert shown(state="FAILED").has_ended


def test_nothing_is_learned_from_nothing() -> None:
    assert learn([]) == Learned()


def test_files_tell_where_the_last_ten_showed_theirs_in_a_form_that_fits_all() -> None:
    ten = [deep(n) for n in range(10)]
    silent, odd = deep(10, shown=()), deep(11, shown=(f"{ROOT}/other.mov",))
    failed = replace(deep(12), shown=replace(ten[0].shown, state="FAILED"))
    flat = [lesson(f"/{n}.mov") for n in range(10)]

    assert files_tell([failed, deep(13, folders=True, shown=()), *ten])
    assert files_tell([*ten, silent])
    assert not files_tell(ten[:9])
    assert not files_tell([silent, *ten])
    assert not files_tell([*ten, odd])
    assert not files_tell(flat)
