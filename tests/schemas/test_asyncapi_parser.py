"""AsyncAPI's own parser reads the document, references and bindings included."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCHEMAS = Path(__file__).parents[2] / "schemas"
PARSER = "@asyncapi/parser@3.6.3"
# That there is a newer version of AsyncAPI than 3.0, whose only news is another broker.
IGNORED = {"asyncapi-latest-version asyncapi"}

# The first one downloads.
pytestmark = [pytest.mark.platform("npm"), pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the parser from npm, and return the script that runs it."""
    folder = tmp_path_factory.mktemp("asyncapi")
    options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        ["npm", "install", *options, PARSER],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    script = folder / "asyncapi_parser.mjs"  # modules are looked for beside it
    shutil.copy(Path(__file__).with_name(script.name), script)
    return script


def _parsed(script: Path, document: Path) -> dict[str, Any]:
    done = subprocess.run(
        ["node", str(script), str(document)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_parser_finds_nothing_wrong_and_sees_what_goes_where(parser: Path) -> None:
    found = _parsed(parser, SCHEMAS / "asyncapi.yaml")

    assert set(found["problems"]) == IGNORED
    assert found["operations"] == [
        ["receive", "jet.commands"],
        ["send", "jet.events"],
        ["send", "jet.deliveries"],
        ["send", "jet.dead-letters"],
    ]
    assert {"command", "dead letter", "io.jetworker.delivery.accepted"} <= {
        *found["messages"]
    }


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("./events/delivery.v1", "./events/delivery.v9", "invalid-ref"),
        ("topic: jet.commands", "topic: [jet.commands]", "asyncapi-document"),
        ("action: receive", "action: take", "asyncapi-document"),
        ("version: 1.0.0", "versions: 1.0.0", "asyncapi-document"),
    ],
)
def test_the_parser_would_find_what_is_wrong(
    parser: Path, tmp_path: Path, right: str, wrong: str, problem: str
) -> None:
    copy = tmp_path / "schemas"
    shutil.copytree(SCHEMAS, copy, ignore=shutil.ignore_patterns("released"))
    text = (copy / "asyncapi.yaml").read_text()
    assert right in text
    (copy / "asyncapi.yaml").write_text(text.replace(right, wrong))

    found = _parsed(parser, copy / "asyncapi.yaml")["problems"]
    assert any(each.startswith(problem) for each in found), found
