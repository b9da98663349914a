"""What the worker counts. Label sets are closed; no id and no text of a message is ever a label."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS_ABSORBED = Counter(
    "callweave_events_absorbed_total", "Events folded into their sessions, by what they did.", ["outcome"]
)
SESSIONS_PUBLISHED = Counter("callweave_sessions_published_total", "Session documents published and acknowledged.")
DEAD_LETTERS = Counter("callweave_worker_dead_letters_total", "Events that could not be used, by reason.", ["reason"])
BATCH_SECONDS = Histogram(
    "callweave_worker_batch_seconds",
    "One batch: decode, fold, publish, acknowledgement, store.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
READY = Gauge("callweave_worker_ready", "1 while the worker has its partitions, restored.")
CHANGELOG_RECORDS_RESTORED = Counter(
    "callweave_changelog_records_restored_total", "Records of tccc.sessions that were absorbed to restore the state."
)
SESSIONS_RETIRED = Counter("callweave_sessions_retired_total", "Sessions forgotten after their retention.")
