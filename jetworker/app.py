"""The composition root of `jetworker run`: opens the parts, and closes them in reverse."""

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from datetime import timedelta

import structlog
from prometheus_client import CollectorRegistry

from jetworker import topics
from jetworker.bindings import Bindings
from jetworker.budget import Budget
from jetworker.census import Census
from jetworker.clock import Clock
from jetworker.config import Config, credentials_source
from jetworker.connection import connect
from jetworker.core.lifecycle import Policy
from jetworker.core.pace import Backoff, Pace
from jetworker.errors import ConfigurationError, KafkaUnavailable
from jetworker.facts import Facts
from jetworker.follower import Follower
from jetworker.jet import JetClient
from jetworker.kafka import Kafka
from jetworker.life import Services, Terms
from jetworker.lookup import Lookup
from jetworker.metrics import Metrics
from jetworker.oauth import TokenSource
from jetworker.poll import Poll
from jetworker.probes import Probes
from jetworker.routebook import RouteBook
from jetworker.routes import JobResolver
from jetworker.sender import Sender
from jetworker.starter import Starter
from jetworker.watchdog import Watchdog
from jetworker.watcher import Watcher
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.worker import Worker

log = structlog.get_logger()
