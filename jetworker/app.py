"""The composition root of `jetworker run`: opens the parts, and closes them in reverse."""


import structlog

log = structlog.get_logger()
