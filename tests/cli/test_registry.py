"""Schemas for a Schema Registry: registered once, compatible, and with no secret shown."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft7Validator

from jetworker.cli import schemas
from jetworker.cli.registry import Registry
from jetworker.core.errors import ConfigurationError
from tests.support import forked
from tests.support.waiting import PATIENCE

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"


@dataclass
class FakeRegistry:
    """A registry's subjects; *judgement* is its word on compatibility."""

    credentials: str | None = None
    judgement: dict[str, Any] = field(default_factory=lambda: {"is_compatible": True})
    status: int = 200
    subjects: dict[str, list[str]] = field(default_factory=dict)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as Confluent's API documents it."""
        wanted = base64.b64encode((self.credentials or "").encode()).decode()
        given = request.headers.get("Authorization", "")
        if self.credentials and given != f"Basic {wanted}":
            return web.json_response({"error_code": 401, "message": "No"}, status=401)
        schema = (await request.json())["schema"]
        subject = request.match_info["subject"]
        versions = self.subjects.get(subject, [])
        if request.path.startswith("/compatibility"):
            judged = web.json_response(self.judgement, status=self.status)
            return judged if versions else _none()
        if request.path.endswith("/versions"):
            self.subjects[subject] = [*versions, schema]
            return web.json_response({"id": len(versions) + 1})
        if schema not in versions:
            return _none()
        version = versions.index(schema) + 1
        return web.json_response({"subject": subject, "version": version})


def _none() -> web.Response:
    return web.json_response({"error_code": 40401, "message": "not found"}, status=404)


@asynccontextmanager
async def a_registry(**given: Any) -> AsyncIterator[FakeRegistry]:
    """Serve one."""
    registry = FakeRegistry(**given)
    app = web.Application()
    for path in (
        "/subjects/{subject}",
        "/subjects/{subject}/versions",
        "/compatibility/subjects/{subject}/versions/latest",
    ):
        app.router.add_post(path, registry.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    registry.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield registry
    finally:
        await runner.cleanup()


async def publish(url: str, **environ: str) -> tuple[int | None, str]:
    """Run the command as an operator does."""
    process = await forked.start(
        *("schemas", "publish", url),
        env={
            "JETWORKER_ROUTES_FILE": "routes.yaml",
            "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
            "JETWORKER_JET__CLIENT_ID": "a",
            "JETWORKER_JET__CLIENT_SECRET": "b",
            "JETWORKER_TOPICS__EVENTS": "told",
            **environ,
        },
        stdout=forked.PIPE,
        stderr=forked.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode, said.decode()


async def test_a_subject_for_each_topic_is_registered_once() -> None:
    async with a_registry() as registry:
        first, second = await publish(registry.url), await publish(registry.url)

    assert first == (
        0,
        "jet.commands-value: version 1, registered\n"
        "told-value: version 1, registered\n",
    )
    assert second == (0, first[1].replace("registered", "there already"))
    assert registry.subjects == {
        "jet.commands-value": [schemas.of_commands()],
        "told-value": [schemas.of_events()],
    }


async def test_nothing_is_registered_if_one_is_not_compatible() -> None:
    said = {"is_compatible": False, "messages": ["a field was removed"]}
    async with a_registry(judgement=said) as registry:
        registry.subjects["told-value"] = ["{}"]

        code, told = await publish(registry.url)

    assert code == 1
    assert "told-value: the schema is not compatible" in told
    assert "nothing was registered: a field was removed" in told
    assert registry.subjects == {"told-value": ["{}"]}


async def test_a_registry_that_cannot_compare_is_said_to_and_what_to_do_is() -> None:
    said = {"error_code": 0, "message": "#: could not determine version"}
    async with a_registry(judgement=said, status=500) as registry:
        registry.subjects["told-value"] = ["{}"]

        code, told = await publish(registry.url)

    assert code == 1
    assert "answered 500: #: could not determine version; it cannot compare" in told
    assert "set the subject's compatibility to NONE" in told
    assert registry.subjects == {"told-value": ["{}"]}


async def test_one_signs_in_by_the_url_or_the_environment_and_neither_is_shown() -> (
    None
):
    async with a_registry(credentials="me:can ary") as registry:
        url = registry.url.replace("//", "//me:can%20ary@")
        environ = {"SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO": "me:can ary"}
        wrong = registry.url.replace("//", "//me:canary-wrong@")
        found = [
            await publish(url),
            await publish(registry.url, **environ),
            await publish(registry.url),
            await publish(wrong),
        ]

    assert [code for code, _ in found] == [0, 0, 1, 1]
    assert all("give USER:PASSWORD in the URL or in" in told for _, told in found[2:])
    assert not any("ary" in told.replace("registry", "") for _, told in found)


async def test_what_is_no_registry_is_said_to_be_none() -> None:
    async with a_registry() as registry:
        code, told = await publish(f"{registry.url}/wrong")
        gone = await publish("http://me:canary@127.0.0.1:9")

    assert (code, gone[0]) == (1, 1)
    assert "answered 404: not as a Schema Registry does" in told
    assert "the registry http://127.0.0.1:9 did not answer: ConnectError" in gone[1]


@pytest.mark.parametrize(
    "url", ["", "registry:8081", "ftp://a", "https://a:x", "https://me:canary@", "//a"]
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the registry's URL") as caught:
        Registry.of(url, {})

    assert "canary" not in str(caught.value)


def _examples() -> Iterator[Path]:
    return (EXAMPLES / "events").rglob("*.json")


@pytest.mark.parametrize("text", [schemas.of_commands(), schemas.of_events()])
def test_what_is_published_is_of_draft_7_which_registries_compare(text: str) -> None:
    schema = json.loads(text)

    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$defs" not in text
    references = set(re.findall(r'"\$ref": "([^"]*)"', text))
    assert references
    assert references <= {f"#/definitions/{name}" for name in schema["definitions"]}
    # Draft 7 reads nothing that stands beside a reference.
    assert not re.search(r'"\$ref": "[^"]*",|, "\$ref"', text)


def test_every_event_is_valid_by_the_one_schema_of_its_topic() -> None:
    validator = Draft7Validator(json.loads(schemas.of_events()))
    found = list(_examples())

    assert found
    for path in found:
        validator.validate(json.loads(path.read_text()))
    assert not validator.is_valid({"eventType": "io.jetworker.delivery.accepted"})
