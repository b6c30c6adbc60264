"""
Jet as a model: jobs, deliveries, and everything that its answers can suffer.

A job's *listing* is what its document shows: all deliveries, the latest, none; where
it shows nothing, no file and no running transfer is shown either, and of one that is
unfiled no file. Of one job everything is shown, and stated by its route. A job that has
a past (`past`) is as that says. Times are the loop's.
What a start suffers is drawn once for each, by *weather*: it may be applied at once,
later, or never; its answer may be true, lost or nonsense. Late and unlisted together
stay below the settle time: beyond it no protocol can help.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias
from zlib import crc32

import orjson

from tests.simulation.crowd import InFlight
from tests.simulation.documents import Delivery, delivery, files, transfer
from tests.simulation.gateway import Gateway
from tests.simulation.line import Line, Way
from tests.simulation.node import Node
from tests.simulation.past import EXCLUSIVE, STATED, Past
from tests.simulation.reply import Reply

JOBS = ("job-1", "job-2", "job-3")
_NOT_FOUND, _BELIEVED = 404, 3
LISTINGS = (
    "all",
    "all",
    "unfiled",
    "unfiled",
    "latest",
    "newest 3",
    "oldest 3",
    "newest 10",
    "active",
    "ended",
    "running",
    "behind 2",
    "behind 30",
    "by chance",
    "nothing",
)

# To no size that another command has: nothing but files could tell them apart then.
_GROWN = 53


@dataclass(frozen=True)
class Weather:
    """
    How often what goes wrong; *slack* is the longest a start or a listing lags.

    *lost_start* is the number of a start that is lost in any case. *slow* are starts on
    a slow line, *pages* answers of a gateway, where there is one.
    """

    lost: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    unreadable: float = 0.0
    slack: float = 0.0
    lost_start: int | None = None
    slow: float = 0.0
    pages: float = 0.0


FAIR = Weather()


# Which command asked, and where its intent was written; nobody's: a person's.
Asked: TypeAlias = tuple[str | None, int | None]


@dataclass
class Post:
    """One start that reached Jet, applied or not."""

    at: float
    command_id: str
    node: str
    answer: str = ""
    intent: int | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the answer says plainly that it may be sent again as it is."""
        return self.answer in {"400", "401"}


