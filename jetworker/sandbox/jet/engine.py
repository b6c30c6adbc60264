"""Deliveries run: batch after batch, real ones as tasks, virtual ones when asked for."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import structlog

from jetworker.core.command import JobId, TransferId
from jetworker.core.observation import Progress
from jetworker.sandbox.jet import virtual
from jetworker.sandbox.jet.copying import Pace, copy
from jetworker.sandbox.jet.folder import Found, expand, make_directory
from jetworker.sandbox.jet.journal import Journal
from jetworker.sandbox.jet.model import (
    Delivery,
    DeliveryState,
    File,
    FileState,
    Job,
    Transfer,
    TransferState,
    progress_of,
    summary_of,
)

log = structlog.get_logger()

_FILES_AT_ONCE = 4
_GROWING_AT_ONCE = 64  # a growing file mostly waits


class Engine:
    """Moves deliveries forward; owns the tasks of the real ones."""

    def __init__(
        self, journal: Journal, parallel: int, changed: Callable[[Delivery], None]
    ) -> None:
        self._changed = changed
        self._journal = journal
        self._parallel = parallel
        self._tasks: dict[JobId, set[asyncio.Task[None]]] = {}
        self._slots: dict[JobId, asyncio.Semaphore] = {}
        self._paces: dict[JobId, Pace] = {}

    def start(self, job: Job, delivery: Delivery) -> None:
        """Begin a delivery, or begin it again after a restart."""
        job.open[delivery.delivery_id] = delivery
        self._changed(delivery)
        seconds = job.tuning.virtual_seconds
        if seconds is not None:
            delivery.virtual = (job.gate.seconds, seconds)
            self.refresh(job, delivery)
            return
        task = asyncio.create_task(self._run(job, delivery), name="delivery")
        tasks = self._tasks.setdefault(job.job_id, set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_report)

    def refresh(self, job: Job, delivery: Delivery) -> None:
        """Bring a virtual delivery up to date; a real one is."""
        if delivery.virtual is None or delivery.state.is_final:
            return
        begun, seconds = delivery.virtual
        size = job.tuning.batch_size
        batches = max(1, -(-len(delivery.objects) // size))
        stage = virtual.stage(seconds, batches, job.gate.seconds - begun)
        upto = min(batches, stage.batch + 1)
        if stage.state in {DeliveryState.CREATED, DeliveryState.QUEUED}:
            upto = 0
        begun_already = len(_going_on(delivery))
        is_retry = begun_already < len(delivery.transfers)
        for at in range(begun_already * size, upto * size, size):
            specs = delivery.objects[at : at + size]
            files = [File(s.relative_path, s.size) for s in specs]
            self._add(job, delivery, files, is_retry=is_retry)
        self._advance(job, delivery, stage)

    def stop(self, job: Job) -> None:
        """Drop everything of a job that is deleted."""
        for task in self._tasks.pop(job.job_id, set()):
            task.cancel()

    async def close(self) -> None:
        """Stop everything; with a data folder it starts over next time."""
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _advance(self, job: Job, delivery: Delivery, stage: virtual.Stage) -> None:
        failing = job.tuning.virtual_failing
        for number, transfer in enumerate(_going_on(delivery)):
            if transfer.progress is not None:
                continue
            if number < stage.batch:
                virtual.advance(transfer.files, 1.0, failing)
                self._end(transfer, delivery)
            elif stage.state is DeliveryState.IN_PROGRESS:
                virtual.advance(transfer.files, stage.fraction, failing)
                self._set(transfer, TransferState.IN_PROGRESS)
        if stage.state.is_final:
            self._finish(job, delivery)
        elif stage.state is not delivery.state or stage.fraction:
            self._show(delivery, stage.state)

    async def _run(self, job: Job, delivery: Delivery) -> None:
        await self._step(job)
        self._show(delivery, DeliveryState.QUEUED)
        slots = self._slots.setdefault(job.job_id, asyncio.Semaphore(self._parallel))
        async with slots:
            await self._step(job)
            found = await asyncio.to_thread(expand, job.source.folder, delivery.objects)
            rest = [one for one in found if one.path not in _done(delivery)]
            files = await self._prepare(job, rest)
            is_retry = len(_going_on(delivery)) < len(delivery.transfers)
            at = 0
            while at < len(files):
                size = job.tuning.batch_size
                await self._batch(
                    job, delivery, files[at : at + size], is_retry=is_retry
                )
                at += size
        self._finish(job, delivery)

    async def _prepare(self, job: Job, found: Sequence[Found]) -> list[File]:
        """Make the directories, also empty ones; return the files."""
        root = job.destination.folder
        for one in found:
            if one.is_directory and one.path:
                await asyncio.to_thread(_try_to_make, root, one.path)
        return [_file(one) for one in found if not one.is_directory]

    async def _batch(
        self, job: Job, delivery: Delivery, files: list[File], *, is_retry: bool
    ) -> None:
        if delivery.state is DeliveryState.IN_PROGRESS:
            self._show(delivery, DeliveryState.QUEUED)
            await self._step(job)
        transfer = self._add(job, delivery, files, is_retry=is_retry)
        self._show(delivery, DeliveryState.SCHEDULED)
        await self._step(job)
        self._set(transfer, TransferState.IN_PROGRESS)
        self._show(delivery, DeliveryState.IN_PROGRESS)
        await self._copy_all(job, transfer)
        self._end(transfer, delivery)

    async def _copy_all(self, job: Job, transfer: Transfer) -> None:
        at_once = _GROWING_AT_ONCE if transfer.is_growing else _FILES_AT_ONCE
        places = asyncio.Semaphore(at_once)
        pace = self._paces.setdefault(job.job_id, Pace(job))

        async def one(number: int, file: File) -> None:
            async with places:
                await copy(file, job, pace, f"{transfer.transfer_id}-{number}")
                transfer.changed_on = _now()

        async with asyncio.TaskGroup() as tasks:
            for number, file in enumerate(transfer.files):
                if file.state is FileState.IN_PROGRESS:
                    tasks.create_task(one(number, file), name="copy")

    def _add(
        self,
        job: Job,
        delivery: Delivery,
        files: list[File],
        *,
        is_retry: bool = False,
    ) -> Transfer:
        now = _now()
        transfer = Transfer(
            transfer_id=TransferId(str(uuid4())),
            batch_id=str(uuid4()),
            created_on=now,
            changed_on=now,
            files=files,
            is_retry=is_retry,
            is_growing=job.growing_idle_seconds is not None,
        )
        delivery.transfers.append(transfer)
        job.transfers[transfer.transfer_id] = (delivery, transfer)
        self._journal.transfer(delivery, transfer)
        return transfer

    def _end(self, transfer: Transfer, delivery: Delivery) -> None:
        transfer.progress = progress_of(transfer.files)
        self._set(transfer, TransferState(_outcome(transfer.progress)))
        self._journal.transfer(delivery, transfer)

    def _finish(self, job: Job, delivery: Delivery) -> None:
        self._show(delivery, _outcome(summary_of(delivery)))
        job.open.pop(delivery.delivery_id, None)
        self._journal.delivery(delivery)

    def _set(self, transfer: Transfer, state: TransferState) -> None:
        transfer.state = state
        transfer.changed_on = _now()

    def _show(self, delivery: Delivery, state: DeliveryState) -> None:
        is_new = state is not delivery.state
        delivery.state = state
        delivery.changed_on = _now()
        if is_new:
            self._changed(delivery)

    async def _step(self, job: Job) -> None:
        await asyncio.sleep(job.tuning.step_seconds)
        await job.gate.passed()


def _outcome(progress: Progress) -> DeliveryState:
    """COMPLETED hides failed objects; FAILED is when nothing could be sent."""
    if progress.failed.count and not progress.transferred.count:
        return DeliveryState.FAILED
    return DeliveryState.COMPLETED


def _done(delivery: Delivery) -> set[str]:
    """Return what was settled before a restart; an interrupted transfer was not."""
    return {file.path for transfer in _going_on(delivery) for file in transfer.files}


def _going_on(delivery: Delivery) -> list[Transfer]:
    """Return the transfers that no restart interrupted."""
    return [t for t in delivery.transfers if t.state is not TransferState.CANCELLED]


def _file(found: Found) -> File:
    if found.error is None:
        return File(found.path, found.size)
    return File(found.path, found.size, FileState.FAILED, error=found.error)


def _try_to_make(root: Path, path: str) -> None:
    try:
        make_directory(root, path)
    except OSError as exc:
        log.warning("a directory cannot be made, its files will fail", reason=str(exc))


def _report(task: "asyncio.Task[None]") -> None:
    """Let a bug be seen; the delivery stays open for ever, as it would in Jet."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("a delivery died of a bug, it stays as it is", exc_info=exc)


def _now() -> datetime:
    return datetime.now(UTC)
