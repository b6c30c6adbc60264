"""What every part of the settings is made of."""

from datetime import timedelta

from pydantic import AfterValidator, BaseModel, ConfigDict

from jetworker.wire import durations


class Part(BaseModel):
    """A part of the settings: frozen, strict, and silent about what it was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def within(least: str, most: str) -> AfterValidator:
    """Bound a duration, and say the bounds as people write them."""
    shortest, longest = durations.parse(least), durations.parse(most)

    def check(value: timedelta) -> timedelta:
        if not shortest <= value <= longest:
            msg = f"must be between {least} and {most}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)
