"""`python -m jetworker` and the `jetworker` command."""

import signal
import sys
from types import FrameType


def main() -> None:
    """
    Run the command line.

    Importing takes longer than a signal may wait: until the worker has taken over,
    SIGTERM means that there is nothing to finish yet.
    """
    if "run" in sys.argv[1:2]:
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
    from jetworker.cli.main import run  # noqa: PLC0415 -- after the signals, see above

    run()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
