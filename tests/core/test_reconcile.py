"""An unknown start: adopted and started again only with proof (R1-R4)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from jetworker.core.command import CommandId, DeliveryId, ObjectSpec
from jetworker.core.delivery import State
from jetworker.core.evidence import Form, Learned, Reading, Shown
from jetworker.core.known import posts_of
from jetworker.core.post import Post, Window, contents_of
from jetworker.core.reconcile import (
    Adopt,
    Candidate,
    Decision,
    JobFacts,
    LookAgain,
    Scene,
    StartAgain,
    contradicts_exclusive,
    decide,
    hashes,
    scene,
    unexplained,
)
from jetworker.core.witness import Missing, Proof, Row
from tests.support.builders import NOW, SECOND, a_delivery

ROOT = "file:///store"
FORMS = frozenset({Form(Reading.RAW, ROOT)})
FILES = JobFacts(learned=Learned(FORMS))
SIZES = JobFacts(learned=Learned(sizes_tell=True))
EXCLUSIVE = JobFacts(is_exclusive=True)
PROVEN = Row(looks=3, has_waiting=True, is_uncut=True)
STATED = Row(stated=3)
WINDOW = Window(NOW, NOW + 30 * SECOND)


def post(
    name: str = "ours",
    *paths: str,
    size: int | None = 5,
    window: Window = WINDOW,
    **changes: Any,
) -> Post:
    files = paths or ("/show/a",)
    made = Post(
        CommandId(name),
        1,
        window,
        contents_of(ObjectSpec(path, size) for path in files),
        frozenset(files),
    )
    return replace(made, **changes)


def folder(name: str = "ours") -> Post:
    contents = contents_of((ObjectSpec("/show", is_directory=True),))
    return post(
        name, contents=contents, paths=frozenset(), folders=frozenset({"/show"})
    )


def ghost(of: Post, **changes: Any) -> Post:
    return replace(of, paths=frozenset(), is_ghost=True, **changes)


def candidate(
    name: str = "x",
    *paths: str,
    at: float | None = 1.0,
    state: str = "COMPLETED",
    count: int | None = 1,
    size: int | None = 5,
    failed: int = 0,
    has_all_files: bool = True,
) -> Candidate:
    shown = Shown(
        DeliveryId(name),
        state,
        None if at is None else NOW + at * SECOND,
        None,
        count,
        size,
        failed,
        frozenset(ROOT + path for path in paths),
        has_all_files,
    )
    return Candidate(DeliveryId(name), shown, NOW + SECOND, hashes(shown, FORMS))


def on(
    *candidates: Candidate,
    posts: Iterable[Post],
    job: JobFacts = FILES,
    wanted: Iterable[str] = (),
) -> Scene:
    return scene(posts, candidates, job, frozenset(map(DeliveryId, wanted)))


def decided(
    *candidates: Candidate,
    ours: Post | None = None,
    others: Iterable[Post] = (),
    job: JobFacts = FILES,
    row: Row = PROVEN,
    wanted: Iterable[str] = (),
) -> Decision:
    mine = ours or post()
    return decide(
        mine, row, on(*candidates, posts=(mine, *others), job=job, wanted=wanted)
    )


def adopted(decision: Decision) -> tuple[str, str] | None:
    if not isinstance(decision, Adopt):
        return None
    return decision.delivery_id, decision.by


def proof(decision: Decision) -> Proof | None:
    return decision.missing.proof if isinstance(decision, LookAgain) else None


def test_r2_absence_that_is_proven_lets_it_be_started_again() -> None:
    assert decided() == StartAgain()


def test_r2_absence_that_is_not_proven_says_which_proof_is_missing() -> None:
    lack = Missing(Proof.FEW_KNOWN, "only 4")

    assert decided(row=Row(lack=lack)) == LookAgain(lack)


def test_r2b_absence_that_is_stated_does_so_only_where_the_route_states_it() -> None:
    complete = JobFacts(is_complete=True)

    assert decided(row=STATED, job=complete) == StartAgain(is_stated=True)
    assert isinstance(decided(row=STATED), LookAgain)


def test_r2b_a_refuted_statement_is_what_is_missing() -> None:
    job = JobFacts(refuted="the route says listing: complete, but b0de is not listed")

    assert decided(row=STATED, job=job) == LookAgain(
        Missing(Proof.REFUTED, str(job.refuted))
    )
    assert proof(decided(candidate(), job=job)) is Proof.REFUTED


def test_r3_1_only_what_was_made_in_the_window_is_in_the_way() -> None:
    before, after = candidate("a", at=-0.001), candidate("b", at=30.001)

    assert decided(before, after) == StartAgain()
    assert proof(decided(candidate(at=0.0))) is Proof.CANDIDATES
    assert proof(decided(candidate(at=30.0))) is Proof.CANDIDATES


def test_r3_2_a_file_that_is_not_ours_puts_a_delivery_that_ended_out_of_the_way() -> (
    None
):
    """Not "other files than ours": one that failed half-way shows only some of ours."""
    ours = post("ours", "/show/a", "/show/b")

    assert decided(candidate("x", "/show/c"), ours=ours) == StartAgain()
    assert decided(candidate("x", "/show/a", "/x"), ours=ours) == StartAgain()
    half = candidate("x", "/show/a", state="FAILED")
    assert proof(decided(half, ours=ours)) is Proof.CANDIDATES
    running = candidate("x", "/show/c", state="IN_PROGRESS")
    assert proof(decided(running, ours=ours)) is Proof.CANDIDATES
    unlearned = decided(candidate("x", "/show/c"), ours=ours, job=JobFacts())
    assert proof(unlearned) is Proof.CANDIDATES


def test_r3_counts_and_bytes_exclude_nothing() -> None:
    large = candidate(count=500, size=10_000)

    assert proof(decided(large)) is Proof.CANDIDATES


def test_r3_what_is_named_and_not_shown_is_in_everybody_s_way() -> None:
    hidden = Candidate(DeliveryId("h"), None, NOW + SECOND)

    decision = decided(hidden)

    assert decision == LookAgain(
        Missing(Proof.NOT_SHOWN, "h is listed and Jet does not show it")
    )
    assert isinstance(decided(candidate(at=None)), LookAgain)


def test_r3_what_was_named_before_the_start_existed_before() -> None:
    hidden = Candidate(DeliveryId("h"), None, NOW - SECOND)

    assert decided(hidden) == StartAgain()


def test_r4_1_exactly_our_files_are_adopted_once_it_has_ended_whole() -> None:
    assert adopted(decided(candidate("x", "/show/a"))) == ("x", "files")
    running = candidate("x", "/show/a", state="IN_PROGRESS")
    failed = candidate("x", "/show/a", failed=1)
    more = candidate("x", "/show/a", "/show/b")
    for each in (running, failed, more):
        assert adopted(decided(each)) is None


def test_r4_1_files_that_are_not_all_of_a_delivery_s_prove_nothing() -> None:
    """A listing that is late or cut shows of somebody's ours and more what is ours."""
    more = candidate("x", "/show/a", count=2, size=10)

    assert proof(decided(more)) is Proof.CANDIDATES
    assert adopted(decided(candidate("x", "/show/a", count=None))) == ("x", "files")


