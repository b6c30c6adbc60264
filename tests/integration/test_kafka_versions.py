"""The core of the integration tests on Kafkas that companies still run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jetworker.sandbox.kafka.broker import EmbeddedKafka

FOLDER = Path(__file__).parent
# Fence, restore and group commit; the reader; rebalances; a command to its end.
CORE = ("test_store.py", "test_reader.py", "test_scaling.py", "test_end_to_end.py")
VERSIONS = ("3.7.2", "3.9.1")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.nightly,
    pytest.mark.timeout(3600),
]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_worker_does_on_an_older_kafka_what_it_does_on_ours(version: str) -> None:
    with EmbeddedKafka(version=version) as broker:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("-m", "not nightly", *(str(FOLDER / name) for name in CORE)),
            ],
            env={
                **os.environ,
                "TEST_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            },
            check=False,
            capture_output=True,
            text=True,
        )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