class Jet:
    """One Jet, for all simulated processes."""

    def __init__(self, luck: Random, past: Past | None = None) -> None:
        self.weather = FAIR
        self.past = past
        self.line: Line | None = None
        self.gateway: Gateway | None = None
        self.paused: set[str] = set()
        self.doomed: set[str] = set()  # jobs whose next start is lost
        self.busy: set[str] = set()  # and those that hold it back
        self.intent_of: Callable[[str], tuple[int, float] | None] = lambda _: None
        self.deliveries: list[Delivery] = []
        self.posts: list[Post] = []
        self.hasty: list[str] = []
        self.ages: list[tuple[str, float]] = []
        self.led_to: Callable[[Node, str], set[str]] | None = None
        self.led: list[tuple[str, bool]] = []
        self.in_flight = InFlight()
        self.listing = {job: luck.choice(LISTINGS) for job in JOBS}
        self.listing |= {STATED: "all", EXCLUSIVE: "all"}
        if past is not None:
            self.listing[past.job_id] = past.listing
        self._before = past.deliveries() if past is not None else []
        self._are_dates_cut = luck.random() < 0.5
        self._luck = luck
        self._tokens: set[str] = set()
        self._denied: Counter[str] = Counter()

    def of(self, command_id: str) -> list[Delivery]:
        """Return the deliveries that were made for a command."""
        return [d for d in self.deliveries if d.command_id == command_id]

    def visit(self, job_id: str) -> None:
        """Let a person at the console start a delivery of their own."""
        name = f"/somebody-else/{len(self.deliveries)}.mov"
        self._make(job_id, (None, None), [{"relativePath": name}])

    def way(self) -> Way | None:
        """Return the way of a start, if it is a slow one."""
        return None if self.line is None else self.line.draw(self.weather.slow)

    def leaves(self, node: Node, path: str, body: bytes) -> None:
        """
        Take note of how old its intent is when a start leaves its sender.

        *led_to* tells where its route led, as its sender knew when the intent was written.
        """
        command_id = _asker(orjson.loads(body)["objects"])
        if self.led_to is not None:
            job_id = path.split("/")[3]
            about = f"{node.name}: {command_id} on {job_id}"
            self.led.append((about, job_id in self.led_to(node, command_id)))
        intent = self.intent_of(command_id)
        if intent is not None:
            age = asyncio.get_running_loop().time() - intent[1]
            self.ages.append((command_id, age))

    def handle(
        self,
        node: str,
        method: str,
        path: str,
        body: bytes,
        token: str,
        *,
        is_slow: bool = False,
    ) -> Reply:
        """Answer one request, or let the gateway answer it; one *is_slow* is late enough."""
        if self.gateway is None:
            return self._handle(node, method, path, body, token, is_slow=is_slow)
        reply = self.gateway.refuse(self.weather.pages)
        if reply is None:
            reply = self._handle(node, method, path, body, token, is_slow=is_slow)
        elif method == "POST" and path != "/oauth/token":
            self._note(node, self._asked(orjson.loads(body)["objects"]), reply)
        return self.gateway.date(reply)

    def _handle(
        self,
        node: str,
        method: str,
        path: str,
        body: bytes,
        token: str,
        *,
        is_slow: bool,
    ) -> Reply:
        if path == "/oauth/token":
            return self._sign_in()
        if self._luck.random() < self.weather.refused / 4:
            self._tokens.clear()
        is_known = token in self._tokens
        if method == "POST":
            asked = path.split("/")[3], body
            return self._start(node, *asked, is_known=is_known, is_slow=is_slow)
        if not is_known:
            return Reply(401, {"message": "Unauthorized"})
        if self._luck.random() < self.weather.unreadable:
            return self._unreadable(path)
        return self._show(path)

    def _sign_in(self) -> Reply:
        if self._luck.random() < self.weather.refused / 4:
            return Reply(503, {"message": "later"})
        token = f"token-{len(self._tokens)}-{self._luck.random()}"
        self._tokens.add(token)
        return Reply(200, {"access_token": token, "expires_in": 3600})

    def _start(
        self, node: str, job_id: str, body: bytes, *, is_known: bool, is_slow: bool
    ) -> Reply:
        objects = orjson.loads(body)["objects"]
        asked = self._asked(objects)
        reply = Reply(401, {"message": "Unauthorized"})
        if is_known:
            reply = self._begin(job_id, asked, objects, is_slow=is_slow)
        self._note(node, asked, reply)
        return reply

    def _asked(self, objects: list[Any]) -> Asked:
        """*intent_of* tells which of the command's intents is committed by now."""
        command_id = _asker(objects)
        intent = self.intent_of(command_id)
        return command_id, intent[0] if intent else None

    def _note(self, node: str, asked: Asked, reply: Reply) -> None:
        """Take note of one start that arrived."""
        command_id, intent = asked
        answer = "lost" if reply.is_lost else str(reply.status)
        at = asyncio.get_running_loop().time()
        self.posts.append(Post(at, command_id or "", node, answer, intent))

    def _begin(
        self, job_id: str, asked: Asked, objects: list[Any], *, is_slow: bool
    ) -> Reply:
        if job_id in self.paused:
            return Reply(400, {"message": "the job is paused"})
        if job_id in self.busy:
            self.busy.discard(job_id)
            return Reply(429, {"message": "slow"}, {"retry-after": "2"})
        dice = self._luck.random()
        weather = self.weather
        is_lost = len(self.posts) == weather.lost_start or job_id in self.doomed
        self.doomed.discard(job_id)
        if is_lost or dice < weather.lost:
            return self._lose(job_id, asked, objects)
        if dice < weather.lost + weather.late:
            delay = 0.0 if is_slow else self._luck.uniform(0.0, weather.slack / 2)
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self._make_lost, job_id, asked, objects)
            return self._bad(job_id, is_applied=True)
        if dice < weather.lost + weather.late + weather.refused:
            return self._refuse()
        made = self._make(job_id, asked, objects)
        return Reply(200, {"objects": objects, "deliveryId": made.delivery_id})

    def _lose(self, job_id: str, asked: Asked, objects: list[Any]) -> Reply:
        is_trap = self.past is not None and self.past.is_trap
        is_applied = self._luck.random() < 0.5 or is_trap
        if is_applied:
            self._make_lost(job_id, asked, objects)
        if self.past is not None:
            stranger = self.past.stranger(job_id, objects)
            if stranger is not None:
                self._make(job_id, (None, None), stranger)
        return self._bad(job_id, is_applied=is_applied)

    def _make_lost(
        self, job_id: str, asked: Asked, objects: list[dict[str, Any]]
    ) -> None:
        """Make a delivery whose start is not answered."""
        made = self._make(job_id, asked, objects)
        if self.past is not None:
            self.past.lose(made)

    def _bad(self, job_id: str, *, is_applied: bool) -> Reply:
        """Return an answer that does not tell whether the start was applied."""
        target = {"location": f"/v1/jobs/{job_id}/deliveries"}
        choices = [
            Reply(502, "<html>bad gateway</html>"),
            Reply(504, None),
            Reply(500, {"message": "internal"}),
            Reply(0, is_lost=True),
            Reply(0, is_lost=True),
        ]
        if is_applied:
            choices += [Reply(307, None, target)] * 2 + [Reply(200, {"deliveryId": 7})]
        return self._luck.choice(choices)

    def _refuse(self) -> Reply:
        """Return an answer that says that nothing was applied."""
        return self._luck.choice(
            [
                Reply(401, {"message": "Unauthorized"}),
                Reply(429, {"message": "slow"}, {"retry-after": "2"}),
                Reply(429, {"message": "slow"}, {"retry-after": "2"}),
                Reply(429, {"message": "slow"}, {"retry-after": "soon"}),
            ]
        )

    def _unreadable(self, path: str) -> Reply:
        """Return no answer; at most two wrong "not found" for anything, ever."""
        reply = self._luck.choice(
            [
                Reply(500, {"message": "internal"}),
                Reply(503, None, {"retry-after": "0"}),
                Reply(429, {"message": "slow"}, {"retry-after": "2"}),
                Reply(200, "<html>"),
                Reply(200, {"surprise": True}),
                Reply(404, {"message": "not found"}),
                Reply(0, is_lost=True),
            ]
        )
        if reply.status == _NOT_FOUND:
            self._denied[path] += 1
            return reply if self._denied[path] < _BELIEVED else self._show(path)
        return reply

    def _make(
        self, job_id: str, asked: Asked, objects: list[dict[str, Any]]
    ) -> Delivery:
        command_id, intent = asked
        loop = asyncio.get_running_loop()
        lag = self._luck.uniform(0.0, self.weather.slack / 2)
        made = Delivery(
            f"d-{len(self.deliveries) + 1}",
            job_id,
            command_id,
            objects,
            loop.time(),
            self._luck.choice((0.1, 1.0, 4.0)),
            loop.time() + (lag if self._luck.random() < 0.3 else 0.0),
            grown=_GROWN * int(self._luck.random() < 0.5),
            failed=int(self._luck.random() < 0.1),
            is_lagging=self._luck.random() < 0.2,
            is_cut=self._are_dates_cut,
            intent=intent,
        )
        if self.past is not None:
            self.past.shape(made)
        self.deliveries.append(made)
        return made

    def _show(self, path: str) -> Reply:
        _, _, _, *named = path.split("?", maxsplit=1)[0].split("/")
        if not named:
            jobs = self.listing
            return Reply(200, {"items": [{"jobId": j, "name": j} for j in jobs]})
        job_id, *rest = named
        match rest:
            case [what, wanted]:
                of = [d for d in self._all() if d.job_id == job_id]
                if what == "deliveries":
                    return _found(of, wanted, delivery)
                return _found(of, wanted.removeprefix("t-"), transfer)
            case ["files"] if self._is_unfiled(job_id):
                return Reply(404, {"message": "not found"})
            case ["files"]:
                listed = [f for d in self._shown(job_id) for f in files(d)]
                return Reply(200, {"items": listed})
            case ["transfers"]:
                begun = (d for d in self._shown(job_id) if not d.is_queued)
                alive = [transfer(d) for d in begun if not d.is_over]
                return Reply(200, {"items": alive})
            case _:
                return Reply(200, self._job(job_id))

    def _shown(self, job_id: str) -> list[Delivery]:
        """Return what Jet shows of a job anywhere by now."""
        if self.listing[job_id] == "nothing":
            return []
        now = asyncio.get_running_loop().time()
        return [d for d in self._all() if d.job_id == job_id and d.shown_at <= now]

    def _all(self) -> list[Delivery]:
        return [*self._before, *self.deliveries] if self._before else self.deliveries

    def _is_unfiled(self, job_id: str) -> bool:
        if self.past is not None and job_id == self.past.job_id:
            return not self.past.is_filed
        return self.listing[job_id] == "unfiled"

    def _job(self, job_id: str) -> dict[str, Any]:
        shown = self._shown(job_id)
        for each in self.listing[job_id].split(", "):
            shown = self._listed(each, shown)
        return {
            "jobId": job_id,
            "name": job_id,
            "paused": job_id in self.paused,
            "activity": {"deliveries": [{"deliveryId": d.delivery_id} for d in shown]},
        }

    def _listed(self, listing: str, shown: list[Delivery]) -> list[Delivery]:
        kind, _, number = listing.partition(" ")
        match kind:
            case "latest":
                return shown[-1:]
            case "newest":
                return shown[-int(number) :]
            case "oldest":
                return shown[: int(number)]
            case "active":
                return [each for each in shown if not each.is_over]
            case "any":  # the first few by a hash of their ids
                in_order = sorted(shown, key=lambda d: crc32(d.delivery_id.encode()))
                return in_order[: int(number)]
            case "begun":
                return [each for each in shown if not each.is_queued]
            case "ended":
                return [each for each in shown if each.is_over]
            case "behind":
                return [each for each in shown if each.age >= int(number)]
            case "sound":  # what ended badly, only when it is so old
                return [d for d in shown if not d.failed or d.age >= int(number)]
            case "by":
                return [each for each in shown if self._luck.random() < 0.8]
            case "all" | "unfiled":
                return shown
            case _:
                return []


def _asker(objects: list[dict[str, Any]]) -> str:
    """Return the command that objects are of: the paths that we publish name it."""
    return str(objects[0]["relativePath"].split("/")[1])


def _found(
    of: list[Delivery], wanted: str, show: Callable[[Delivery], dict[str, Any]]
) -> Reply:
    for each in of:
        if each.delivery_id == wanted:
            return Reply(200, show(each))
    return Reply(404, {"message": "not found"})
