"""What the demo sends: generated files, and the commands about them."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SMALL, _LARGE, _GROWN = 200_000, 20_000_000, 3_000_000
_TREE = 12  # files


@dataclass(frozen=True, slots=True)
class Script:
    """
    Two folders, and what is published.

    *commands* end once each; *oddities* are the duplicate and the invalid ones.
    *rejected* and *duplicates* say how many answers of each kind must come.
    """

    source: Path
    destination: Path
    commands: list[bytes]
    oddities: list[bytes]
    sent: tuple[str, ...]
    failing: frozenset[str]
    rejected: int = 1
    duplicates: int = 1


def prepare(folder: Path) -> Script:
    """Generate files and commands."""
    source, destination = folder / "London", folder / "Paris"
    source.mkdir()
    destination.mkdir()
    clips = [f"/clip-{n:02}.mov" for n in range(54)]
    large = [f"/large-{n}.bin" for n in range(4)]
    tree = [f"/show/part-{n % 3}/{n:02}.mxf" for n in range(_TREE)]
    for path in (*clips, *tree):
        _write(source / path[1:], _SMALL)
    for path in large:
        _write(source / path[1:], _LARGE)
    _write(source / "growing.mxf", _GROWN // 10)
    commands = _commands(source, clips, large)
    oddities = [commands[0], b'{"commandId": "odd", "rout": "vault"}']
    sent = (*clips, *large, *tree, "/growing.mxf")
    return Script(source, destination, commands, oddities, sent, frozenset({"half"}))


def _commands(source: Path, clips: list[str], large: list[str]) -> list[bytes]:
    """Return a command for every file, one for a folder, and one that half fails."""
    routes = ("london-to-paris", "by-profiles", "vault")
    folder = {"relativePath": "/show", "isDirectory": True}
    missing = {"relativePath": "/is-not-there.mov"}
    return [
        *(
            _send(f"clip-{n:02}", routes[n % 3], [_file(source, path)])
            for n, path in enumerate(clips)
        ),
        *(
            _send(f"large-{n}", "london-to-paris", [_file(source, path)])
            for n, path in enumerate(large)
        ),
        _send("show", "by-profiles", [folder]),
        _send("growing", "growing", [{"relativePath": "/growing.mxf"}]),
        _send("half", "london-to-paris", [_file(source, clips[0]), missing]),
    ]


async def grow(script: Script) -> None:
    """Let one file grow while it is sent."""
    piece = hashlib.sha256(b"growing").digest() * 4096
    for _ in range(_GROWN // len(piece)):
        with (script.source / "growing.mxf").open("ab") as file:
            file.write(piece)
        await asyncio.sleep(0.2)


def _write(path: Path, size: int) -> None:
    """Write bytes that differ from file to file and are cheap to make."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = hashlib.sha256(str(path.name).encode()).digest() * 1024
    with path.open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def _file(source: Path, path: str) -> dict[str, Any]:
    size = (source / path[1:]).stat().st_size
    return {"relativePath": path, "sizeInBytes": size}


def _send(command_id: str, route: str, objects: list[dict[str, Any]]) -> bytes:
    command = {"commandId": command_id, "route": route, "objects": objects}
    return json.dumps(command | {"metadata": {"from": "demo"}}).encode()
