"""What the commands print with `--json`: the words of the events, and nothing left out."""

from jetworker.wire.printed import CheckedData, ChecksData, SentData


def test_a_fact_that_is_absent_is_null() -> None:
    token = CheckedData(name="token", ok=True, message=None)

    assert ChecksData(ok=True, checks=(token,)).model_dump(by_alias=True) == {
        "ok": True,
        "checks": ({"name": "token", "ok": True, "message": None},),
    }


def test_names_are_those_of_the_events() -> None:
    sent = SentData(command_id="c-1", partition=3, offset=7)

    assert sent.model_dump(by_alias=True) == {
        "commandId": "c-1",
        "partition": 3,
        "offset": 7,
    }
