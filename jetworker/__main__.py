"""`python -m jetworker` and the `jetworker` command."""

import os
import signal
import sys
from types import FrameType

_INTERRUPTED = 130  # 128 + SIGINT, as shells say it
_CONFIGURATION = 78  # as `cli.exit_codes`, without its imports


def main() -> None:
    """
    Run the command line.

    Importing takes longer than a signal may wait. Until the worker has taken over,
    SIGTERM means that there is nothing to finish yet; Ctrl-C on another command ends it
    at once, and not in the middle of an import with a traceback.
    """
    if "t" in sys.abiflags:
        raise SystemExit(_refused())
    if "run" in sys.argv[1:2]:
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
        from jetworker.cli.main import run  # noqa: PLC0415 -- after the signals

        run()
        return
    # A shell ignores it on behalf of what runs in its background.
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heeded:
        signal.signal(signal.SIGINT, _stop)
    from jetworker.cli.main import run  # noqa: PLC0415 -- after the signals

    if is_heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def _refused() -> int:
    """Say that this Python has no lock of its own, and that nothing was tried on it."""
    sys.stderr.write(
        "configuration: this is a free-threaded build of Python, on which jetworker and"
        " what it is made of were never tried: use the usual build\n"
    )
    return _CONFIGURATION


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _stop(_number: int, _frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED)  # an exception may be swallowed by what is being imported


if __name__ == "__main__":
    main()
