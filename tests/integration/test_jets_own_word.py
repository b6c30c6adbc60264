"""Only Jet's own word ends something: a table of what is not, on a real worker."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from tests.support.invariants import judge
from tests.support.jet.documents import Started
from tests.support.jet.fake_server import JetServer
from tests.support.system import STATED, Event, System, a_command

pytestmark = pytest.mark.integration

STATUSES = range(400, 500)
NO_OBJECT = (
    ("text/html", "<html>default backend - 404</html>"),
    ("text/plain", "no"),
    ("application/json", ""),
    ("application/json", '"no"'),
)
NAMES = (
    "/a/take #2.mov",
    "/a/what?.mov",
    "/a/a%20b.mov",
    "/a/caf\u00e9.mov",
    "/a/x+y.mov",
)
# As storages write them: as they are, escaped, the accent in two signs.
URLS = (NAMES[0], quote(NAMES[1]), NAMES[2], "/a/cafe\u0301.mov", quote(NAMES[4]))

Document = dict[str, Any]


def odd_counts(made: Started, **counts: Any) -> Document:
    """Return a delivery's document with other counts of what failed or was moved."""
    document = made.document()
    summary = document["deliverySummary"]
    return document | {"deliverySummary": summary | counts}


def as_text(made: Started) -> Document:
    """Write every number as decimal text."""
    summary = made.document()["deliverySummary"]
    return odd_counts(
        made, **{k: {n: str(x) for n, x in v.items()} for k, v in summary.items()}
    )


def unreadable(made: Started) -> Document:
    """Write what failed as nobody can read it."""
    return odd_counts(made, failed={"count": "many", "bytes": 0})


def without_summary(made: Started) -> Document:
    """Leave the counts out."""
    document = made.document()
    del document["deliverySummary"]
    return document


# What its document is like, how many objects its transfer says have failed, and its end.
Odd = tuple[Callable[[Started], Document], int, str]
ODD: dict[str, Odd] = {
    "numbers-as-text": (as_text, 0, "completed"),
    "failures-as-text": (as_text, 1, "objects_failed"),
    "unreadable-failures-and-none": (unreadable, 0, "completed"),
    "unreadable-failures-and-one": (unreadable, 1, "objects_failed"),
    "no-summary-and-none": (without_summary, 0, "completed"),
    "no-summary-and-one": (without_summary, 1, "objects_failed"),
}
ROUTES = "routes:\n" + "".join(
    f"  {name}: {{job_id: {name}, {STATED}}}\n"
    for name in (*(f"s-{status}" for status in STATUSES), *ODD, "names")
)
PAGED = f"  paged: {{source: London, destination: Paris, {STATED}}}\n"


class Odder:
    """
    Answers what is not Jet's word first, on each job in its own way.

    A job that is named after a status answers with it, once to a start and then to the
    questions about its delivery, with each kind of body.
    """

    def __init__(self) -> None:
        self._answers = {
            f"s-{status}": {
                "start_delivery": [no_object(status, status)],
                "get_delivery": [no_object(status, n) for n in range(len(NO_OBJECT))],
            }
            for status in STATUSES
        }

    def __call__(self, operation: str, server: JetServer) -> web.Response | None:
        _, _, _, job, *rest = [*server.requests[-1][2].split("/"), "", ""]
        left = self._answers.get(job, {}).get(operation)
        if left:
            return left.pop(0)
        if operation == "list_jobs":
            first = [each.document([]) for each in list(server.jobs.values())[:20]]
            return web.json_response({"items": first, "totalResultCount": 1000})
        if operation == "list_files" and job == "names":
            return web.json_response({"items": files(server)})
        if operation == "get_delivery" and job == "names":
            server.deliveries[rest[1]].failed = len(NAMES)
        if operation == "get_delivery" and job in ODD:
            made = server.deliveries[rest[1]]
            made.failed = ODD[job][1]
            return web.json_response(ODD[job][0](made))
        return None


def no_object(status: int, kind: int) -> web.Response:
    """Return an answer of this status without a JSON object."""
    content_type, text = NO_OBJECT[kind % len(NO_OBJECT)]
    return web.Response(status=status, text=text, content_type=content_type)


def files(server: JetServer) -> list[Document]:
    """Return files that have failed, under the names that storage gives them."""
    made = next(each for each in server.deliveries.values() if each.job_id == "names")
    return [
        {"url": f"s3://b{url}", "transferId": made.transfer_id, "state": "FAILED"}
        for url in URLS
    ]


async def test_only_jets_own_word_ends_something(system: System) -> None:
    (system.folder / "routes.yaml").write_text(ROUTES + PAGED)
    jet = system.jet
    for status in STATUSES:
        jet.add_job(f"s-{status}", f"s-{status}")
    for name in (*ODD, "names", "paged"):
        jet.add_job(name, name)
    jet.fault = Odder()
    await (await system.worker()).ready()
    named = [{"relativePath": name, "sizeInBytes": 10} for name in NAMES]
    commands = [
        *(a_command(f"c-{status}", f"s-{status}") for status in STATUSES),
        *(a_command(name, name) for name in ODD),
        a_command("names", "names", objects=named),
        a_command("paged", "paged"),
    ]

    await system.publish(*commands)
    events = await system.decided(len(commands))

    events = [e for e in events if not e.kind.startswith("command.")]
    judge(events, commands, jet)
    told = {e.key: e for e in events if e.is_terminal}
    assert {told[f"c-{each}"].kind for each in STATUSES} == {"delivery.completed"}
    assert {name: ended(told[name]) for name in ODD} == {
        name: end for name, (_, _, end) in ODD.items()
    }
    assert told["numbers-as-text"].data["progress"]["transferred"] == {
        "count": 1,
        "bytes": 1000,
    }
    assert sorted(told["names"].data["failedObjects"]["paths"]) == sorted(NAMES)
    assert (jet.count("create_job"), told["paged"].data["jobId"]) == (0, "paged")


def ended(event: Event) -> str:
    """Return how a delivery ended: why it failed, or that it did not."""
    return (event.data["reason"] or {}).get("code") or event.kind.partition(".")[2]
