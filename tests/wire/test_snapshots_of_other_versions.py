"""A snapshot of another version is refused, or nothing of it is lost; never guessed."""

import json
from contextlib import suppress
from typing import Any

import pytest

from jetworker.core.delivery import Delivery, ReasonCode
from jetworker.core.finished import finish
from jetworker.core.lifecycle import transition
from jetworker.core.observation import JetDelivery, JetTransfer
from jetworker.core.transitions import Policy
from jetworker.core.trigger import Blocked, Deferred, StatusObserved, Trigger
from jetworker.wire import snapshots
from jetworker.wire.snapshots import Snapshot
from tests.support import stored_state
from tests.support.builders import DELIVERY, NOW

_STORIES = stored_state.SNAPSHOTS["0.1.0"]
# As hard to keep as they come: deep, exact, in any script, named as a field of ours.
_NEW: dict[str, Any] = {
    "zebra": {"of": [1, None, {"deep": "naïve \"'\n\t"}]},
    "exact": 18446744073709551617,
    "none": None,
    "unknown": "AAAA",
}


@pytest.mark.parametrize("name", _STORIES)
def test_a_field_beside_the_form_is_read_and_written_again(name: str) -> None:
    newer = _document(name) | _NEW

    written = _again(newer)

    assert _only(newer, written) == newer
    known = {field: written[field] for field in written if field not in _NEW}
    assert _decode(known) == _STORIES[name]


@pytest.mark.parametrize("name", _STORIES)
def test_a_field_in_the_form_is_read_and_written_again(name: str) -> None:
    newer = _document(name)
    (form,) = newer.keys() - {"v"}
    newer[form] |= _NEW

    written = _again(newer)

    assert _only(newer, written) == newer
    for field in _NEW:
        del written[form][field]
    assert _decode(written) == _STORIES[name]


def test_a_field_named_as_what_carries_the_unknown_ones_is_one_of_them() -> None:
    newer = _document("accepted")
    newer["open"]["unknown"] = "AAAA"

    assert _again(newer)["open"]["unknown"] == "AAAA"


@pytest.mark.parametrize("name", _STORIES)
def test_a_field_of_any_part_is_read_and_written_again(name: str) -> None:
    newer = _everywhere(_document(name))

    assert _only(newer, _again(newer)) == newer


def test_a_step_leaves_the_fields_of_all_that_it_does_not_write_anew() -> None:
    newer = _everywhere(_document("in-progress-with-all-it-can-have"))
    (moving, *others) = newer["open"]["transfers"]
    seen = JetTransfer(moving["transfer_id"], "COMPLETED", is_retry=False)

    after = _after(newer, StatusObserved(None, (seen,)))

    (moved, *left) = after["open"]["transfers"]
    assert _only(others, left) == others
    assert (moved["jet_state"], "new" in moved) == ("COMPLETED", False)
    del newer["open"]["transfers"], newer["open"]["sequence"]
    assert _only(newer, after) == newer


def test_a_part_that_is_gone_takes_its_fields_along() -> None:
    newer = _everywhere(_document("starting-with-all-it-can-have"))
    deferred = Deferred(Blocked(ReasonCode.JOB_PAUSED, "?"))

    after = _after(newer, deferred)["open"]

    assert after["intent"] is None
    assert after["reason"] == {"code": "job_paused", "message": "?"}
    left = {name: newer["open"][name] for name in ("terms", "objects", "new")}
    assert _only(left, after) == left


def test_the_end_keeps_what_was_beside_the_delivery_not_what_was_in_it() -> None:
    """What a field of an open one means in a finished one is for its version to say."""
    newer = _everywhere(_document("in-progress"))
    seen = StatusObserved(JetDelivery(DELIVERY, "COMPLETED"))
    ended = transition(_delivery(newer), seen, NOW, Policy()).delivery

    written = json.loads(snapshots.encode(finish(ended)))

    assert written["new"] == newer["new"]
    assert "new" not in written["end"]


@pytest.mark.parametrize("number", [-1, 2**63, 2**64, 10**40, 1e300])
@pytest.mark.parametrize("name", _STORIES)
def test_a_number_that_no_event_can_be_written_with_is_refused_wherever_it_is(
    name: str, number: float
) -> None:
    document = _document(name)

    read = [
        where
        for where in _numbers(document)
        if _is_read(_exchanged(document, where, number))
    ]

    assert len(_numbers(document)) > 2
    assert read == []


