"""What the commands of the command line end with."""

OK = 0
FAILED = 1
REJECTED = 2  # or wrong usage, as everywhere
CONFIGURATION = 78  # EX_CONFIG of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells say it

# By the terminal event of the command that was followed.
ENDS = {
    "delivery.completed": OK,
    "delivery.failed": FAILED,
    "delivery.cancelled": FAILED,
}
