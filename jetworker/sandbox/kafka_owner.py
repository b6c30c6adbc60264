"""
The process between an owner and its Kafka: when the owner is gone, so is Kafka.

`python -m jetworker.sandbox.kafka_owner LOG COMMAND...` starts the command, prints its
process id, and kills it when standard input ends. That end comes also when the owner is
killed: then the kernel closes its side of the pipe.
"""

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread


def main() -> None:
    """Start the command, and end it with the owner."""
    log, *command = sys.argv[1:]
    with Path(log).open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 -- the command is our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    Thread(target=_watch, args=(child,), daemon=True).start()
    # Leave at once: the watching thread still holds standard input.
    os._exit(child.wait() & 0x7F)


def _watch(child: "subprocess.Popen[bytes]") -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    child.kill()


if __name__ == "__main__":
    main()