def test_r4_1_where_jet_says_that_there_are_more_files_only_a_count_tells_all() -> None:
    silent = candidate("x", "/show/a", count=None, has_all_files=False)
    counted = candidate("x", "/show/a", has_all_files=False)

    assert proof(decided(silent)) is Proof.CANDIDATES
    assert adopted(decided(counted)) == ("x", "files")


def test_r4_1_two_exactly_ours_and_one_post_are_held() -> None:
    two = candidate("x", "/show/a"), candidate("y", "/show/a", at=2.0)

    assert proof(decided(*two)) is Proof.CANDIDATES


def test_r4_1_part_of_ours_beside_exactly_ours_does_not_hinder() -> None:
    ours = post("ours", "/show/a", "/show/b")
    exact = candidate("x", "/show/a", "/show/b", count=2)
    part = candidate("y", "/show/a", at=2.0)
    two_of_a_rival_s = [part, candidate("z", "/show/a", at=3.0)]

    assert adopted(decided(exact, part, ours=ours)) == ("x", "files")
    rival = post("rival", "/show/a")
    decision = decided(exact, *two_of_a_rival_s, ours=ours, others=[rival])
    assert adopted(decision) == ("x", "files")


def read_in_two_ways(name: str, path: str) -> Candidate:
    forms = FORMS | {Form(Reading.UNESCAPED, ROOT)}
    made = candidate(name, path)
    assert made.shown is not None
    return replace(made, hashes=hashes(made.shown, forms))


