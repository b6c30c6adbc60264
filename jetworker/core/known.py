"""
What the snapshots of a job say to its unknown starts: known deliveries, and posts.

Read from every partition of the state topic, whoever owns it.
"""

from jetworker.core.delivery import Delivery, State
from jetworker.core.evidence import Asked
from jetworker.core.finished import Finished, made_in
from jetworker.core.post import Ghost, Post, contents_of, plain
from jetworker.core.witness import KnownDelivery

_OPEN = frozenset({State.STARTING, State.UNCERTAIN, State.HELD})


def known_delivery(snapshot: Delivery | Finished) -> KnownDelivery | None:
    """Return the delivery that its command is bound to, None if it is to none."""
    if snapshot.delivery_id is None:
        return None
    requested = snapshot.requested
    return KnownDelivery(
        snapshot.delivery_id,
        made_in(snapshot) if isinstance(snapshot, Delivery) else snapshot.made_in,
        Asked(
            requested.count if requested else None,
            requested.bytes if requested else None,
            snapshot.sample,
            snapshot.fingerprint,
            snapshot.folders,
        ),
        snapshot.ended_on,
        is_whole=snapshot.state is State.COMPLETED,
    )


def posts_of(snapshot: Delivery | Finished) -> tuple[Post, ...]:
    """Return the posts of a command that are neither bound nor proven absent (R1)."""
    ghosts = tuple(_ghost(snapshot, each) for each in snapshot.posts)
    if not isinstance(snapshot, Delivery) or snapshot.state not in _OPEN:
        return ghosts
    if snapshot.intent is None:
        return ghosts
    post = Post(
        snapshot.command_id,
        snapshot.attempt,
        snapshot.intent.window,
        contents_of(snapshot.objects),
        frozenset(
            plain(spec.relative_path)
            for spec in snapshot.objects
            if not spec.is_directory
        ),
        frozenset(
            plain(spec.relative_path) for spec in snapshot.objects if spec.is_directory
        ),
        is_in_flight=snapshot.state is State.STARTING,
    )
    return (*ghosts, post)


def _ghost(snapshot: Delivery | Finished, ghost: Ghost) -> Post:
    return Post(
        snapshot.command_id,
        ghost.attempt,
        ghost.window,
        ghost.contents,
        is_ghost=True,
    )
