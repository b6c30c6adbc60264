"""
`jetworker schemas publish URL`: the schemas of the topics, for a Schema Registry.

One subject a topic, TOPIC-value, as serializers name them: what may be written to the
commands topic, and any of what is written to the events topic. Nothing is registered
unless all of it is compatible by the registry's own rules, and what is there already is
left as it is.
"""

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
import orjson

from jetworker.cli import output, schemas
from jetworker.cli.exit_codes import OK
from jetworker.config.model import TopicsConfig
from jetworker.core.errors import ConfigurationError, JetworkerError
from jetworker.wire.jet import quote as quoted
from jetworker.wire.printed import PublishedData, PublishedSubjectData

_KIND = "application/vnd.schemaregistry.v1+json"
_USER_INFO = "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"
_TIMEOUT = 30.0  # seconds
_NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN = 404, 401, 403
_SAID = 5  # reasons of a registry that are repeated
_CANNOT_COMPARE = (
    "it cannot compare ours, of JSON Schema draft 7, with the latest version there, so"
    " nothing was registered: set the subject's compatibility to NONE for this once"
)


@dataclass(frozen=True, slots=True)
class Registry:
    """Where a registry is, and how one signs in; the latter is never shown."""

    url: str
    auth: tuple[str, str] | None

    @classmethod
    def of(cls, text: str, environ: Mapping[str, str] = os.environ) -> "Registry":
        """Read a URL; raises ConfigurationError, which shows no credentials."""
        url, host, port = urlsplit(""), None, ""
        with suppress(ValueError):  # brackets, or a port that is none
            url = urlsplit(text)
            port = f":{url.port}" if url.port else ""
            host = url.hostname
        if not host or url.scheme not in {"http", "https"} or url.query or url.fragment:
            msg = "the registry's URL: write https://[USER:PASSWORD@]HOST:PORT"
            raise ConfigurationError(msg)
        auth = _pair(environ.get(_USER_INFO))
        if url.username is not None:
            auth = unquote(url.username), unquote(url.password or "")
        host = f"[{host}]" if ":" in host else host
        place = urlunsplit((url.scheme, f"{host}{port}", url.path.rstrip("/"), "", ""))
        return cls(place, auth)


def _pair(given: str | None) -> tuple[str, str] | None:
    if not given:
        return None
    user, colon, password = given.partition(":")
    if not colon:
        msg = f"{_USER_INFO}: write USER:PASSWORD"
        raise ConfigurationError(msg)
    return user, password


def subjects(topics: TopicsConfig) -> Iterator[tuple[str, str]]:
    """Yield each subject with the text of its schema."""
    yield f"{topics.commands}-value", schemas.of_commands()
    yield f"{topics.events}-value", schemas.of_events()


async def publish(registry: Registry, topics: TopicsConfig, *, as_json: bool) -> int:
    """Register what is not there yet; raises JetworkerError that says why not."""
    wanted = dict(subjects(topics))
    async with httpx.AsyncClient(
        base_url=registry.url,
        auth=registry.auth,
        headers={"Content-Type": _KIND, "Accept": f"{_KIND}, application/json"},
        timeout=_TIMEOUT,
        verify=ssl.create_default_context(),
    ) as http:
        asked = (_missing(http, name, text) for name, text in wanted.items())
        missing = [
            name
            for name, is_missing in zip(
                wanted, await asyncio.gather(*asked), strict=True
            )
            if is_missing
        ]
        for name in missing:
            await _ask(http, "POST", f"{_path(name)}/versions", wanted[name])
        found = [
            PublishedSubjectData(
                subject=name,
                version=(await _ask(http, "POST", _path(name), text))["version"],
                registered=name in missing,
            )
            for name, text in wanted.items()
        ]
    if as_json:
        output.document(PublishedData(subjects=tuple(found)))
        return OK
    for each in found:
        how = "registered" if each.registered else "there already"
        output.say(f"{each.subject}: version {each.version}, {how}")
    return OK


async def _missing(http: httpx.AsyncClient, subject: str, schema: str) -> bool:
    """Return whether a schema is to be registered; raises where it may not be."""
    if await _ask(http, "POST", _path(subject), schema, or_none=True) is not None:
        return False
    path = f"/compatibility{_path(subject)}/versions/latest?verbose=true"
    judged = await _ask(http, "POST", path, schema, or_none=True)
    if judged is not None and judged.get("is_compatible") is not True:
        reasons = [quoted(str(x)) for x in judged.get("messages") or ()][:_SAID]
        because = f": {'; '.join(reasons)}" if reasons else ""
        msg = (
            f"{subject}: the schema is not compatible with the registry's latest"
            f" version, nothing was registered{because}"
        )
        raise JetworkerError(msg)
    return True


async def _ask(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    schema: str,
    *,
    or_none: bool = False,
) -> Any:
    """Return the registry's answer; None for what it does not have, where that may be."""
    body = orjson.dumps({"schemaType": "JSON", "schema": schema})
    try:
        answer = await http.request(method, path, content=body)
    except (httpx.HTTPError, OSError) as exc:
        msg = f"the registry {http.base_url} did not answer: {type(exc).__name__}"
        raise JetworkerError(msg) from exc
    if answer.status_code == _NOT_FOUND and or_none:
        return None
    if answer.status_code in {_UNAUTHORIZED, _FORBIDDEN}:
        msg = (
            f"the registry {http.base_url} refuses us ({answer.status_code}): give"
            f" USER:PASSWORD in the URL or in {_USER_INFO}"
        )
        raise JetworkerError(msg)
    try:
        said = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        said = None
    if not answer.is_success or not isinstance(said, dict):
        told = said.get("message") if isinstance(said, dict) else None
        what = quoted(str(told)) if told else "not as a Schema Registry does"
        msg = f"the registry {http.base_url} answered {answer.status_code}: {what}"
        if isinstance(told, str) and path.startswith("/compatibility"):
            msg += f"; {_CANNOT_COMPARE}"
        raise JetworkerError(msg)
    return said


def _path(subject: str) -> str:
    return f"/subjects/{quote(subject, safe='')}"
