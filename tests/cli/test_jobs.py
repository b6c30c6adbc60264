"""What Jet shows a part of only is not told as all of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from jetworker.cli import jobs
from jetworker.config.model import Config, NotificationsConfig
from jetworker.core.command import JobId, ProfileId, SubscriptionId
from jetworker.core.observation import JetJob, Listed, StorageProfile, Subscription
from tests.cli.test_ui_follow import CONFIG

HOOKS = NotificationsConfig(
    port=8081, url="https://hooks.example/jet", secret=SecretStr("s" * 16)
)
NOTIFIED = CONFIG.model_copy(update={"notifications": HOOKS})


async def unsubscribe_all(config: Config, environ: Any, *, as_json: bool) -> int:
    return await jobs.unsubscribe(config, environ, None, as_json=as_json)


LISTINGS = {
    "jobs": jobs.list_jobs,
    "storage profiles": jobs.list_profiles,
    "subscriptions": unsubscribe_all,
}


@dataclass
class FakeJet:
    """Shows one of each kind, and says whether there is more."""

    has_more: bool

    @asynccontextmanager
    async def __call__(self, *_: Any) -> AsyncIterator["FakeJet"]:
        yield self

    async def list_jobs(self) -> Listed[JetJob]:
        return Listed((JetJob(JobId("j-1"), "one"),), 1, self.has_more)

    async def list_profiles(self) -> Listed[StorageProfile]:
        return Listed((StorageProfile(ProfileId("p-1"), "one"),), 1, self.has_more)

    async def list_subscriptions(self) -> Listed[Subscription]:
        one = Subscription(SubscriptionId("s-1"), JobId("j-1"), HOOKS.address)
        return Listed((one,), 1, self.has_more)

    async def unsubscribe(self, _: SubscriptionId) -> None:
        pass


@pytest.mark.parametrize("what", LISTINGS)
@pytest.mark.parametrize("as_json", [False, True])
async def test_a_listing_of_which_there_is_more_ends_with_1_and_says_so(
    what: str,
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = {}
    for has_more in (False, True):
        monkeypatch.setattr(jobs, "jet_client", FakeJet(has_more))
        code = await LISTINGS[what](NOTIFIED, {}, as_json=as_json)
        said[has_more] = (code, *capsys.readouterr())

    (code, out, err), (of_part, same, why) = said[False], said[True]
    assert (code, err) == (0, "")
    assert (of_part, same) == (1, out)
    assert why == (
        f"jetworker: Jet shows only a part of its {what}, or not all of it can be read\n"
    )
