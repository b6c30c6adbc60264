"""The pages in a real browser: for everybody, on a telephone too, in light and dark."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jetworker.core.command import CommandId, DeliveryId, RouteName
from jetworker.core.delivery import (
    FailedObjects,
    Reason,
    ReasonCode,
    Requested,
    State,
)
from jetworker.core.installation import Letter, Position, Told
from jetworker.core.observation import Progress, Tally
from jetworker.kafka.group_members import GroupView, Member, Share
from jetworker.wire import snapshots
from tests.cli.test_ui_pages import Ui, served
from tests.core.test_installation import a_row
from tests.support.builders import NOW, a_delivery
from tests.wire.test_rows import AKafkaRecord

PACKAGES = ("puppeteer-core@24.31.0", "axe-core@4.11.0")
PAGES = {
    "overview": "/",
    "deliveries": "/deliveries?state=held",
    "failed": "/deliveries?state=failed",
    "delivery": "/deliveries/order-0017",
    "dead-letters": "/dead-letters",
    "dead-letter": "/dead-letters/0/3",
    "unknown": "/deliveries/nobody",
    "confirm": "/deliveries?state=failed",
    "confirm-replay": "/dead-letters",
}
PRESSED = {"confirm": "button[value=send-failed]", "confirm-replay": "fieldset button"}

pytestmark = [pytest.mark.platform("npm", "chromium"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what drives the browser and judges the pages, and return the script."""
    folder = tmp_path_factory.mktemp("browser")
    options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        ["npm", "install", *options, *PACKAGES],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    script = folder / "browser.mjs"  # modules are looked for beside it
    shutil.copy(Path(__file__).with_name(script.name), script)
    return script


@pytest.fixture
async def ui() -> AsyncIterator[Ui]:
    """Return a page over 500 deliveries of two workers, some of them in trouble."""
    async with served(allows_actions=True) as made:
        _fill(made)
        yield made


def _fill(ui: Ui) -> None:
    held = Reason(
        ReasonCode.HELD,
        "the job's listing shows nothing that tells the lost start from others",
    )
    paused = Reason(ReasonCode.JOB_PAUSED, "the job is paused at Jet")
    failed = Reason(ReasonCode.OBJECTS_FAILED, "Jet could not read some objects")
    kinds: list[tuple[State, Reason | None]] = [
        *[(State.COMPLETED, None)] * 6,
        (State.IN_PROGRESS, None),
        (State.WAITING, paused),
        (State.FAILED, failed),
        (State.HELD, held),
    ]
    for number in range(500):
        state, reason = kinds[(number + 2) % len(kinds)]
        name = f"order-{number:04}"
        ui.seen.installation.put(
            a_row(
                name,
                state,
                route=RouteName(("london-to-paris", "archive")[number % 3 == 0]),
                reason=reason,
                changed_at=NOW - timedelta(minutes=500 - number),
                delivery_id=DeliveryId(f"b0dea3b2-0000-4000-8000-{number:012}"),
                requested=Requested(2, 209_715_200),
                progress=Progress(Tally(1, 104_857_600)),
                at=Position(number % 4, number),
            )
        )
        if state is State.FAILED:
            paths = ("/ingest/day-1/reel.mov", "/ingest/day-1/sound.wav")
            told = Told(CommandId(name), Position(0, number), FailedObjects(3, paths))
            ui.seen.installation.hear(told)
    delivery = replace(
        a_delivery(State.HELD, reason=held), command_id=CommandId("order-0017")
    )
    ui.kafka.held["jet.state", 17] = AKafkaRecord(value=snapshots.encode(delivery))
    value = {
        "eventType": "io.jetworker.delivery.accepted",
        "eventTime": "2026-11-23T10:00:00.000Z",
        "sequence": 1,
        "state": "accepted",
    }
    ui.kafka.held["jet.events", 5] = AKafkaRecord(
        value=json.dumps(value).encode(), headers=(("ce_subject", b"order-0017"),)
    )
    ui.seen.installation.hear(Told(CommandId("order-0017"), Position(0, 5)))
    for offset in range(4):
        ui.seen.installation.park(
            Letter(
                Position(0, offset),
                NOW,
                ("unknown_route", "invalid_command")[offset % 2],
                "route: no such route in the routes file",
                f"order-9{offset}",
                "jet.commands",
                Position(1, offset),
            )
        )
    ui.kafka.held["jet.dead-letters", 3] = AKafkaRecord(value=b'{"commandId": "x"}')
    ui.seen.group = GroupView(
        "Stable",
        (
            Member("jetworker-0c3d", "10.1.0.7", (0, 1)),
            Member("jetworker-7a11", "10.1.0.8", (2, 3)),
        ),
        tuple(Share(number, 100, 101) for number in range(4)),
    )


async def _judged(script: Path, ui: Ui, folder: Path, **more: Any) -> dict[str, Any]:
    """Run the browser beside the server; *more* may ask for a page that changes."""
    base = str(ui.http.base_url).rstrip("/")
    asked = {
        "browser": shutil.which("chromium"),
        "pages": [
            {"name": name, "url": base + path, "press": PRESSED.get(name)}
            for name, path in PAGES.items()
        ],
        "widths": [1280, 390],
        "folder": str(folder),
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *("node", str(script), json.dumps(asked)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOME": str(folder)},
    )
    assert process.stdin is not None
    assert process.stderr is not None
    for name in more.get("expected", ()):
        line = await process.stderr.readline()
        assert line == b"change\n", line + await process.stderr.read()
        ui.seen.installation.put(a_row(name))
        process.stdin.write(b"changed\n")
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-3000:]
    found: dict[str, Any] = json.loads(out)
    return found


async def test_every_page_is_usable_by_everybody_at_every_width(
    browser: Path, ui: Ui, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("SCREENSHOTS", str(tmp_path)))

    found = (await _judged(browser, ui, folder))["found"]

    assert len(found) == len(PAGES) * 4
    wrong = [
        (page["name"], page["width"], page["scheme"], each)
        for page in found
        for each in page["violations"]
    ]
    assert wrong == []
    assert [page for page in found if page["overflow"] > 0] == []
    # A page of its own for what is not there is still an answer of 404.
    errors = {each for page in found for each in page["errors"] if "404" not in each}
    assert errors == set()


async def test_a_page_follows_what_happens_until_it_is_told_to_stop(
    browser: Path, ui: Ui, tmp_path: Path
) -> None:
    live = f"{str(ui.http.base_url).rstrip('/')}/deliveries"

    # One changes between the page and its stream, the other while it is followed.
    names = ["brand-new-1", "brand-new-2"]
    found = await _judged(browser, ui, tmp_path, pages=[], live=live, expected=names)

    assert found["live"] == {
        "button": "Stop updating",
        "stopped": "Update again",
        "status": "Stopped: this is how it was.",
    }
