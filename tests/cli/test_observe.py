"""What `jetworker jobs observe` says that a lost start becomes is what it would become."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from jetworker.cli.observe import _look, _Looks, _observed
from jetworker.core.command import DeliveryId, JobId
from jetworker.core.evidence import Asked
from jetworker.core.post import Window
from jetworker.core.witness import KnownDelivery
from jetworker.worker.reconciliation.bindings import Bindings
from jetworker.worker.reconciliation.job_observer import JobObserver
from tests.support.builders import NOW, SECOND
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer

JOB = JobId("j")


class StateTopic:
    """Knows ten deliveries of different sizes."""

    def __init__(self, server: JetServer) -> None:
        self._known: dict[DeliveryId, KnownDelivery] = {}
        for size in range(10):
            objects = [{"relativePath": "/a.mov", "sizeInBytes": size}]
            made = DeliveryId(server.start(JOB, objects).delivery_id)
            asked = Asked(1, size, None, bytes([size]))
            self._known[made] = KnownDelivery(made, Window(NOW, NOW), asked, NOW, True)

    async def read(self, _: JobId) -> Any:
        return SimpleNamespace(known=self._known)


@pytest.mark.parametrize(
    ("shows_files", "sizes_tell", "becomes"),
    [
        (False, True, "if Jet made it, it is adopted by count and bytes"),
        (True, False, "if Jet made it, it is held until an operator says"),
    ],
)
async def test_where_jet_shows_a_part_of_the_files_no_start_is_adopted_by_its_size(
    shows_files: bool, sizes_tell: bool, becomes: str
) -> None:
    looks = _Looks()
    async with JetServer() as server:
        server.add_job("archive", JOB)
        server.seconds, server.files_at_once = 0.0, 0
        server.shows_files = shows_files
        bindings = cast("Bindings", StateTopic(server))
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            observer = JobObserver(jet)
            await _look(JOB, observer, bindings, 20 * SECOND, looks)
            found = _observed("archive", JOB, looks, observer)

    assert found.sizes_tell is sizes_tell
    assert becomes in found.meaning
