"""The small decisions: reception, refusals, pace, budget, memory, paths, listings."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetworker.core.admission import Accept, Apply, Duplicate, Known, admit
from jetworker.core.command import (
    Cancel,
    CommandId,
    DeliveryId,
    JobId,
    ObjectSpec,
    Reject,
    Rejection,
    Resolution,
    Resolve,
    RouteName,
    TransferId,
)
from jetworker.core.delivery import (
    Delivery,
    ReasonCode,
    State,
    Terms,
    Transfer,
)
from jetworker.core.finished import Brief, DedupeIndex, Newest, Remembered, finish
from jetworker.core.observation import (
    JetDelivery,
    JetTransfer,
    StartAccepted,
    StartAnswer,
    StartAnswered,
    StartLost,
    StartNotSent,
)
from jetworker.core.polling import (
    Pace,
    Speed,
    Told,
    estimate,
    in_order,
    measure,
    of_answer,
    of_listing,
    spread,
)
from jetworker.core.progress import unfinished
from jetworker.core.rate import Backoff, Bucket
from jetworker.core.route import Route, path_allowed
from jetworker.core.start_answer import AskJob, RenewToken, StartMeaning, meaning
from jetworker.core.transitions import Effect, effect_of
from jetworker.core.trigger import (
    Blocked,
    Deferred,
    Lost,
    Refused,
    StartConfirmed,
    StatusObserved,
)
from tests.support.builders import (
    DELIVERY,
    JOB,
    NOW,
    SECOND,
    a_delivery,
    a_jet_delivery,
    a_jet_transfer,
    a_progress,
    a_send,
)

ROUTE = Route(RouteName("archive"), job_id=JobId("j"))
ID = CommandId("c-1")
ENDED = Remembered(b"01234567", State.COMPLETED, NOW, DELIVERY)


def test_a_new_command_is_accepted() -> None:
    send = a_send()

    assert admit(send, None, ROUTE, NOW) == Accept(send)


def test_the_same_command_again_is_a_duplicate_whatever_the_route_says() -> None:
    late = a_send(expires_at=NOW - SECOND)
    open_one = a_delivery(State.HELD, published=State.UNCERTAIN)

    assert admit(late, open_one, None, NOW) == Duplicate(ID, State.UNCERTAIN, None)
    assert admit(late, ENDED, None, NOW) == Duplicate(ID, State.COMPLETED, DELIVERY)


@pytest.mark.parametrize(
    ("command", "known", "route", "reason"),
    [
        (a_send(fingerprint=b"x" * 16), ENDED, ROUTE, Rejection.CONFLICT),
        (a_send(fingerprint=b"x" * 16), a_delivery(), ROUTE, Rejection.CONFLICT),
        (a_send(expires_at=NOW), None, ROUTE, Rejection.EXPIRED),
        (a_send(), None, None, Rejection.UNKNOWN_ROUTE),
        (
            a_send(),
            None,
            replace(ROUTE, allowed_paths=("/in/",)),
            Rejection.PATH_NOT_ALLOWED,
        ),
        (Cancel(ID), None, None, Rejection.UNKNOWN_COMMAND),
        (Resolve(ID, Resolution.RESEND), None, None, Rejection.UNKNOWN_COMMAND),
        (Cancel(ID), ENDED, None, Rejection.NOT_CANCELLABLE),
        (Cancel(ID), a_delivery(State.HELD), None, Rejection.NOT_CANCELLABLE),
        (
            Cancel(ID),
            a_delivery(State.WAITING, attempt=1),
            None,
            Rejection.NOT_CANCELLABLE,
        ),
        (Resolve(ID, Resolution.RESEND), ENDED, None, Rejection.NOT_HELD),
        (
            Resolve(ID, Resolution.RESEND),
            a_delivery(State.UNCERTAIN),
            None,
            Rejection.NOT_HELD,
        ),
    ],
)
def test_what_cannot_be_done_is_rejected_with_its_reason(
    command: Cancel | Resolve, known: Known, route: Route | None, reason: Rejection
) -> None:
    judged = admit(command, known, route, NOW)

    assert isinstance(judged, Reject)
    assert judged.reason is reason
    assert judged.command_id == ID


def test_a_path_that_is_not_allowed_is_named_by_its_place() -> None:
    objects = (ObjectSpec("/in/a"), ObjectSpec("/out/b"))
    route = replace(ROUTE, allowed_paths=("/in/",))

    judged = admit(a_send(objects=objects), None, route, NOW)

    assert isinstance(judged, Reject)
    told = "objects/1/relativePath: is not below the route's allowed_paths"
    assert (judged.message, judged.problems) == (
        told,
        (("/objects/1/relativePath", told),),
    )


def test_an_order_for_an_unknown_id_is_told_which_key_it_needs() -> None:
    judged = admit(Cancel(ID), None, None, NOW)

    assert isinstance(judged, Reject)
    assert "with the key of its command" in judged.message


def test_orders_that_fit_are_carried_out() -> None:
    cancel, resolve = Cancel(ID), Resolve(ID, Resolution.ABANDON)

    assert admit(cancel, a_delivery(State.WAITING), None, NOW) == Apply(cancel)
    assert admit(resolve, a_delivery(State.HELD), None, NOW) == Apply(resolve)


def test_what_is_held_for_a_defect_is_bound_to_its_own_delivery() -> None:
    held = a_delivery(State.HELD, delivery_id=DELIVERY, intent=None)

    def answer(action: Resolution, delivery_id: DeliveryId | None = None) -> object:
        order = Resolve(CommandId("c-1"), action, delivery_id)
        return admit(order, held, None, NOW)

    own = answer(Resolution.ADOPT, DELIVERY)
    other = answer(Resolution.ADOPT, DeliveryId("other"))
    assert isinstance(own, Apply)
    assert isinstance(other, Reject)
    assert other.reason is Rejection.NOT_ADOPTABLE
    assert isinstance(answer(Resolution.RESEND), Reject)
    assert isinstance(answer(Resolution.ABANDON), Apply)
    held = replace(held, delivery_id=None)
    assert isinstance(answer(Resolution.RESEND), Apply)


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (StartAccepted(DELIVERY), StartConfirmed(DELIVERY)),
        (StartNotSent("x"), Deferred(Blocked(ReasonCode.JET_UNAVAILABLE, "x"))),
        (StartLost("x"), Lost("x")),
        (StartAnswered(401, ""), RenewToken()),
        (
            StartAnswered(429, ""),
            Deferred(
                Blocked(ReasonCode.JET_UNAVAILABLE, "Jet says: too many requests")
            ),
        ),
        (StartAnswered(400, "m"), AskJob(400, "m")),
        (StartAnswered(404, "m"), AskJob(404, "m")),
        (
            StartAnswered(422, "m"),
            Refused(ReasonCode.REJECTED_BY_JET, "Jet said 422: m"),
        ),
        (StartAnswered(401, "", is_jets=False), RenewToken(is_jets=False)),
    ],
)
def test_an_answer_to_a_start_means_one_thing(
    answer: StartAnswer, means: StartMeaning
) -> None:
    assert meaning(answer) == means


@pytest.mark.parametrize("status", [100, 302, 307, 408, 409, 418, 500, 502, 503, 504])
def test_whatever_is_not_plainly_refused_is_unknown(status: int) -> None:
    assert isinstance(meaning(StartAnswered(status, "")), Lost)


@pytest.mark.parametrize("status", sorted({*range(400, 500)} - {401, 408, 409}))
def test_a_refusal_that_is_not_jet_s_own_word_decides_nothing(status: int) -> None:
    answer = StartAnswered(status, "default backend - 404", is_jets=False)

    said = f"something in front of Jet answered {status}: default backend - 404"
    assert meaning(answer) == Deferred(Blocked(ReasonCode.JET_UNAVAILABLE, said))


@pytest.mark.parametrize("status", [408, 409, 500, 502])
def test_what_may_have_been_applied_is_unknown_whoever_says_so(status: int) -> None:
    assert isinstance(meaning(StartAnswered(status, "", is_jets=False)), Lost)


@given(st.integers(-5, 10**6), st.floats(0, 0.999))
def test_a_back_off_stays_between_floor_and_ceiling(
    failures: int, jitter: float
) -> None:
    backoff = Backoff(SECOND, 60 * SECOND)

    assert SECOND <= backoff.delay(failures, jitter) <= 60 * SECOND


def test_questions_grow_rarer_with_age_and_closer_towards_the_end() -> None:
    pace = Pace(2 * SECOND, 60 * SECOND)

    assert pace.first(0) == SECOND
    assert pace.next(1, None) == 2
    assert pace.next(9 * 3600, None) == 60
    assert pace.next(9 * 3600, 20) == 10
    assert pace.next(9 * 3600, 0) == 2
    assert [spread(2, each) for each in (0, 1)] == [1.8, 2]


def test_the_bucket_gives_its_rate_and_gives_way() -> None:
    full = Bucket.full(20, 0)
    empty = replace(full, tokens=0.0)
    slow = full.slowed(10)

    assert full.taken().tokens == full.tokens - 1
    assert empty.refilled(0.5).tokens == 10
    assert empty.wait == pytest.approx(0.05)
    assert (slow.rate, slow.tokens) == (10, 0)
    assert slow.slowed(10.5) == slow
    assert slow.slowed(12).rate == 5
    assert slow.refilled(11).rate == pytest.approx(10.4)
    assert slow.refilled(1000).rate == 20


def test_the_finished_are_remembered_in_few_bytes_and_forgotten_in_order() -> None:
    memory = DedupeIndex()
    uuid = DeliveryId("b0dea3b2-0000-4000-8000-000000000002")
    for number, delivery_id in enumerate(
        (uuid, DeliveryId("odd"), None, DeliveryId(uuid.upper()))
    ):
        delivery = a_delivery(
            State.COMPLETED,
            command_id=CommandId(f"c-{number}"),
            delivery_id=delivery_id,
            finished_at=NOW + number * SECOND,
        )
        memory.add(finish(delivery))

    ids = [memory.get(CommandId(f"c-{n}")) for n in range(4)]
    assert [r.delivery_id for r in ids if r] == [uuid, "odd", None, uuid.upper()]
    assert memory.get(CommandId("?")) is None
    assert len(memory) == 4
    assert list(memory.expired(NOW + 61 * SECOND, 60 * SECOND)) == ["c-0", "c-1"]
    assert list(memory.expired(NOW + 99 * SECOND, 60 * SECOND))[-1] == "c-3"
    memory.forget(CommandId("c-0"))
    assert memory.get(CommandId("c-0")) is None


def test_an_id_is_remembered_for_all_of_the_window() -> None:
    """Memory has whole seconds: a part of one must not be missing in the end."""
    memory = DedupeIndex()
    ended = NOW.replace(microsecond=999_000)
    memory.add(finish(a_delivery(State.COMPLETED, finished_at=ended)))

    assert list(memory.expired(ended + 0.9 * SECOND, SECOND)) == []
    assert len(list(memory.expired(ended + 2 * SECOND, SECOND))) == 1


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
@pytest.mark.parametrize("delivery_id", [None, DELIVERY])
@pytest.mark.parametrize("told_on", [None, 0, 7, 2**31 - 1])
def test_where_the_row_of_an_ended_one_is_is_remembered(
    state: State, delivery_id: DeliveryId | None, told_on: int | None
) -> None:
    delivery = a_delivery(state, delivery_id=delivery_id, finished_at=NOW)
    memory, restored = DedupeIndex(), DedupeIndex()
    ended = replace(finish(delivery), told_on=told_on)
    kept_at, seconds = (ended.delivery_id, told_on), NOW.timestamp()
    ids = ended.command_id, ended.fingerprint

    memory.add(ended)
    restored.recall(Brief(*ids, state, seconds, *kept_at, JOB, None, is_doubted=False))

    kept = memory.get(delivery.command_id)
    assert restored.get(delivery.command_id) == kept
    assert kept is not None
    assert (kept.state, kept.delivery_id) == (state, delivery_id)
    assert kept.told_on == told_on


def test_the_newest_of_each_job_are_kept_in_whatever_order_they_come() -> None:
    newest, other = Newest(3), JobId("other")
    for number in (*range(40), *reversed(range(40, 80))):
        newest.add(JOB, number, CommandId(f"c-{number}"), b"%d" % number)
    newest.add(other, 7, CommandId("o"), b"the only one")

    assert list(newest) == [
        (CommandId("c-79"), b"79"),
        (CommandId("c-78"), b"78"),
        (CommandId("c-77"), b"77"),
        (CommandId("o"), b"the only one"),
    ]


def test_the_same_content_is_recognised_by_its_fingerprint() -> None:
    assert ENDED.is_same(b"0123456789abcdef")
    assert not ENDED.is_same(b"x" * 16)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/ingest", True),
        ("/ingest/a/b", True),
        ("/ingest2", False),
        ("/", False),
        ("/other", False),
    ],
)
def test_allowed_paths_are_whole_segments(path: str, allowed: bool) -> None:
    for prefix in ("/ingest", "/ingest/"):
        assert path_allowed(path, (prefix,)) is allowed
    assert path_allowed(path, ())
    assert path_allowed(path, ("/",))


def test_every_state_has_an_effect() -> None:
    effects = {state: effect_of(a_delivery(state)) for state in State}

    assert effects[State.CLEARED] is Effect.QUEUE_START
    assert effects[State.STARTING] is Effect.SEND_START
    assert effects[State.HELD] is Effect.LOOK_UP
    assert effects[State.IN_PROGRESS] is Effect.FOLLOW
    assert effects[State.CANCELLED] is Effect.RETIRE


def test_a_delivery_is_open_from_its_first_intent_to_its_end() -> None:
    open_states = {state for state in State if state.is_open}

    assert open_states == {
        State.CLEARED,
        State.STARTING,
        State.UNCERTAIN,
        State.HELD,
        State.STARTED,
        State.IN_PROGRESS,
    }


def test_the_deadline_runs_from_started() -> None:
    terms = Terms(deadline=60 * SECOND)
    endless = Terms(deadline=timedelta.max)

    assert a_delivery(State.STARTED, terms=terms).deadline_at == NOW + 60 * SECOND
    assert a_delivery(State.STARTED, terms=endless).deadline_at is None
    assert a_delivery(State.STARTED).deadline_at is None
    assert a_delivery(State.WAITING, terms=terms).deadline_at is None


def test_the_end_is_estimated_from_the_rate() -> None:
    delivery = a_delivery(State.IN_PROGRESS)
    once = measure(Speed(), delivery, a_progress(size=20), 10.0)
    twice = measure(once, delivery, a_progress(size=60), 12.0)
    still = measure(twice, delivery, a_progress(size=60), 13.0)

    assert once.remaining(10) is None
    assert twice.remaining(12) == 2
    assert twice.remaining(20) == 0
    assert still.rate == 20
    assert measure(Speed(), delivery, None, 1.0).left == 100
    assert twice.age(5, 2) == 25


def test_a_listing_counts_the_transfers_it_shows() -> None:
    moving = replace(a_jet_transfer(), progress=a_progress(size=40))
    unsized = a_delivery(
        State.IN_PROGRESS, requested=replace(a_delivery().requested, bytes=None)
    )

    seen = estimate(Speed(), unsized, (moving, a_jet_transfer("t-2")), 5.0)

    assert (seen.moved, seen.left, seen.listed_at) == (40, None, 5.0)


def running(**changes: object) -> Delivery:
    known = Transfer(TransferId("t-0"), "COMPLETED", progress=a_progress(size=30))
    return a_delivery(
        State.IN_PROGRESS, jet_state="IN_PROGRESS", transfers=(known,), **changes
    )


def listed(size: int) -> tuple[JetTransfer, ...]:
    return (replace(a_jet_transfer(), progress=a_progress(size=size)),)


def test_a_listing_tells_the_sum_of_a_delivery_s_transfers() -> None:
    seen = of_listing(Told(), running(), listed(40))[1]

    assert seen.delivery is not None
    assert seen.delivery.progress is not None
    assert seen.delivery.progress.transferred.bytes == 70
    assert seen.delivery.transfer_ids == ("t-0",)


def test_a_listing_never_takes_back_what_jet_itself_counted() -> None:
    ahead = a_progress(size=90)

    seen = of_listing(Told(), running(progress=ahead), listed(40))[1]

    assert seen.delivery is not None
    assert seen.delivery.progress == ahead


def test_a_listing_says_that_a_delivery_runs_unless_jet_has_a_word_of_its_own() -> None:
    queued = a_delivery(State.STARTED, jet_state="QUEUED")
    odd = a_delivery(State.IN_PROGRESS, jet_state="PONDERING")

    seen = of_listing(Told(), queued, listed(1))[1].delivery
    assert seen is not None
    assert seen.state == "IN_PROGRESS"
    assert of_listing(Told(), odd, listed(1))[1] == StatusObserved(None, listed(1))


def an_answer(at: float, size: int | None = 1) -> JetDelivery:
    progress = None if size is None else a_progress(size=size)
    return replace(a_jet_delivery(), asked_at=at, progress=progress)


def a_transfer_at(at: float, name: str = "t-1") -> JetTransfer:
    return replace(a_jet_transfer(name), asked_at=at)


def test_what_was_asked_before_the_last_answer_told_had_come_is_dropped() -> None:
    first = StatusObserved(an_answer(1.0), (a_transfer_at(1.0),))
    told, all_of_it = in_order(Told(), first, 2.0)
    older = StatusObserved(an_answer(0.9), (a_transfer_at(0.9),))
    beside = StatusObserved(an_answer(1.9), (a_transfer_at(1.9),))
    after = StatusObserved(an_answer(2.0), (a_transfer_at(2.0),))

    assert all_of_it == first
    assert in_order(told, older, 3.0) == (told, None)
    assert in_order(told, beside, 3.0) == (told, None)
    assert in_order(told, after, 3.0)[1] == after


def test_each_transfer_and_the_delivery_itself_have_an_order_of_their_own() -> None:
    told, _ = in_order(Told(), StatusObserved(an_answer(1.0)), 2.0)
    told, _ = in_order(told, StatusObserved(None, (a_transfer_at(2.0),)), 3.0)
    seen = StatusObserved(
        an_answer(1.0), (a_transfer_at(2.5), a_transfer_at(1.0, "t-2"))
    )

    after, rest = in_order(told, seen, 4.0)
    later = StatusObserved(an_answer(2.5), (a_transfer_at(2.5),))

    assert rest == StatusObserved(None, (a_transfer_at(1.0, "t-2"),))
    assert after.transfers_at == {"t-1": 3.0, "t-2": 4.0}
    assert in_order(after, later, 5.0)[1] == StatusObserved(an_answer(2.5))


def test_counts_that_jet_itself_takes_back_are_told_and_a_lag_is_not() -> None:
    told, _ = of_answer(Told(), running(), an_answer(1.0, 50))
    summed = running(progress=a_progress(size=70))

    lagging, lag = of_answer(told, summed, an_answer(2.0, 60))
    back, again = of_answer(lagging, summed, an_answer(3.0, 20))
    still, throttled = of_answer(back, summed, an_answer(4.0, 30))
    over, caught_up = of_answer(still, summed, an_answer(5.0, 75))

    answers = (lag, again, throttled, caught_up)
    assert [seen.is_back for seen in answers] == [False, True, True, False]
    assert not over.has_run_back
    assert of_answer(over, summed, an_answer(6.0, None))[0].own == a_progress(size=75)


def test_a_transfer_that_begins_anew_takes_the_sum_back() -> None:
    known = Transfer(TransferId("t-1"), "IN_PROGRESS", progress=a_progress(size=40))
    delivery = a_delivery(
        State.IN_PROGRESS,
        jet_state="IN_PROGRESS",
        transfers=(known,),
        progress=a_progress(size=40),
    )

    told, seen = of_listing(Told(), delivery, listed(10))

    assert seen.is_back
    assert told.has_run_back
    assert seen.delivery is not None
    assert seen.delivery.progress == a_progress(size=10)


YEAR = 365 * 86400


def test_an_estimate_that_no_clock_reaches_is_bounded() -> None:
    """A huge file that has hardly begun."""
    huge = replace(a_delivery().requested, bytes=2**53 - 1)
    delivery = a_delivery(State.IN_PROGRESS, requested=huge)
    once = measure(Speed(), delivery, a_progress(size=0), 1.0)
    slow = measure(once, delivery, a_progress(size=1), 1e9)

    assert slow.remaining(1e9) == YEAR
    assert Speed(1.0, 1, 2**53 - 1, 5e-324).remaining(1.0) == YEAR
    assert Speed().age(1e300, 10**9) == YEAR + 600


def test_a_sum_of_many_is_a_number_that_every_reader_can_hold() -> None:
    most = 2**53 - 1
    transfers = tuple(
        replace(a_jet_transfer(f"t-{n}"), progress=a_progress(most, most, most))
        for n in range(1100)
    )

    seen = of_listing(Told(), running(), transfers)[1].delivery

    assert seen is not None
    assert seen.progress == a_progress(most, most, failed=most)


def test_transfers_whose_end_is_to_come_are_named() -> None:
    open_one = Transfer(TransferId("t-1"), "IN_PROGRESS")
    delivery = replace(running(), transfers=(*running().transfers, open_one))

    assert unfinished(delivery) == ("t-1",)