def test_r4_1_a_name_with_a_blank_is_ours_where_either_reading_is_possible() -> None:
    """What is known of the job has no blank in its names: any reading fits those."""
    ours = post("ours", "/show/a b")

    found = decided(read_in_two_ways("x", "/show/a%20b"), ours=ours, job=JobFacts())

    assert adopted(found) == ("x", "files")


def test_r4_1_what_is_one_s_in_one_reading_and_another_s_in_another_is_held() -> None:
    one, other = post("one", "/show/a b"), post("other", "/show/a%20b")
    either = read_in_two_ways("x", "/show/a%20b")

    for ours, rival in ((one, other), (other, one), (one, ghost(other))):
        found = decided(either, ours=ours, others=[rival], job=JobFacts())
        assert proof(found) is Proof.RIVAL


def test_r4_1_equal_posts_take_them_in_the_order_of_writing() -> None:
    first, second = post("b"), post("a", window=replace(WINDOW, lo=NOW + SECOND / 2))
    early, late = candidate("x", "/show/a"), candidate("y", "/show/a", at=2.0)

    assert adopted(decided(early, late, ours=first, others=[second])) == ("x", "files")
    assert adopted(decided(early, late, ours=second, others=[first])) == ("y", "files")
    assert adopted(decided(early, ours=first, others=[second])) == ("x", "files")
    assert proof(decided(early, ours=second, others=[first])) is Proof.RIVAL


def test_r4_1_what_one_in_flight_can_have_made_is_left_to_its_answer() -> None:
    """Jet answers another worker late; its delivery has ended meanwhile."""
    during = Window(NOW + 5 * SECOND, NOW + 60 * SECOND)
    sent = post("sent", window=during, is_in_flight=True)
    lost = replace(sent, is_in_flight=False)
    its, before = candidate("x", "/show/a", at=7.0), candidate("y", "/show/a", at=2.0)
    other = post("other", "/show/b", window=during, is_in_flight=True)

    assert proof(decided(its, others=[sent])) is Proof.RIVAL
    assert proof(decided(its, before, others=[sent])) is Proof.CANDIDATES
    assert proof(decided(its, others=[ghost(post("left")), sent])) is Proof.RIVAL
    assert adopted(decided(its, others=[lost])) == ("x", "files")
    assert adopted(decided(before, others=[sent])) == ("y", "files")
    assert adopted(decided(its, others=[other])) == ("x", "files")


def test_a_start_is_in_flight_until_it_is_answered_or_doubted() -> None:
    states = (State.STARTING, State.UNCERTAIN, State.HELD)

    posts = [each for state in states for each in posts_of(a_delivery(state))]

    assert [each.is_in_flight for each in posts] == [True, False, False]


def test_r4_1_a_post_takes_none_from_after_its_window() -> None:
    short = post("a", window=Window(NOW - SECOND, NOW))
    later = candidate("x", "/show/a", at=5.0)

    assert adopted(decided(later, ours=post("b"), others=[short])) == ("x", "files")
    assert decided(later, ours=short, others=[post("b")]) == StartAgain()


def test_r4_1_a_rival_of_other_contents_does_not_hinder_files() -> None:
    rival = post("rival", "/show/a", "/show/b")

    assert adopted(decided(candidate("x", "/show/a"), others=[rival])) == ("x", "files")


def test_r1_a_ghost_takes_its_own_before_anybody_else() -> None:
    abandoned = ghost(post("abandoned", window=replace(WINDOW, lo=NOW - SECOND)))
    mine = candidate("x", "/show/a")

    decision = decided(mine, others=[abandoned])

    assert decision == StartAgain()  # its files say that it is the ghost's
    assert unexplained(on(mine, posts=(post(), abandoned))) == {
        "x": CommandId("abandoned")
    }


def test_r1_a_command_may_be_bound_to_what_an_earlier_attempt_of_it_made() -> None:
    again = post(attempt=2, window=Window(NOW + 10 * SECOND, NOW + 40 * SECOND))
    earlier = ghost(post())
    made = candidate("x", "/show/a")

    decision = decided(made, ours=again, others=[earlier])

    assert decision == Adopt(DeliveryId("x"), NOW + SECOND, earlier, "files")


