"""
What can go wrong, split by what the caller does next.

    JetworkerError
    |-- IllegalTransition      a bug: set the delivery aside
    |-- SetAside               a bug: the delivery it met is ended or held, go on
    |-- LoopEnded              a bug: end the process, so that it is started anew
    |-- ConfigurationError     exit 78 with one line that names the cure
    |-- InvalidRecord          park the record, answer it, go on
    |-- StoreError             this partition's life is over: drop it and restore
    |   |-- Deaf               ... because this client will never read again: a new one
    |   |-- InputGap           ... because commands are gone unread: tell how many
    |   |-- Outgrown           ... because the topics have more partitions now
    |   |-- NotGathered        ... because not every partition has taken note of that
    |   |-- Fenced             ... because another worker owns the partition now
    |   |-- NotAllowed         ... because a right is missing
    |   |-- OwnedElsewhere     ... because another group owns the state: wait for it
    |   `-- StateLost          ... because what it knew is gone: an operator repairs it
    |-- LeaseLost              the start must not be sent: write it down again
    |-- Expired                the start must not be sent any more: its delivery has failed
    |-- KafkaUnavailable       Kafka cannot be reached: keep trying
    |-- JobUnavailable         a route's job cannot be told: an operator repairs it
    `-- JetError
        |-- JetUnavailable     try again later (`retry_after` seconds, if Jet said so)
        |-- JetUnauthorized    try again later, an operator must repair the credentials
        `-- JetRejected        do not try again (`status`, what Jet said)
            `-- JetNotFound    ... because it does not exist
"""

from jetworker.core.command import Reject


class JetworkerError(Exception):
    """Anything this program raises on purpose."""


class IllegalTransition(JetworkerError):
    """A trigger came that the delivery's state has no edge for."""


class SetAside(JetworkerError):
    """A step was not taken: our own code failed on it, and its delivery is set aside."""


class LoopEnded(JetworkerError):
    """A loop that was to run until the stop has ended, without an error of its own."""


class ConfigurationError(JetworkerError):
    """A setting, a route or a topic is wrong; the message names it and the cure."""


class InvalidRecord(JetworkerError):
    """A record that is no command; *reject* is how it is answered."""

    def __init__(self, reject: Reject) -> None:
        super().__init__(reject.message)
        self.reject = reject


class StoreError(JetworkerError):
    """Kafka did not take a transaction, or it is not known whether it did."""


class Fenced(StoreError):
    """Another worker has opened this partition's transactional id."""


class Deaf(StoreError):
    """A member of the group that is of no more use; another one is made."""


class InputGap(StoreError):
    """What a partition would have read next is not there any more."""

    def __init__(self, partition: int) -> None:
        super().__init__("commands that were to be read next are gone")
        self.partition = partition


class Outgrown(StoreError):
    """The topics have more partitions than a life of a partition knows of."""


class NotGathered(StoreError):
    """Some partitions have not taken note of a growth; the message names them."""


class NotAllowed(StoreError):
    """Kafka says that we may not."""


class OwnedElsewhere(StoreError):
    """The state belongs to another group; the message names both, and what to do."""


class StateLost(StoreError):
    """A state partition is not whole; the message says how that is known."""


class LeaseLost(JetworkerError):
    """It is not certain any more that the partition is ours."""


class Expired(JetworkerError):
    """The time by which a start was to be sent has passed."""


class KafkaUnavailable(JetworkerError):
    """Kafka did not answer; that is no configuration error."""


class JobUnavailable(JetworkerError):
    """No job, or several, fit a route; the message says what to repair."""


class JetError(JetworkerError):
    """Jet did not give what was asked for."""


class JetUnavailable(JetError):
    """No usable answer: connection, timeout, 408, 429, 5xx, garbage."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class JetUnauthorized(JetError):
    """Jet refuses our credentials, also after renewing the token once."""


class JetRejected(JetError):
    """Jet understood and said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JetNotFound(JetRejected):
    """404: what was asked for does not exist."""
