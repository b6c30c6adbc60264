"""The world behind the API: profiles, jobs and deliveries, made, found and restored."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from jetworker.core.command import (
    DeliveryId,
    JobId,
    ObjectSpec,
    ProfileId,
    TransferId,
)
from jetworker.core.observation import Progress, Tally
from jetworker.sandbox.jet.engine import Engine
from jetworker.sandbox.jet.gate import Gate
from jetworker.sandbox.jet.journal import Journal, times_of
from jetworker.sandbox.jet.model import (
    Delivery,
    DeliveryState,
    File,
    FileState,
    Job,
    Profile,
    Transfer,
    TransferState,
)
from jetworker.sandbox.jet.notifier import Notifier
from jetworker.sandbox.jet.refusal import Refused
from jetworker.sandbox.jet.settings import SandboxSettings, Tuning


class World:
    """Everything that the sandbox serves; with a data folder it survives a restart."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.tuning = settings.tuning
        self.jobs: dict[JobId, Job] = {}
        self.profiles = {
            name: Profile(
                ProfileId(str(uuid5(NAMESPACE_URL, f"profile:{name}"))),
                name,
                folder.resolve(),
                _now(),
            )
            for name, folder in settings.profiles.items()
        }
        self.restored: list[Delivery] = []  # of earlier runs, in the order they came
        self._journal = Journal(settings.data)
        self.notifier = Notifier()
        self._engine = Engine(
            self._journal, settings.parallel_deliveries, self.notifier.tell
        )

    def open(self) -> None:
        """Restore what was, go on with it, and make the jobs of the settings."""
        for entry in self._journal.entries():
            self._restore(entry)
        self._journal.open()
        for job in self.jobs.values():
            for delivery in job.deliveries.values():
                if not delivery.state.is_final:
                    self._engine.start(job, delivery)
        names = {job.name for job in self.jobs.values()}
        for seed in self.settings.jobs:
            if seed.name not in names:
                idle = seed.growing_idle_seconds
                options: dict[str, Any] = {}
                if idle is not None:
                    growing = {"growingIdleTimeoutInSeconds": idle}
                    options = {"areGrowingObjects": True, "growingObjects": growing}
                self.create_job(seed.name, seed.source, seed.destination, options)

    async def close(self) -> None:
        """Stop what runs; it starts over with the next run."""
        await self._engine.close()
        await self.notifier.close()
        self._journal.close()

    def profile(self, wanted: str) -> Profile:
        """Return a storage profile by id or name."""
        for profile in self.profiles.values():
            if wanted in (profile.profile_id, profile.name):
                return profile
        raise Refused(400, f"there is no storage profile {wanted}")

    def job(self, job_id: str) -> Job:
        """Return a job, its virtual deliveries brought up to date."""
        job = self.jobs.get(JobId(job_id))
        if job is None:
            raise Refused(404, "there is no such job")
        return job

    def refreshed(self, job: Job, delivery_id: str) -> Delivery:
        """Return a delivery as it is now."""
        delivery = job.deliveries.get(DeliveryId(delivery_id))
        if delivery is None:
            raise Refused(404, "there is no such delivery on this job")
        self._engine.refresh(job, delivery)
        return delivery

    def refresh_open(self, job: Job) -> None:
        """Bring every open delivery of a job up to date."""
        for delivery in list(job.open.values()):
            self._engine.refresh(job, delivery)

    def create_job(
        self, name: str, source: str, destination: str, options: Mapping[str, Any]
    ) -> Job:
        """Make a manual job between two storage profiles."""
        job = self._job(JobId(str(uuid4())), name, source, destination, dict(options))
        self._journal.job(job)
        return job

    def set_paused(self, job: Job, *, paused: bool) -> None:
        """Pause or resume a job: what runs on it halts or goes on."""
        job.paused = paused
        job.changed_on = _now()
        if paused:
            job.gate.close()
        else:
            job.gate.open()
        self._journal.job(job)

    def delete_job(self, job: Job) -> None:
        """Delete a job and everything on it."""
        self._engine.stop(job)
        del self.jobs[job.job_id]
        self._journal.job(job, deleted=True)

    def start(
        self, job: Job, objects: Sequence[ObjectSpec], *, foreign: bool = False
    ) -> Delivery:
        """Start a delivery on a job that is not paused."""
        if job.paused:
            raise Refused(400, "the job is paused: PATCH it with paused false first")
        delivery = Delivery(
            DeliveryId(str(uuid4())),
            job.job_id,
            tuple(objects),
            _now(),
            _now(),
            is_foreign=foreign,
        )
        job.deliveries[delivery.delivery_id] = delivery
        self._journal.delivery(delivery)
        self._engine.start(job, delivery)
        return delivery

    def tune(self, tuning: Tuning) -> None:
        """Change how all jobs work, at once."""
        self.tuning = tuning
        for job in self.jobs.values():
            job.tuning = tuning

    def _job(
        self,
        job_id: JobId,
        name: str,
        source: str,
        destination: str,
        options: dict[str, Any],
    ) -> Job:
        now = _now()
        loop = asyncio.get_running_loop()
        job = Job(
            job_id,
            name,
            self.profile(source),
            self.profile(destination),
            options,
            now,
            now,
            Gate(loop.time),
            replace(self.tuning),
        )
        self.jobs[job_id] = job
        return job

    def _restore(self, entry: dict[str, Any]) -> None:
        match entry["kind"]:
            case "job":
                self._restore_job(entry)
            case "delivery":
                self._restore_delivery(self.jobs[JobId(entry["jobId"])], entry)
            case _:
                self._restore_transfer(self.jobs[JobId(entry["jobId"])], entry)

    def _restore_job(self, entry: dict[str, Any]) -> None:
        job_id = JobId(entry["jobId"])
        if entry["deleted"]:
            self.jobs.pop(job_id, None)
            return
        job = self.jobs.get(job_id) or self._job(
            job_id,
            entry["name"],
            entry["source"],
            entry["destination"],
            entry["options"],
        )
        job.created_on, job.changed_on = times_of(entry)
        job.paused = entry["paused"]
        if job.paused:
            job.gate.close()
        else:
            job.gate.open()

    def _restore_delivery(self, job: Job, entry: dict[str, Any]) -> None:
        delivery_id = DeliveryId(entry["deliveryId"])
        created, changed = times_of(entry)
        if delivery_id not in job.deliveries:
            made = Delivery(
                delivery_id,
                job.job_id,
                tuple(ObjectSpec(**spec) for spec in entry["objects"]),
                created,
                changed,
                is_foreign=entry["foreign"],
            )
            job.deliveries[delivery_id] = made
            self.restored.append(made)
        delivery = job.deliveries[delivery_id]
        delivery.changed_on = changed
        state = DeliveryState(entry["state"])
        delivery.state = state if state.is_final else DeliveryState.CREATED

    def _restore_transfer(self, job: Job, entry: dict[str, Any]) -> None:
        """Restore a transfer; one that was interrupted is cancelled and made anew."""
        delivery = job.deliveries[DeliveryId(entry["deliveryId"])]
        transfer_id = TransferId(entry["transferId"])
        files = [
            File(f["path"], f["size"], FileState(f["state"]), f["copied"])
            for f in entry["files"]
        ]
        transfer = Transfer(transfer_id, entry["batchId"], *times_of(entry), files)
        transfer.is_retry, transfer.is_growing = entry["isRetry"], entry["isGrowing"]
        state = TransferState(entry["state"])
        ended = state not in {TransferState.SCHEDULED, TransferState.IN_PROGRESS}
        transfer.state = state if ended else TransferState.CANCELLED
        parts = entry["progress"]
        if ended:
            names = ("transferred", "skipped", "failed")
            moved, skipped, failed = (Tally(**parts[name]) for name in names)
            transfer.progress = Progress(moved, skipped, failed)
        else:
            transfer.progress = Progress()
        others = [t for t in delivery.transfers if t.transfer_id != transfer_id]
        delivery.transfers = [*others, transfer]
        job.transfers[transfer_id] = (delivery, transfer)


def _now() -> datetime:
    return datetime.now(UTC)
