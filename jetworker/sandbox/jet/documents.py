"""What the API shows: Jet's documents, with Jet's field names and shapes."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from jetworker.core.observation import Progress, Tally
from jetworker.sandbox.jet.model import (
    Delivery,
    File,
    Job,
    Profile,
    Transfer,
    progress_of,
    summary_of,
)
from jetworker.sandbox.jet.settings import Visible
from jetworker.wire import times

_ON_PREMISE = "ON_PREMISE_FILE_STORAGE"


def profile(shown: Profile) -> dict[str, Any]:
    """Return a storage profile."""
    return {
        "storageProfileId": shown.profile_id,
        "name": shown.name,
        "storageProfileType": _ON_PREMISE,
        "createdOn": times.encode(shown.created_on),
    }


def job(shown: Job, now: datetime) -> dict[str, Any]:
    """Return a job; `paused` is absent until somebody paused or resumed it."""
    data: dict[str, Any] = {
        "source": {"storageProfileId": shown.source.profile_id},
        "destination": {"storageProfileId": shown.destination.profile_id},
    }
    if shown.options:
        data["transferOptions"] = shown.options
    document: dict[str, Any] = {
        "jobId": shown.job_id,
        "name": shown.name,
        "accountId": "sandbox",
        "serviceId": "sandbox",
        "crossAccount": False,
        "createdOn": times.encode(shown.created_on),
        "lastModifiedOn": times.encode(shown.changed_on),
        "triggers": [],
        "actions": [{"actionId": shown.job_id, "type": "TRANSFER", "data": data}],
        "deliveries": [
            {"deliveryId": d.delivery_id, "createdOn": times.encode(d.created_on)}
            for d in _visible(shown, now)
        ],
    }
    return document | ({} if shown.paused is None else {"paused": shown.paused})


def job_found(shown: Job) -> dict[str, Any]:
    """Return a job as a search shows it."""
    return {
        "jobId": shown.job_id,
        "jobName": shown.name,
        "storageProfileIds": [shown.source.profile_id, shown.destination.profile_id],
        "status": "PAUSED" if shown.paused else "READY",
        "triggerTypes": ["MANUAL"],
        "deleted": False,
    }


def delivery(owner: Job, shown: Delivery) -> dict[str, Any]:
    """Return a delivery."""
    return {
        "metadata": {
            "jobId": shown.job_id,
            "actionId": shown.job_id,
            "baseUrl": owner.source.folder.as_uri(),
        },
        "createdByUser": "unknown",
        "lastModifiedByUser": "unknown",
        "deliverySummary": _progress(summary_of(shown)),
        "state": shown.state,
        "deliveryId": shown.delivery_id,
        "createdOn": times.encode(shown.created_on),
        "lastModifiedOn": times.encode(shown.changed_on),
        "lastEventTime": times.encode(shown.changed_on),
        "serviceId": "sandbox",
        "transfers": [{"transferId": t.transfer_id} for t in shown.transfers],
    }


def transfer(job: Job, owner: Delivery, shown: Transfer) -> dict[str, Any]:
    """Return a transfer."""
    progress = shown.progress or progress_of(shown.files)
    expected = Tally(len(shown.files), sum(f.size or 0 for f in shown.files))
    left = Tally(
        max(0, expected.count - progress.transferred.count - progress.failed.count),
        max(0, expected.bytes - progress.transferred.bytes),
    )
    return {
        "metadata": {
            "isRetry": shown.is_retry,
            "jobId": owner.job_id,
            "executionId": shown.batch_id,
            "deliveryId": owner.delivery_id,
            "deliveryBatchId": shown.batch_id,
            "disableRetry": False,
        },
        "source": _place(job.source),
        "destination": _place(job.destination),
        "options": {"areGrowingObjects": shown.is_growing},
        "objectsManifest": {"summary": _tally(expected)},
        "transferProgress": _progress(progress) | {"remaining": _tally(left)},
        "createdOn": times.encode(shown.created_on),
        "lastModifiedOn": times.encode(shown.changed_on),
        "transferId": shown.transfer_id,
        "state": shown.state,
    }


def file(owner: Job, transfer_id: str, shown: File) -> dict[str, Any]:
    """Return a file of a job."""
    return {
        "jobId": owner.job_id,
        "transferId": transfer_id,
        "state": shown.state,
        "url": f"file://{owner.source.folder}{shown.path}",
        "sizeInBytes": shown.size or 0,
        "fileType": "file",
    }


def _place(shown: Profile) -> dict[str, Any]:
    return {
        "accountId": "sandbox",
        "serviceId": "sandbox",
        "endpointId": shown.profile_id,
        "storageProfileType": _ON_PREMISE,
        "type": "INTERNAL",
        "url": shown.folder.as_uri(),
    }


def _visible(shown: Job, now: datetime) -> Iterable[Delivery]:
    lag = timedelta(seconds=shown.tuning.listing_lag_seconds)
    old = [d for d in shown.deliveries.values() if d.created_on + lag <= now]
    match shown.tuning.deliveries_visible:
        case Visible.YES:
            return old
        case Visible.LATEST:
            return old[-1:]
        case Visible.NO:
            return ()


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "transferred": _tally(progress.transferred),
        "skipped": _tally(progress.skipped),
        "failed": _tally(progress.failed),
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {"count": tally.count, "bytes": tally.bytes}