def test_r1_without_files_a_ghost_is_a_rival_like_any_other() -> None:
    abandoned = ghost(post("abandoned"))
    job = replace(EXCLUSIVE, learned=Learned())

    assert proof(decided(candidate(), others=[abandoned], job=job)) is Proof.RIVAL
    assert adopted(decided(candidate(), job=job)) == ("x", "elimination")


def test_r4_2_count_and_bytes_that_nobody_else_can_have_are_ours() -> None:
    assert adopted(decided(candidate(), job=SIZES)) == ("x", "sizes")


@pytest.mark.parametrize(
    ("shown", "changes"),
    [
        (candidate(size=6), {}),
        (candidate(count=2), {}),
        (candidate(count=None, size=None), {}),
        (candidate(failed=1), {}),
        (candidate(state="IN_PROGRESS"), {}),
        (candidate(at=None), {}),
        (candidate(has_all_files=False), {}),  # they may be there, and not ours
        (replace(candidate("x", "/show/a"), hashes=frozenset()), {}),
        (candidate(), {"job": JobFacts()}),
        (candidate(), {"job": replace(SIZES, sizes=frozenset({(1, 5)}))}),
        (candidate(), {"job": replace(SIZES, sizes=frozenset({(1, None)}))}),
        (candidate(), {"job": replace(SIZES, sizes=frozenset({(None, None)}))}),
        (candidate(), {"ours": post(size=None)}),
        (candidate(), {"ours": folder()}),
        (candidate(), {"others": [post("rival", "/other")]}),
        (candidate(), {"others": [post("rival", "/other", size=None)]}),
        (candidate(), {"others": [folder("rival")]}),
    ],
)
def test_r4_2_anything_less_is_held(shown: Candidate, changes: dict[str, Any]) -> None:
    decision = decided(shown, **({"job": SIZES} | changes))

    assert isinstance(decision, LookAgain)


def test_r4_2_every_other_candidate_must_have_ended_with_other_sizes() -> None:
    other = candidate("y", size=7, at=2.0)
    running = candidate("y", size=7, at=2.0, state="IN_PROGRESS")
    silent = candidate("y", count=None, size=None, at=2.0)

    assert adopted(decided(candidate(), other, job=SIZES)) == ("x", "sizes")
    assert adopted(decided(candidate(), running, job=SIZES)) is None
    assert adopted(decided(candidate(), silent, job=SIZES)) is None
    hidden = Candidate(DeliveryId("h"), None, NOW + SECOND)
    assert adopted(decided(candidate(), hidden, job=SIZES)) is None


def test_r4_2_a_rival_of_other_sizes_or_of_another_time_does_not_hinder() -> None:
    other = post("rival", "/other", size=6)
    before = post("rival", "/other", window=Window(NOW - 9 * SECOND, NOW))

    assert adopted(decided(candidate(), others=[other], job=SIZES)) == ("x", "sizes")
    assert adopted(decided(candidate(), others=[before], job=SIZES)) == ("x", "sizes")


def test_r4_2_an_earlier_attempt_of_the_same_command_is_no_rival() -> None:
    job = SIZES

    assert adopted(decided(candidate(), others=[ghost(post())], job=job)) == (
        "x",
        "sizes",
    )


@pytest.mark.parametrize("state", ["QUEUED", "IN_PROGRESS", "COMPLETED", "FAILED"])
def test_r4_3_on_an_exclusive_job_the_only_one_in_our_window_alone_is_ours(
    state: str,
) -> None:
    running = candidate(state=state, count=500)

    assert adopted(decided(running, job=EXCLUSIVE)) == ("x", "elimination")
    assert adopted(decided(running, ours=folder(), job=EXCLUSIVE)) == (
        "x",
        "elimination",
    )


def test_r4_3_not_what_a_rival_can_have_made_and_not_one_of_two() -> None:
    two = candidate("x"), candidate("y", at=2.0)

    assert proof(decided(candidate(), others=[post("b")], job=EXCLUSIVE)) is Proof.RIVAL
    assert proof(decided(*two, job=EXCLUSIVE)) is Proof.CANDIDATES
    undated = candidate(at=None)
    assert adopted(decided(undated, job=EXCLUSIVE)) is None