def test_sizes_whose_sum_no_event_can_be_written_with_are_refused() -> None:
    document = _document("accepted")
    sized = [{**each, "size": 2**62} for each in document["open"]["objects"]] * 2

    assert len(sized) > 1
    assert not _is_read(_exchanged(document, ("open", "objects"), sized))


@pytest.mark.parametrize("name", _STORIES)
@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_a_snapshot_of_another_version_is_refused(name: str, version: Any) -> None:
    with pytest.raises(snapshots.UnreadableSnapshot):
        _decode(_document(name) | {"v": version})


@pytest.mark.parametrize("name", ["accepted", "completed"])
def test_a_snapshot_that_names_no_version_is_refused(name: str) -> None:
    document = _document(name)
    del document["v"]

    with pytest.raises(snapshots.UnreadableSnapshot):
        _decode(document)


@pytest.mark.parametrize("name", ["accepted", "completed"])
@pytest.mark.parametrize("new", ["NaN", "1e999", '"\\ud800"', "[" * 2000 + "]" * 2000])
def test_a_field_that_could_not_be_written_again_is_refused(
    name: str, new: str
) -> None:
    value = json.dumps(_document(name), separators=(",", ":"))

    with pytest.raises(snapshots.UnreadableSnapshot):
        snapshots.decode(f'{value[:-1]},"new":{new}}}'.encode())


def test_a_snapshot_written_otherwise_holds_nothing_unknown() -> None:
    """Blanks, another order, a default that is written out: the same delivery."""
    document = _document("uncertain")
    other = {"open": {"adopted": False, **document["open"]}, "v": 1}

    assert snapshots.decode(json.dumps(other).encode()) == _STORIES["uncertain"]


def _document(name: str) -> dict[str, Any]:
    """Return what the first version wrote of a story."""
    found: dict[str, Any] = {}
    for key, value in stored_state.records("0.1.0"):
        if key == name.encode() and value is not None:
            found = json.loads(value)
    return found


def _decode(document: dict[str, Any]) -> Snapshot:
    value = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return snapshots.decode(value.encode())


def _delivery(document: dict[str, Any]) -> Delivery:
    found = _decode(document)
    assert isinstance(found, Delivery)
    return found


def _again(document: dict[str, Any]) -> dict[str, Any]:
    """Read and write a document as often as a fleet is restarted."""
    for _ in range(3):
        document = json.loads(snapshots.encode(_decode(document)))
    return document


def _after(document: dict[str, Any], trigger: Trigger) -> dict[str, Any]:
    """Return what is written of it after a step."""
    step = transition(_delivery(document), trigger, NOW, Policy())
    written = json.loads(snapshots.encode(step.delivery))
    assert isinstance(written, dict)
    return written


def _everywhere(part: Any) -> Any:
    """Return a document with a new field in each of its parts."""
    if isinstance(part, list):
        return [_everywhere(each) for each in part]
    if isinstance(part, dict):
        return {name: _everywhere(part[name]) for name in part} | {"new": [len(part)]}
    return part


def _only(shape: Any, found: Any) -> Any:
    """Return what was found, without the fields that *shape* does not have."""
    if isinstance(shape, list):
        return [_only(*pair) for pair in zip(shape, found, strict=True)]
    if isinstance(shape, dict):
        return {name: _only(shape[name], found.get(name, "lost")) for name in shape}
    return found


_Where = tuple[str | int, ...]


def _numbers(part: Any, where: _Where = ()) -> list[_Where]:
    """Return where a document has whole numbers."""
    if isinstance(part, dict):
        each = list(part.items())
    else:
        each = list(enumerate(part)) if isinstance(part, list) else []
    found = [x for name, value in each for x in _numbers(value, (*where, name))]
    return [where] if type(part) is int else found


def _exchanged(document: Any, where: _Where, value: Any) -> Any:
    """Return a document with another value in one place."""
    copy = json.loads(json.dumps(document))
    part = copy
    for name in where[:-1]:
        part = part[name]
    part[where[-1]] = value
    return copy


def _is_read(document: Any) -> bool:
    with suppress(snapshots.UnreadableSnapshot):
        _decode(document)
        return True
    return False
