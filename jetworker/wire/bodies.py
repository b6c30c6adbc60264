"""The bodies of our requests to Jet: only the keys that the vendor's page shows."""

from collections.abc import Sequence
from typing import Any

import orjson

from jetworker.core.command import ObjectSpec, ProfileId
from jetworker.core.route import Growing


def start_body(objects: Sequence[ObjectSpec]) -> bytes:
    """Return the body that starts a delivery."""
    return orjson.dumps({"objects": [_object(spec) for spec in objects]})


def job_body(
    name: str, source: ProfileId, destination: ProfileId, growing: Growing | None
) -> bytes:
    """Return the body that creates a manual job."""
    data: dict[str, Any] = {
        "source": {"storageProfileId": source},
        "destination": {"storageProfileId": destination},
    }
    if growing is not None:
        idle = max(1, round(growing.idle_timeout.total_seconds()))
        options: dict[str, Any] = {
            "areGrowingObjects": True,
            "growingObjects": {"growingIdleTimeoutInSeconds": idle},
        }
        if growing.part_size_mib is not None:
            options["partSizeInMiB"] = growing.part_size_mib
        data["transferOptions"] = options
    return orjson.dumps({"name": name, "actions": [{"type": "TRANSFER", "data": data}]})


def _object(spec: ObjectSpec) -> dict[str, Any]:
    body: dict[str, Any] = {"relativePath": spec.relative_path}
    if spec.size is not None:
        body["sizeInBytes"] = spec.size
    if spec.is_directory:
        body["isDirectory"] = True
    return body
