"""The routes file: YAML to routes, strict, and every mistake named by route and key."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from jetworker.core.command import JobId, RouteName
from jetworker.core.errors import ConfigurationError
from jetworker.core.route import Growing, Listing, OnUncertain, Route, WhenPaused
from jetworker.wire import strict_yaml
from jetworker.wire.durations import Duration, within
from jetworker.wire.jet import is_jet_id

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Prefix = Annotated[str, StringConstraints(pattern="^/", max_length=1024)]


_RULES = {
    "missing": "is required",
    "string_type": "must be text: put it in quotes",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must begin with /",  # the only pattern that there is
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "dict_type": "must be keys with values, as KEY: VALUE",
    "model_type": "must be keys with values, as KEY: VALUE",
    "tuple_type": "must be a list, as [/show/]",
    "too_short": "must not be empty",
}
_MOST_AT_ONCE = 8


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GrowingModel(_Strict):
    """How files that still grow are followed; used when the job is created."""

    idle_timeout: Annotated[
        Duration, Field(description="Without growth for so long, a file is done.")
    ]
    part_size_mib: Annotated[int, Field(ge=1, le=5120, strict=True)] | None = None


class RouteModel(_Strict):
    """One route: exactly one of job_id, job_name, or source with destination."""

    job_id: Name | None = None
    job_name: Name | None = None
    source: Annotated[
        Name | None, Field(description="Storage profile, by id or name.")
    ] = None
    destination: Annotated[
        Name | None, Field(description="Storage profile, by id or name.")
    ] = None
    growing_objects: GrowingModel | None = None
    when_paused: WhenPaused = WhenPaused.WAIT
    on_uncertain: OnUncertain = OnUncertain.RECONCILE
    max_active: Annotated[int, Field(ge=1, strict=True)] | None = None
    deadline: Annotated[Duration, within("1ms", "3650d")] | None = None
    allowed_paths: tuple[Prefix, ...] = ()
    paused: Annotated[
        StrictBool, Field(description="Commands are taken and wait; none is started.")
    ] = False
    exclusive: Annotated[
        bool,
        Field(
            strict=True,
            description="Nobody but this group starts deliveries on the job.",
        ),
    ] = False
    listing: Annotated[
        Listing,
        Field(
            description="`complete` states that GET job lists every delivery of the"
            " job, at the latest `starts.settle` after it was made."
        ),
    ] = Listing.LEARNED
    starts_at_once: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=_MOST_AT_ONCE, strict=True)],
        Field(
            description="Starts in flight on the job at once; `auto`: more than one"
            " where files tell lost ones apart."
        ),
    ] = "auto"
    notifications: Annotated[
        StrictBool,
        Field(
            description="Jet's JET_DELIVERY notifications of the job are subscribed to,"
            " as hints when to ask."
        ),
    ] = False

    @field_validator("job_id")
    @classmethod
    def _is_an_id(cls, value: str | None) -> str | None:
        if value is not None and not is_jet_id(value):
            msg = "not an id as Jet gives them; a name belongs into job_name"
            raise ValueError(msg)
        return value

    @field_validator("starts_at_once", mode="before")
    @classmethod
    def _is_auto_or_a_number(cls, value: object) -> object:
        """Say in one sentence what would be a complaint of each of the two."""
        is_number = type(value) is int and 1 <= value <= _MOST_AT_ONCE
        if value != "auto" and not is_number:
            msg = f"must be auto, or a whole number from 1 to {_MOST_AT_ONCE}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _names_one_job(self) -> Self:
        pair = self.source is not None or self.destination is not None
        if pair and (self.source is None or self.destination is None):
            missing = "source" if self.source is None else "destination"
            msg = f"{missing}: required, source and destination belong together"
            raise ValueError(msg)
        ways = [self.job_id is not None, pair or self.job_name is not None]
        if sum(ways) != 1:
            msg = (
                "job_id: give exactly one of job_id, job_name, or source with"
                " destination"
            )
            raise ValueError(msg)
        if self.growing_objects is not None and not pair:
            msg = "growing_objects: only with source and destination"
            raise ValueError(msg)
        return self


class RoutesFile(_Strict):
    """The routes file of jetworker."""

    routes: Annotated[dict[Name, RouteModel], Field(min_length=1)]


# By how deep a key of theirs lies.
_MODELS: dict[int, tuple[str, type[BaseModel]]] = {
    1: ("the file", RoutesFile),
    3: ("a route", RouteModel),
    4: ("growing_objects", GrowingModel),
}


def decode(text: bytes, file: str) -> dict[RouteName, Route]:
    """Read a routes file; raises ConfigurationError that names file, route and key."""
    try:
        tree = strict_yaml.loads(text)
    except strict_yaml.NotYaml as exc:
        where = f", line {exc.line}" if exc.line else ""
        msg = f"{file}{where}: {exc.problem}"
        raise ConfigurationError(msg) from exc
    try:
        parsed = RoutesFile.model_validate(tree)
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_input=False)
        msg = "; ".join(f"{file}: {_explain(problem)}" for problem in found[:5])
        raise ConfigurationError(msg) from exc
    routes = {
        RouteName(name): _route(RouteName(name), route)
        for name, route in parsed.routes.items()
    }
    _agree(routes.values(), file)
    return routes


def _agree(routes: Iterable[Route], file: str) -> None:
    """Refuse two routes of one job that say different things about it."""
    first: dict[tuple[str | None, ...], Route] = {}
    for route in routes:
        job = (route.job_id, route.job_name, route.source, route.destination)
        other = first.setdefault(job, route)
        for key in ("exclusive", "listing", "starts_at_once"):
            if _stated(route)[key] != _stated(other)[key]:
                msg = (
                    f"{file}: routes.{route.name}.{key}: routes.{other.name} is of the"
                    " same job and says otherwise; it is a fact of the job"
                )
                raise ConfigurationError(msg)


def _stated(route: Route) -> dict[str, object]:
    return {
        "exclusive": route.is_exclusive,
        "listing": route.listing,
        "starts_at_once": route.starts_at_once,
    }


def _explain(problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    if path[-1:] == ["[key]"] and problem["type"] != "extra_forbidden":
        path.pop()  # it is of the name itself
    message = _RULES.get(problem["type"]) or re.sub(
        "^(Input|String) should",
        "must",
        str(problem["msg"]).removeprefix("Value error, "),
    )
    key, _, rest = message.partition(": ")
    if rest and key.isidentifier():
        path, message = [*path, key], rest
    if problem["type"] == "extra_forbidden":
        message = _unknown(path)
    return f"{'.'.join(path) or 'the file'}: {message}"


def _unknown(path: Sequence[str]) -> str:
    """Say of what the last of *path* is no key, and which one may be meant."""
    of, model = _MODELS[len(path)]
    close = difflib.get_close_matches(path[-1].lower(), model.model_fields, 1, 0.7)
    cure = f"did you mean {close[0]}?" if close else "remove or correct it"
    return f"is not a key of {of}, {cure}"


def _route(name: RouteName, model: RouteModel) -> Route:
    growing = model.growing_objects
    pair = model.source is not None
    return Route(
        name=name,
        job_id=JobId(model.job_id) if model.job_id else None,
        job_name=model.job_name or (name if pair else None),
        source=model.source,
        destination=model.destination,
        growing=Growing(growing.idle_timeout, growing.part_size_mib)
        if growing
        else None,
        when_paused=model.when_paused,
        on_uncertain=model.on_uncertain,
        max_active=model.max_active,
        deadline=model.deadline,
        allowed_paths=model.allowed_paths,
        paused=model.paused,
        starts_at_once=None if model.starts_at_once == "auto" else model.starts_at_once,
        is_exclusive=model.exclusive,
        listing=model.listing,
        is_notified=model.notifications,
    )
