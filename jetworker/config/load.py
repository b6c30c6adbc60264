"""Where the settings come from: one tree out of environment, secrets folder and file."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from jetworker.config.model import Config, KafkaConfig
from jetworker.core.errors import ConfigurationError
from jetworker.wire import strict_yaml

PREFIX = "JETWORKER_"
CONFIG = "JETWORKER_CONFIG"
SECRETS_DIR = "JETWORKER_SECRETS_DIR"
_INJECTED = ("JETWORKER_SERVICE_PORT", "JETWORKER_PORT_")
_INJECTED_EXACT = ("JETWORKER_SERVICE_HOST", "JETWORKER_PORT")

Tree: TypeAlias = dict[str, Any]


def load(environ: Mapping[str, str]) -> Config:
    """
    Read the settings: environment beats secrets beats file.

    Raises ConfigurationError with one line that names every wrong setting and the
    cure, and never a secret.
    """
    try:
        return Config.model_validate(_read(environ))
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_input=False)
        found = "; ".join(_explain(problem) for problem in problems)
        raise ConfigurationError(found) from exc


def _read(environ: Mapping[str, str]) -> Tree:
    """Return what is set, of all sources; raises ConfigurationError."""
    # Where a whole group is missing, each required setting in it is to be named.
    tree: Tree = {"kafka": {}, "jet": {}}
    for source in (_file, _secrets, _variables):
        tree = _merge(tree, source(environ))
    return tree


_IDENTITY = ("group_id", "group_instance_id", "session_timeout", "transaction_timeout")


def kafka_source(
    config: Config, environ: Mapping[str, str]
) -> Callable[[], KafkaConfig]:
    """Return what reads Kafka's settings anew at every call; raises ConfigurationError."""

    def read() -> KafkaConfig:
        now = load(environ).kafka
        # Who we are stays as it was: it was checked, and others know us by it.
        same = {name: getattr(config.kafka, name) for name in _IDENTITY}
        return now.model_copy(update=same)

    return read


def credentials_source(
    config: Config, environ: Mapping[str, str]
) -> Callable[[], tuple[str, str]]:
    """
    Return what reads client id and secret anew at every call.

    A secret that is rotated on disk is picked up with the next token; until the file or
    the folder can be read again, the last one stays.
    """
    last = (config.jet.client_id, config.jet.client_secret.get_secret_value())

    def read() -> tuple[str, str]:
        nonlocal last
        try:
            jet = _read(environ)["jet"]
        except ConfigurationError:
            return last
        if not isinstance(jet, dict):  # a file that is being written
            return last
        last = (
            str(jet.get("client_id") or last[0]),
            str(jet.get("client_secret") or last[1]),
        )
        return last

    return read


def variable(path: tuple[str | int, ...]) -> str:
    """Return the environment variable that sets the setting at *path*."""
    return PREFIX + "__".join(str(part) for part in path).upper()


def _explain(problem: Any) -> str:
    path = tuple(problem["loc"])
    name = variable(path) if path else "the settings"
    match problem["type"]:
        case "missing":
            return f"{name} is required and not set"
        case "extra_forbidden" if name in _NAMES:  # but for how a file writes it
            written = ".".join(map(str, path))
            meant = written.lower().replace("__", ".")  # as a variable nests
            return f"{written} is not a setting, write {meant}"
        case "extra_forbidden":
            return f"{name} is not a setting{_suggest(name)}"
        case _:
            message = _rule(problem)
            # A rule between two settings is reported of the part that has both.
            field, _, rest = message.partition(": ")
            if rest and field.isidentifier():
                return f"{variable((*path, field))}: {rest}"
            return f"{name}: {message}"


def _rule(problem: Any) -> str:
    """Say a rule in the words of an operator, not of the library."""
    if problem["type"] == "model_type":
        return "is a group of settings, not one"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return re.sub("^(Input|String|Value) should", "must", message)


def _suggest(name: str) -> str:
    # Without the prefix, which would make everything look alike.
    known = [each.removeprefix(PREFIX) for each in (*_NAMES, CONFIG, SECRETS_DIR)]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, 1, 0.7)
    return f", did you mean {PREFIX}{close[0]}?" if close else ", remove it"


