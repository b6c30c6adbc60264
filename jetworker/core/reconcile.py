"""
What an unknown start means, given what Jet has shown (evidence: R1-R4).

Jet has no idempotency key: an unknown start can only be looked up. Presence is a fact,
absence is only a view: a delivery that was seen once exists, one that was not seen may
be hidden. So adoption and absence each need proof, and what is not proven is held and
says which proof is missing. A held command costs an operator a minute; a wrong second
start or a wrong adoption cannot be taken back.

- R1: a post stays a rival until it is bound or proven absent, whatever became of its
  command (`core.post`).
- R2, R2b: absence is believed when the list is proven, or stated, to show what it would
  have to show (`core.witness`),
- R3: and when no candidate is left.
- R4: adoption needs positive proof: by files, by sizes, by elimination.
- R6: what files and sizes are worth is learned on each job (`core.evidence`).
- R7: only Jet's clock decides (`core.jet_clock`).
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from jetworker.core.command import CommandId, DeliveryId
from jetworker.core.evidence import Form, Learned, Shown, path_hash, shows_another
from jetworker.core.post import Contents, Post, Posts, Sizes
from jetworker.core.witness import Missing, Proof, Row

_NAMED = 5  # candidates in a message


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A delivery seen on the job, in any look and anywhere, that is bound to nobody.

    *shown* is None where it is named and Jet does not show it. *hashes* are of its
    paths, in each form that the job has. *first_named* is by Jet's clock.
    """

    delivery_id: DeliveryId
    shown: Shown | None
    first_named: datetime
    hashes: frozenset[bytes] = frozenset()

    @property
    def created_on(self) -> datetime | None:
        """When Jet made it, None if it does not say."""
        return self.shown.created_on if self.shown else None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """
    What is known and stated of a job.

    *sizes* are count and bytes of every known delivery, as far as they are known.
    *refuted* says what contradicts a statement of the route.
    """

    learned: Learned = field(default_factory=Learned)
    is_exclusive: bool = False
    is_complete: bool = False
    do_clocks_agree: bool = True
    sizes: frozenset[Sizes] = frozenset()
    refuted: str | None = None

    def may_know(self, contents: Contents) -> bool:
        """Whether a known delivery may have the same count and bytes."""
        return not contents.like_sizes.isdisjoint(self.sizes)


@dataclass(frozen=True, slots=True)
class Adopt:
    """This delivery is the post's; *by* is the proof: files, sizes or elimination."""

    delivery_id: DeliveryId
    created_on: datetime
    post: Post
    by: str


@dataclass(frozen=True, slots=True)
class StartAgain:
    """Nothing was started: by proof, or because the route states that it would show."""

    is_stated: bool = False


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Not decided; *missing* says why, for when it has to be held."""

    missing: Missing


Decision: TypeAlias = Adopt | StartAgain | LookAgain


@dataclass(frozen=True, slots=True)
class Scene:
    """
    What is on a job: made once a look, for all of its cases.

    *candidates* are those of all looks, by date. *wanted* are for a command that an
    operator named. *taken* is which post each delivery of proven files is; what is
    *spare* has files that a post asked for, and cannot be told to be that one's.
    """

    posts: Posts
    candidates: tuple[Candidate, ...]
    job: JobFacts
    wanted: frozenset[DeliveryId] = frozenset()
    taken: dict[DeliveryId, Post] = field(default_factory=dict)
    spare: frozenset[DeliveryId] = frozenset()
    dates: tuple[datetime, ...] = ()
    undated: tuple[Candidate, ...] = ()

    def in_window(self, post: Post) -> list[Candidate]:
        """Return the candidates that can be a post's by their date (R3.1)."""
        lo, hi = post.window.lo, post.window.hi
        first, last = bisect_left(self.dates, lo), bisect_right(self.dates, hi)
        # What was named before it was sent existed before, shown or not.
        unshown = [each for each in self.undated if each.first_named >= lo]
        return [*self.candidates[first:last], *unshown]


def scene(
    posts: Iterable[Post],
    candidates: Iterable[Candidate],
    job: JobFacts,
    wanted: frozenset[DeliveryId] = frozenset(),
) -> Scene:
    """Put together what is on a job, and give equal posts their deliveries (R4.1)."""
    rivals = Posts(posts)
    found = tuple(candidates)
    dated = sorted(
        (
            (each.created_on, each.delivery_id, each)
            for each in found
            if each.created_on
        ),
        key=lambda each: each[:2],
    )
    in_order = tuple(each for _, _, each in dated)
    taken, spare = _dealt_out(rivals, in_order)
    return Scene(
        posts=rivals,
        candidates=in_order,
        job=job,
        wanted=wanted,
        taken=taken,
        spare=frozenset(spare),
        dates=tuple(at for at, _, _ in dated),
        undated=tuple(each for each in found if each.created_on is None),
    )


