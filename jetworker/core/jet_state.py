"""Jet's words for the state of a delivery or transfer: an open set."""

_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CANCELED"})
_RUNNING = frozenset({"CREATED", "QUEUED", "SCHEDULED", "IN_PROGRESS"})


def is_final_in_jet(jet_state: str | None) -> bool:
    """Whether Jet's word means that nothing comes after; unknown words do not."""
    return (jet_state or "").upper() in _ENDED


def is_known_in_jet(jet_state: str | None) -> bool:
    """Whether it is a word that Jet's page or its webhooks' examples have."""
    return (jet_state or "").upper() in _ENDED | _RUNNING
