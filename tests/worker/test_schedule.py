"""What is due when, and that putting it off costs nothing."""

from dataclasses import dataclass

from jetworker.worker.following.schedule import Schedule


@dataclass(eq=False)
class Thing:
    name: str
    due: float = 0.0
    queued_for: float | None = None


def popped(schedule: Schedule[Thing], now: float) -> list[str]:
    found = []
    while (each := schedule.pop(now)) is not None:
        found.append(each.name)
    return found


def test_what_is_due_comes_in_its_order_and_once() -> None:
    schedule: Schedule[Thing] = Schedule()
    a, b, c = Thing("a"), Thing("b"), Thing("c")
    schedule.put(a, 3.0)
    schedule.put(b, 2.0)
    schedule.put(c, 9.0)
    schedule.put(a, 1.0)

    assert schedule.next_at == 1.0
    assert popped(schedule, 5.0) == ["a", "b"]
    assert popped(schedule, 9.0) == ["c"]
    assert schedule.next_at == float("inf")


def test_what_is_put_off_a_thousand_times_takes_two_places() -> None:
    schedule: Schedule[Thing] = Schedule()
    a = Thing("a")
    for at in range(1, 1001):
        schedule.put(a, float(at))

    assert popped(schedule, 999.0) == []
    assert popped(schedule, 1000.0) == ["a"]
    assert schedule.entries_made == 2


def test_what_is_taken_out_does_not_come_until_it_is_put_in_again() -> None:
    schedule: Schedule[Thing] = Schedule()
    a = Thing("a")
    schedule.put(a, 1.0)
    schedule.take_out(a)
    before = popped(schedule, 1.0)
    schedule.put(a, 2.0)

    assert before == []
    assert popped(schedule, 2.0) == ["a"]