def hashes(shown: Shown, forms: frozenset[Form]) -> frozenset[bytes]:
    """
    Return what a candidate's files are asked for by, if it has ended whole.

    And if they are all of its files, as its count says: a listing may be late, or show a
    part of them only. Without a count the listing is believed, unless it says so itself.
    """
    if not shown.is_whole or not shown.files:
        return frozenset()
    if shown.count is None and not shown.has_all_files:
        return frozenset()
    if shown.count not in {None, len(shown.files)}:
        return frozenset()
    found = (path_hash(shown, form) for form in forms)
    return frozenset(each for each in found if each is not None)


def _dealt_out(
    posts: Posts, candidates: tuple[Candidate, ...]
) -> tuple[dict[DeliveryId, Post], set[DeliveryId]]:
    """
    Give deliveries whose files are proven to equal posts, in the order of both (R4.1).

    What is left over of a kind is somebody else's, or one of them is: nobody tells
    which, nor whose it is what can be read in two ways, as files of two posts. What is
    of no post's kind is nobody's rival. Exchanging two deliveries of equal contents
    changes nothing for anybody; they must only not be taken twice. So what one that is in
    flight can have made is left to its answer, which asks nobody.
    """
    taken: dict[DeliveryId, Post] = {}
    spare: set[DeliveryId] = set()
    kinds: defaultdict[bytes, list[Candidate]] = defaultdict(list)
    for each in candidates:
        for kind in each.hashes:
            kinds[kind].append(each)
    for kind, exact in kinds.items():
        equal = posts.equal(kind)
        if not equal:
            continue
        awaited = [each.window for each in equal if each.is_in_flight]
        waiting = (each for each in equal if not each.is_in_flight)
        post = next(waiting, None)
        for each in exact:
            at = each.created_on
            assert at is not None
            if any(window.contains(at) for window in awaited):
                spare.add(each.delivery_id)
                continue
            while post is not None and post.window.hi < at:
                post = next(waiting, None)
            if post is not None and post.window.lo <= at:
                if taken.setdefault(each.delivery_id, post) is not post:
                    spare.add(each.delivery_id)
                post = next(waiting, None)
            else:
                spare.add(each.delivery_id)
    return {each: of for each, of in taken.items() if each not in spare}, spare


def decide(ours: Post, row: Row, seen: Scene) -> Decision:
    """Return what to do about the unknown post *ours*, whose looks made *row*."""
    if not seen.job.do_clocks_agree:  # R7
        return LookAgain(
            Missing(
                Proof.CLOCKS,
                "Jet's dates and its clock disagree on this job: nothing is settled on it"
                " for 24 h",
            )
        )
    found = adoption(ours, seen)
    if found is not None:
        return found
    left = candidates_left(ours, seen)
    if left:  # R3
        return LookAgain(_why_not(left, ours, seen))
    if row.is_proven:  # R2
        return StartAgain()
    if row.is_stated and seen.job.is_complete:  # R2b
        return StartAgain(is_stated=True)
    if seen.job.refuted is not None:
        return LookAgain(Missing(Proof.REFUTED, seen.job.refuted))
    missing = row.missing
    assert missing is not None
    return LookAgain(missing)


def candidates_left(post: Post, seen: Scene) -> list[Candidate]:
    """
    Return the candidates that are not out of a post's way (R3).

    Counts and bytes never exclude anything: files grow, fail and are retried. One that
    is named and not shown excludes nothing and stands in everybody's way.
    """
    return [
        each
        for each in seen.in_window(post)  # R3.1
        if not _shows_another(each, post, seen)  # R3.2
        and not _is_a_ghosts(each, post, seen)  # R1
    ]


def _shows_another(candidate: Candidate, post: Post, seen: Scene) -> bool:
    shown = candidate.shown
    if shown is None or not shown.has_ended:
        return False
    return shows_another(shown, post, seen.job.learned.forms)


def _is_a_ghosts(candidate: Candidate, post: Post, seen: Scene) -> bool:
    """Whether its files prove that a command that went on has left it behind."""
    taker = seen.taken.get(candidate.delivery_id)
    return taker is not None and taker.is_ghost and taker.command_id != post.command_id


def unexplained(seen: Scene) -> dict[DeliveryId, CommandId]:
    """Return the deliveries that are proven to be a ghost's, with its command (R1)."""
    return {each: post.command_id for each, post in seen.taken.items() if post.is_ghost}


def adoption(ours: Post, seen: Scene) -> Adopt | None:
    """Return the delivery that is proven to be this command's (R4)."""
    mine = seen.posts.of(ours.command_id)
    # A ghost of this command asked for the same, though only their hash is kept of it.
    asked = (replace(post, paths=ours.paths, folders=ours.folders) for post in mine)
    left = list(
        {
            each.delivery_id: each
            for post in asked
            for each in candidates_left(post, seen)
        }.values()
    )
    found = (
        _by_files(mine, left, seen)
        or _by_sizes(mine, left, seen)
        or _by_elimination(mine, left, seen)
    )
    if found is None or found.delivery_id in seen.wanted:
        return None
    return found


def _by_files(
    mine: tuple[Post, ...], left: list[Candidate], seen: Scene
) -> Adopt | None:
    """R4.1: it has ended with nothing failed, and its files are exactly ours."""
    kind = mine[0].contents.paths_hash
    if any(each.delivery_id in seen.spare and kind in each.hashes for each in left):
        return None
    for each in left:
        taker = seen.taken.get(each.delivery_id)
        if taker is not None and taker in mine:
            return _adopt(each, taker, "files")
    return None


