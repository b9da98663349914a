"""What the worker measures, under the names of `schemas.metrics`, in a registry of its own: others import it, too."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from schemas import metrics as listed

REGISTRY = CollectorRegistry()
EVENTS_ABSORBED = Counter(**listed.EVENTS_ABSORBED.arguments, registry=REGISTRY)
SESSIONS_PUBLISHED = Counter(**listed.SESSIONS_PUBLISHED.arguments, registry=REGISTRY)
DEAD_LETTERS = Counter(**listed.DEAD_LETTERS.arguments, registry=REGISTRY)
BATCH_SECONDS = Histogram(**listed.WORKER_BATCH_SECONDS.arguments, registry=REGISTRY)
CHANGELOG_RECORDS_RESTORED = Counter(**listed.CHANGELOG_RECORDS_RESTORED.arguments, registry=REGISTRY)
SESSIONS_RETIRED = Counter(**listed.SESSIONS_RETIRED.arguments, registry=REGISTRY)
