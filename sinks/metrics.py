"""What the loader measures. Every label comes from a closed set."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.dead_letter import Reason
from schemas.topics import DEAD_LETTERS, KEYED_TOPICS, RECONCILE, SESSIONS

TOPIC_LABELS: Final = tuple(topic.suffix for topic in (SESSIONS, DEAD_LETTERS, RECONCILE, *KEYED_TOPICS))
_FRESHNESS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)
_WRITING: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class LoaderMetrics:
    """The loader's metrics in one registry; children are looked up once, here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        read = Counter(
            "callweave_loader_records_read_total", "Records read from Kafka, by topic", ["topic"], registry=registry
        )
        loaded = Counter(
            "callweave_sessions_loaded_total",
            "Session documents written, by what came of them",
            ["outcome"],
            registry=registry,
        )
        letters = Counter(
            "callweave_loader_dead_letters_total",
            "Session documents that became dead letters, by reason",
            ["reason"],
            registry=registry,
        )
        retries = Counter(
            "callweave_loader_retries_total", "Attempts that failed and are repeated", ["dependency"], registry=registry
        )
        lag = Gauge(
            "callweave_loader_lag_records", "Records that are not in the warehouse yet", ["topic"], registry=registry
        )
        self.records_read = {name: read.labels(name) for name in TOPIC_LABELS}
        self.lag = {name: lag.labels(name) for name in TOPIC_LABELS}
        self.sessions_applied = loaded.labels("applied")
        self.sessions_stale = loaded.labels("stale")
        self.dead_letters = {
            reason: letters.labels(reason.value) for reason in (Reason.SCHEMA_VIOLATION, Reason.SINK_REJECTED)
        }
        self.sink_retries = retries.labels("warehouse")
        self.log_retries = retries.labels("kafka")
        self.letters_loaded = Counter(
            "callweave_letters_loaded_total", "Rows of dead letters written or counted up", registry=registry
        )
        self.snapshot_failures = Counter(
            "callweave_snapshot_failures_total",
            "Copies of the warehouse that could not be published",
            registry=registry,
        )
        self.freshness = Histogram(
            "callweave_freshness_seconds",
            "From a session's last receipt to the commit of its row",
            buckets=_FRESHNESS,
            registry=registry,
        )
        self.writing = Histogram(
            "callweave_batch_write_seconds",
            "Time that the warehouse takes for a batch",
            buckets=_WRITING,
            registry=registry,
        )
        self.resets = Counter(
            "callweave_loader_offset_resets_total",
            "Partitions whose stored offset was outside the log: recreated topic, retention",
            registry=registry,
        )
        self.ready = Gauge("callweave_loader_ready", "1 while the loader loads", registry=registry)