def _by_sizes(
    mine: tuple[Post, ...], left: list[Candidate], seen: Scene
) -> Adopt | None:
    """
    R4.2: it has no files to show, and count and bytes are exactly ours and nobody else's.

    Where sizes tell on this job, no known delivery has the same two, every other
    candidate has ended with other ones, and no rival asked for the same or for folders.
    """
    contents = mine[0].contents
    if not seen.job.learned.sizes_tell or contents.folders or contents.size is None:
        return None
    if seen.job.may_know(contents):
        return None
    same = [each for each in left if not _has_ended_with_other(each, contents)]
    if len(same) != 1:
        return None
    (only,) = same
    shown, at = only.shown, only.created_on
    if shown is None or at is None or not shown.is_whole:
        return None
    if shown.files or not shown.has_all_files:
        return None
    if (shown.count, shown.size) != (contents.count, contents.size):
        return None
    if seen.posts.that_may_have(at, contents) > _number_over(mine, at):
        return None
    return _adopt(only, _post_over(mine, at), "sizes")


def _has_ended_with_other(candidate: Candidate, contents: Contents) -> bool:
    shown = candidate.shown
    return (
        shown is not None
        and shown.has_ended
        and shown.count is not None
        and (shown.count, shown.size) != contents.sizes
    )


def _by_elimination(
    mine: tuple[Post, ...], left: list[Candidate], seen: Scene
) -> Adopt | None:
    """R4.3: nobody else starts on this job, and no other post can have made it."""
    if not seen.job.is_exclusive:
        return None
    alone = _alone(mine, left, seen)
    if len(alone) != 1:
        return None
    (only,) = alone
    assert only.created_on is not None
    return _adopt(only, _post_over(mine, only.created_on), "elimination")


def _alone(
    mine: tuple[Post, ...], left: list[Candidate], seen: Scene
) -> list[Candidate]:
    """Return the candidates that are shown and lie in no rival's window."""
    return [
        each
        for each in left
        if each.created_on is not None
        and seen.posts.over(each.created_on) == _number_over(mine, each.created_on)
    ]


def contradicts_exclusive(ours: Post, seen: Scene) -> DeliveryId | None:
    """
    Return a delivery that somebody else must have started (R4).

    A second one that only this command can have made; or one outside every window.
    """
    mine = seen.posts.of(ours.command_id)
    alone = _alone(mine, candidates_left(ours, seen), seen)
    if len(alone) > len(mine):
        return alone[-1].delivery_id
    first = bisect_left(seen.dates, ours.window.lo)
    outside = (
        each.delivery_id
        for each, at in zip(seen.candidates[first:], seen.dates[first:], strict=True)
        if not seen.posts.over(at)
    )
    return next(outside, None)


def _number_over(mine: tuple[Post, ...], time: datetime) -> int:
    return sum(post.window.contains(time) for post in mine)


def _post_over(mine: tuple[Post, ...], time: datetime) -> Post:
    return next(post for post in mine if post.window.contains(time))


def _adopt(candidate: Candidate, post: Post, by: str) -> Adopt:
    assert candidate.created_on is not None
    return Adopt(candidate.delivery_id, candidate.created_on, post, by)


def _why_not(left: list[Candidate], ours: Post, seen: Scene) -> Missing:
    """Say which candidates are in the way, and what is missing to take one of them."""
    hidden = next((each for each in left if each.shown is None), None)
    if seen.job.refuted is not None:
        return Missing(Proof.REFUTED, f"{seen.job.refuted}; {_named(left)}")
    if hidden is not None:
        message = f"{hidden.delivery_id} is listed and Jet does not show it"
        return Missing(Proof.NOT_SHOWN, message)
    first = left[0]
    rival = (
        seen.posts.rival(first.created_on, ours.command_id)
        if first.created_on is not None
        else None
    )
    if len(left) == 1 and rival is not None:
        return Missing(
            Proof.RIVAL,
            f"{first.delivery_id} may be this one's or that of {rival}, which is not"
            " settled either: resolve either",
        )
    return Missing(Proof.CANDIDATES, _named(left))


def _named(left: list[Candidate]) -> str:
    """Name candidates with what Jet shows of them, and never a path of another's."""
    named = ", ".join(_described(each) for each in left[:_NAMED])
    more = ", …" if len(left) > _NAMED else ""
    are = "delivery may be it" if len(left) == 1 else "deliveries may be it"
    return f"{len(left)} {are}: {named}{more}"


def _described(candidate: Candidate) -> str:
    shown = candidate.shown
    if shown is None:
        return f"{candidate.delivery_id} (not shown)"
    facts = [f"{shown.created_on:%H:%M:%S}"] if shown.created_on else []
    facts.append(shown.state.lower().replace("_", " "))
    if shown.count is not None:
        facts.append(f"{shown.count} files, {shown.size} bytes")
    return f"{candidate.delivery_id} ({', '.join(facts)})"
