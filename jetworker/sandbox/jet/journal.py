"""The journal: jobs, deliveries and transfers, a JSON line each, so that they survive."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import orjson

from jetworker.sandbox.jet.model import Delivery, Job, Transfer, progress_of


class Journal:
    """Appends to `journal.ndjson` in a data folder; without one it keeps nothing."""

    def __init__(self, data: Path | None) -> None:
        self._file: IO[bytes] | None = None
        self._path = data / "journal.ndjson" if data else None

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield what earlier runs wrote, without a line that a crash cut short."""
        if self._path is None or not self._path.exists():
            return
        whole, _, _ = self._path.read_bytes().rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as exc:
                msg = f"{self._path}, line {number} is damaged: move the file away"
                raise ValueError(msg) from exc

    def open(self) -> None:
        """Begin to append, in place of a line that a crash cut short."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            self._file.truncate(self._path.read_bytes().rfind(b"\n") + 1)

    def close(self) -> None:
        """Stop appending."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def job(self, job: Job, *, deleted: bool = False) -> None:
        """Write a job as it is now."""
        self._append(
            kind="job",
            jobId=job.job_id,
            name=job.name,
            source=job.source.name,
            destination=job.destination.name,
            options=job.options,
            createdOn=job.created_on,
            changedOn=job.changed_on,
            paused=job.paused,
            deleted=deleted,
        )

    def delivery(self, delivery: Delivery) -> None:
        """Write a delivery as it is now."""
        self._append(
            kind="delivery",
            jobId=delivery.job_id,
            deliveryId=delivery.delivery_id,
            createdOn=delivery.created_on,
            changedOn=delivery.changed_on,
            objects=[asdict(spec) for spec in delivery.objects],
            state=delivery.state,
            foreign=delivery.is_foreign,
        )

    def transfer(self, delivery: Delivery, transfer: Transfer) -> None:
        """Write a transfer as it is now."""
        self._append(
            kind="transfer",
            jobId=delivery.job_id,
            deliveryId=delivery.delivery_id,
            transferId=transfer.transfer_id,
            batchId=transfer.batch_id,
            createdOn=transfer.created_on,
            changedOn=transfer.changed_on,
            isRetry=transfer.is_retry,
            isGrowing=transfer.is_growing,
            state=transfer.state,
            progress=asdict(transfer.progress or progress_of(transfer.files)),
            files=[
                {"path": f.path, "size": f.size, "state": f.state, "copied": f.copied}
                for f in transfer.files
            ],
        )

    def _append(self, **entry: Any) -> None:
        if self._file is not None:
            self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()


def times_of(entry: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Return when what is restored was made and last changed."""
    created, changed = map(
        datetime.fromisoformat, (entry["createdOn"], entry["changedOn"])
    )
    return created, changed
