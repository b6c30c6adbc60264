"""The operations of Jet's API: functions of the world and a call, without HTTP."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jetworker.core.command import ObjectSpec, TransferId
from jetworker.sandbox.jet import bodies, documents
from jetworker.sandbox.jet.bodies import (
    FLAG,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
    Json,
    Rule,
    optional,
    required,
)
from jetworker.sandbox.jet.ledger import Ledger, Request
from jetworker.sandbox.jet.model import Delivery, Job
from jetworker.sandbox.jet.refusal import Refused
from jetworker.sandbox.jet.tokens import Tokens
from jetworker.sandbox.jet.world import World

_MOST = 100
_PAGE: Rule = (
    lambda v: bodies.is_whole(v) and v <= _MOST,
    f"a whole number from 0 to {_MOST}",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as an operation needs it; *entry* is its line in the ledger."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    entry: Request


class Operations:
    """What can be asked of the sandbox, by name."""

    def __init__(self, world: World, ledger: Ledger, tokens: Tokens) -> None:
        self._world = world
        self._ledger = ledger
        self._tokens = tokens

    def find(self, operation: str) -> Callable[[Call], Json]:
        """Return the operation of this name."""
        found: Callable[[Call], Json] = getattr(self, operation)
        return found

    def token(self, call: Call) -> Json:
        """POST /oauth/token."""
        fields = bodies.decode(call.body)
        if fields.get("grant_type") != "client_credentials":
            raise Refused(400, "grant_type must be client_credentials")
        client_id = required(fields, "client_id", TEXT)
        token, life = self._tokens.issue(
            client_id, required(fields, "client_secret", TEXT)
        )
        return {"access_token": token, "expires_in": life, "token_type": "Bearer"}

    def list_profiles(self, _call: Call) -> Json:
        """GET /v1/storageProfiles."""
        profiles = self._world.profiles.values()
        return {"items": [documents.profile(each) for each in profiles]}

    def search_profiles(self, call: Call) -> Json:
        """POST /v1/storageProfiles/search: finds all, what it takes is not known."""
        return self.list_profiles(call)

    def list_jobs(self, _call: Call) -> Json:
        """GET /v1/jobs."""
        now = datetime.now(UTC)
        return {"items": [documents.job(j, now) for j in self._world.jobs.values()]}

    def search_jobs(self, call: Call) -> Json:
        """POST /v1/jobs/search."""
        fields = bodies.decode(call.body)
        text = str(optional(fields, "query", OBJECT, {}).get("text", "")).lower()
        found = [j for j in self._world.jobs.values() if text in j.name.lower()]
        first = optional(fields, "offset", WHOLE, 0)
        page = found[first : first + optional(fields, "limit", _PAGE, _MOST)]
        items = [documents.job_found(job) for job in page]
        return {"items": items, "totalResultCount": len(found)}

    def get_job(self, call: Call) -> Json:
        """GET /v1/jobs/{jobId}."""
        return documents.job(self._job(call), datetime.now(UTC))

    def create_job(self, call: Call) -> Json:
        """POST /v1/jobs."""
        fields = bodies.decode(call.body)
        name = required(fields, "name", TEXT)
        action = required(
            {"0": required(fields, "actions", LIST)[0]}, "0", OBJECT, "actions."
        )
        data = required(action, "data", OBJECT, "actions.0.")
        ends = [
            required(
                required(data, end, OBJECT, "actions.0.data."),
                "storageProfileId",
                TEXT,
                f"actions.0.data.{end}.",
            )
            for end in ("source", "destination")
        ]
        options = _transfer_options(data)
        job = self._world.create_job(name, ends[0], ends[1], options)
        return documents.job(job, datetime.now(UTC))

    def set_paused(self, call: Call) -> Json:
        """PATCH /v1/jobs/{jobId}."""
        job = self._job(call)
        paused = required(bodies.decode(call.body), "paused", FLAG)
        self._world.set_paused(job, paused=paused)
        return documents.job(job, datetime.now(UTC))

    def delete_job(self, call: Call) -> Json:
        """DELETE /v1/jobs/{jobId}."""
        self._world.delete_job(self._job(call))
        return {}

    def start_delivery(self, call: Call) -> Json:
        """POST /v1/jobs/{jobId}/deliveries."""
        job = self._job(call)
        wanted = required(bodies.decode(call.body), "objects", LIST)
        delivery = self.start(job, wanted, call.entry)
        objects = [
            {"relativePath": o.relative_path, "sizeInBytes": o.size or 0}
            for o in delivery.objects
        ]
        return {"objects": objects, "deliveryId": delivery.delivery_id}

    def start(self, job: Job, objects: list[Any], entry: Request | None) -> Delivery:
        """Start a delivery and write its creation down; without *entry* it is foreign."""
        specs = [_spec(place, each) for place, each in enumerate(objects)]
        delivery = self._world.start(job, specs, foreign=entry is None)
        self._write_down(delivery, entry)
        return delivery

    def write_down(self, restored: Iterable[Delivery]) -> None:
        """Write down what earlier runs created; their requests are forgotten."""
        for delivery in restored:
            self._write_down(delivery, None)

    def _write_down(self, delivery: Delivery, entry: Request | None) -> None:
        self._ledger.creation(
            delivery.created_on,
            job=delivery.job_id,
            deliveryId=delivery.delivery_id,
            objects=[spec.relative_path for spec in delivery.objects],
            request=entry.n if entry else None,
            connection=entry.connection if entry else None,
            foreign=delivery.is_foreign,
        )

    def get_delivery(self, call: Call) -> Json:
        """GET /v1/jobs/{jobId}/deliveries/{deliveryId}."""
        job = self._job(call)
        found = self._world.refreshed(job, call.path["delivery"])
        return documents.delivery(job, found)

    def list_transfers(self, call: Call) -> Json:
        """GET /v1/jobs/{jobId}/transfers?state=IN_PROGRESS."""
        if call.query.get("state") != "IN_PROGRESS":
            raise Refused(400, "state is required and must be IN_PROGRESS")
        job = self._job(call)
        self._world.refresh_open(job)
        shown = [
            documents.transfer(job, delivery, transfer)
            for delivery in job.open.values()
            for transfer in delivery.transfers
            if transfer.state == "IN_PROGRESS"
        ]
        return {"items": shown}

    def get_transfer(self, call: Call) -> Json:
        """GET /v1/jobs/{jobId}/transfers/{transferId}."""
        job = self._job(call)
        found = job.transfers.get(TransferId(call.path["transfer"]))
        if found is None:
            raise Refused(404, "there is no such transfer on this job")
        self._world.refreshed(job, found[0].delivery_id)
        return documents.transfer(job, *found)

    def list_files(self, call: Call) -> Json:
        """GET /v1/jobs/{jobId}/files[?state=]."""
        job = self._job(call)
        self._world.refresh_open(job)
        wanted = call.query.get("state")
        shown = [
            documents.file(job, transfer.transfer_id, file)
            for _, transfer in job.transfers.values()
            for file in transfer.files
            if wanted in (None, file.state)
        ]
        return {"items": shown}

    def list_subscriptions(self, _call: Call) -> Json:
        """GET /v1/subscriptions."""
        return self._world.notifier.list()

    def subscribe(self, call: Call) -> Json:
        """POST /v1/subscriptions."""
        fields = bodies.decode(call.body)
        self._world.job(optional(fields, "eventFilterConfig", OBJECT, {}).get("jobId"))
        return self._world.notifier.add(fields)

    def unsubscribe(self, call: Call) -> Json:
        """DELETE /v1/subscriptions/{subscriptionId}."""
        return self._world.notifier.remove(call.path["subscription"])

    def unknown(self, _call: Call) -> Json:
        """Whatever Jet does not document: asked for in vain, but in the ledger."""
        raise Refused(404, "Jet documents no such method and path")

    def _job(self, call: Call) -> Job:
        return self._world.job(call.path["job"])


def _transfer_options(data: Json) -> Json:
    """Read how the job transfers; what is not known here is kept as it is."""
    where = "actions.0.data.transferOptions."
    options: Json = optional(data, "transferOptions", OBJECT, {}, "actions.0.data.")
    growing = optional(options, "growingObjects", OBJECT, {}, where)
    optional(growing, "growingIdleTimeoutInSeconds", NUMBER, None, where)
    return options


def _spec(place: int, fields: Any) -> ObjectSpec:
    """Read one object of a start; the errors are Jet's kind: 400 with a message."""
    where = f"objects.{place}."
    if not isinstance(fields, dict):
        raise Refused(400, f"objects.{place} must be a JSON object")
    path = required(fields, "relativePath", TEXT, where)
    parts = path.removeprefix("/").split("/")
    if (
        not path.startswith("/")
        or "\0" in path
        or (path != "/" and {"", ".", ".."} & set(parts))
    ):
        raise Refused(400, f"{where}relativePath must be absolute and plain")
    is_directory = fields.get("isDirectory") is True
    size = fields.get("sizeInBytes")
    return ObjectSpec(path, size if bodies.is_whole(size) else None, is_directory)
