"""What the sandbox says no to."""

from jetworker.core.errors import JetworkerError


class Refused(JetworkerError):
    """A request is wrong; *status* is the answer's, the message names the cure."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