def _names(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield variable((*path, name))
            yield from _names(kind, (*path, name))
        else:
            yield variable((*path, name))


_NAMES = frozenset(_names(Config, ()))
_GROUPS = frozenset(
    name for name in _NAMES if any(each.startswith(f"{name}__") for each in _NAMES)
)


def _variables(environ: Mapping[str, str]) -> Tree:
    tree: Tree = {}
    for name, value in sorted(environ.items()):
        if not name.upper().startswith(PREFIX) or name in (CONFIG, SECRETS_DIR):
            continue
        if name in _INJECTED_EXACT or name.startswith(_INJECTED):
            continue
        if name != name.upper():
            msg = f"{name} is not a setting, did you mean {name.upper()}?"
            raise ConfigurationError(msg)
        # As in a secrets folder: what a file's last line feed left behind is no secret.
        path = name.removeprefix(PREFIX).lower().split("__")
        _put(tree, path, value.rstrip("\r\n"), name)
    return tree


def _secrets(environ: Mapping[str, str]) -> Tree:
    folder = environ.get(SECRETS_DIR)
    if not folder:
        return {}
    tree: Tree = {}
    try:
        for path in sorted(Path(folder).iterdir()):
            # Kubernetes keeps the data of a mount in `..data` and links to it.
            if path.name.startswith(".") or not path.is_file():
                continue
            where = f"{SECRETS_DIR}: file {path.name}"
            name = f"{PREFIX}{path.name.upper()}"
            if name not in _NAMES:
                msg = f"{where} is not a setting{_suggest(name)}"
                raise ConfigurationError(msg)
            _put(tree, path.name.lower().split("__"), path.read_text().strip(), where)
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"{SECRETS_DIR}: {folder} cannot be read: {type(exc).__name__}"
        raise ConfigurationError(msg) from exc
    return tree


def _file(environ: Mapping[str, str]) -> Tree:
    file = environ.get(CONFIG)
    if not file:
        return {}
    try:
        tree = strict_yaml.loads(Path(file).read_bytes())
    except OSError as exc:
        msg = f"{CONFIG}: {file} cannot be read: {exc.strerror}"
        raise ConfigurationError(msg) from exc
    except strict_yaml.NotYaml as exc:
        where = f" in line {exc.line}" if exc.line else ""
        # What else is wrong with it may quote a secret.
        wrong = f": {exc.twice} occurs twice" if exc.twice else " is not YAML"
        msg = f"{CONFIG}: {file}{wrong}{where}"
        raise ConfigurationError(msg) from exc
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        msg = f"{CONFIG}: {file} is not a tree of settings"
        raise ConfigurationError(msg)
    try:
        return _without_blanks(tree, ())
    except RecursionError as exc:
        msg = f"{CONFIG}: {file} has an anchor that refers to itself"
        raise ConfigurationError(msg) from exc


def _without_blanks(tree: Tree, path: tuple[str, ...]) -> Tree:
    """Leave out what is named but not set, as `topics:`; keep what is no setting."""
    found: Tree = {}
    for name, value in tree.items():
        below = (*path, str(name))
        if isinstance(value, dict):
            found[name] = _without_blanks(value, below)
        elif value is not None or variable(below) not in _NAMES:
            found[name] = value
    return found


def _put(tree: Tree, path: list[str], value: str, name: str) -> None:
    whole = variable(tuple(path))
    # Set but empty means not set: that is how templates leave an option out.
    if value == "" and whole in _NAMES:
        return
    # Here, and not once all is read: then what is below it would be told of instead.
    if whole in _GROUPS:
        msg = f"{name}: is a group of settings, not one"
        raise ConfigurationError(msg)
    above = {variable(tuple(path[:length])) for length in range(1, len(path))}
    if above & (_NAMES - _GROUPS):
        msg = f"{name} is not a setting{_suggest(whole)}"
        raise ConfigurationError(msg)
    for part in path[:-1]:
        below: Any = tree.setdefault(part, {})
        if not isinstance(below, dict):
            msg = f"{name} is not a setting: {part} has none below it"
            raise ConfigurationError(msg)
        tree = below
    tree[path[-1]] = value


def _merge(below: Tree, above: Tree) -> Tree:
    """Return both trees in one; *above* wins."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = _merge(old, value)
        else:
            merged[name] = value
    return merged