def test_r4_3_one_of_two_that_no_rival_can_have_made_is_ours() -> None:
    rival = post("rival", "/other", window=Window(NOW - SECOND, NOW + SECOND))
    both, alone = candidate("x", at=0.5), candidate("y", at=2.0)

    assert adopted(decided(both, alone, others=[rival], job=EXCLUSIVE)) == (
        "y",
        "elimination",
    )


def test_r4_3_one_whose_file_is_not_ours_is_out_of_the_way() -> None:
    job = replace(FILES, is_exclusive=True)

    assert decided(candidate("x", "/show/other"), job=job) == StartAgain()


def test_r4_what_an_operator_wants_for_another_is_not_taken() -> None:
    decision = decided(candidate("x", "/show/a"), wanted=["x"])

    assert proof(decision) is Proof.CANDIDATES


def test_r4_a_second_that_only_we_can_have_made_refutes_exclusive() -> None:
    two = candidate("x"), candidate("y", at=2.0)
    seen = on(*two, posts=[post()], job=EXCLUSIVE)

    assert contradicts_exclusive(post(), seen) == "y"
    assert contradicts_exclusive(post(), on(two[0], posts=[post()])) is None
    attempts = [ghost(post()), post(attempt=2)]
    assert contradicts_exclusive(post(attempt=2), on(*two, posts=attempts)) is None


def test_r4_one_outside_every_window_since_then_refutes_exclusive() -> None:
    outside, before = candidate("x", at=31.0), candidate("y", at=-1.0)

    assert contradicts_exclusive(post(), on(outside, posts=[post()])) == "x"
    assert contradicts_exclusive(post(), on(before, posts=[post()])) is None


def test_r7_nothing_is_settled_where_the_clocks_disagree() -> None:
    job = replace(FILES, do_clocks_agree=False)

    assert proof(decided(job=job)) is Proof.CLOCKS
    assert proof(decided(candidate("x", "/show/a"), job=job)) is Proof.CLOCKS


def test_what_may_be_it_is_named_with_what_jet_shows_and_without_paths() -> None:
    queued = candidate("b0de", at=3.0, state="IN_PROGRESS", count=None)
    ended = candidate("77ac", at=9.0, count=3, size=15)

    decision = decided(queued, ended)

    assert decision == LookAgain(
        Missing(
            Proof.CANDIDATES,
            "2 deliveries may be it: b0de (10:00:03, in progress), 77ac (10:00:09,"
            " completed, 3 files, 15 bytes)",
        )
    )


def test_at_most_five_are_named() -> None:
    decision = decided(*(candidate(f"d{n}", at=n) for n in range(6)))

    assert isinstance(decision, LookAgain)
    assert decision.missing.message.startswith("6 deliveries may be it: d0 (")
    assert decision.missing.message.endswith(", …")


def test_a_refuted_statement_names_the_candidates_too() -> None:
    job = JobFacts(
        refuted="the route says exclusive, but z was started by somebody else"
    )
    hidden = Candidate(DeliveryId("h"), None, NOW + SECOND)

    decision = decided(candidate(at=None, state=""), hidden, job=job)

    assert isinstance(decision, LookAgain)
    assert decision.missing.message == (
        f"{job.refuted}; 2 deliveries may be it: x (, 1 files, 5 bytes), h (not shown)"
    )


def test_a_rival_is_named_for_who_can_resolve_either() -> None:
    decision = decided(candidate("b0de"), others=[post("c-17", "/other")])

    assert decision == LookAgain(
        Missing(
            Proof.RIVAL,
            "b0de may be this one's or that of c-17, which is not settled either:"
            " resolve either",
        )
    )


def test_hundreds_of_equal_posts_and_deliveries_are_dealt_out_in_one_pass() -> None:
    number = 300
    posts = [post(f"c{n:04}") for n in range(number)]
    made = [candidate(f"d{n:04}", "/show/a", at=n / 100) for n in range(number)]

    seen = on(*made, posts=posts)

    assert {each: of.command_id for each, of in seen.taken.items()} == {
        f"d{n:04}": f"c{n:04}" for n in range(number)
    }
