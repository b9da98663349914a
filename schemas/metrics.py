"""The one list of metrics: name, type, unit, labels, meaning, and which roles expose it.

The rule: nothing is measured under a name that is not here, and every label has a bound. The rooms make their
instruments of it (`Counter(**PUSHES_STORED.arguments)`); docs/metrics.md, dashboards and alert rules are made of it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, get_args

from schemas.archive import FileStatus
from schemas.dead_letter import Reason, Stage
from schemas.events import EventKind
from schemas.topics import DEAD_LETTERS as LETTERS_TOPIC
from schemas.topics import ENRICHMENT_TOPICS, EVENT_TOPICS, KEYED_TOPICS, RECONCILE, SESSIONS


class Role(StrEnum):
    """A process that has an admin port."""

    RECEIVER = "receiver"
    WORKER = "worker"
    LOADER = "loader"
    RECONCILE = "reconcile"
    ARCHIVER = "archiver"
    LOGIN_TOKENS = "login-tokens"
    DASHBOARD = "dashboard"


class Kind(StrEnum):
    """Prometheus's types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Unit(StrEnum):
    """What one of it is."""

    BYTES = "bytes"
    EVENTS = "events"
    FLAG = "0 or 1"
    ITEMS = "items"
    PUSHES = "pushes"
    RATIO = "ratio"
    RECORDS = "records"
    REQUESTS = "requests"
    SECONDS = "seconds"
    SESSIONS = "sessions"
    UNIX_SECONDS = "UNIX time, seconds"


@dataclass(frozen=True, slots=True)
class Label:
    """One label, and why it cannot grow. `values` where the set is closed in code."""

    name: str
    bounded_by: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `only`: under which condition a role has it at all."""

    name: str
    kind: Kind
    unit: Unit
    meaning: str
    roles: tuple[Role, ...]
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    only: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """What prometheus_client's class of this kind takes, beside the registry."""
        given: dict[str, Any] = {
            "name": self.name,
            "documentation": self.meaning,
            "labelnames": [label.name for label in self.labels],
        }
        return given | {"buckets": self.buckets} if self.buckets else given

    def values(self, label: str) -> tuple[str, ...]:
        """The closed set of a label."""
        return next(one.values for one in self.labels if one.name == label)


def _closed(name: str, *values: str) -> Label:
    return Label(name, "a closed set", values)


_ALL: Final = tuple(Role)
_APP: Final = Label("sdk_app_id", "the applications that the settings name")
_PARTITION: Final = Label("partition", "the partitions of the topics (KAFKA__PARTITIONS)")
_KIND: Final = _closed("kind", *EventKind)
_EVENT_TOPIC: Final = _closed("topic", *(topic.suffix for topic in EVENT_TOPICS))
_LOADED_TOPIC: Final = _closed(
    "topic", *(topic.suffix for topic in (SESSIONS, LETTERS_TOPIC, RECONCILE, *KEYED_TOPICS))
)
_SPAN: Final = _closed("span", "yesterday", "last_24h")
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FSYNC: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_FRESHNESS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)

# --- every role ---

BUILD_INFO: Final = Metric(
    "callweave_build_info",
    Kind.GAUGE,
    Unit.FLAG,
    "1, with the version that runs and the role that it runs",
    _ALL,
    (Label("version", "one at a time for each process"), _closed("role", *Role)),
)
READY: Final = Metric(
    "callweave_ready", Kind.GAUGE, Unit.FLAG, "1 while the role is ready; /health/ready says why it is not", _ALL
)
KAFKA_CERTIFICATE_EXPIRY: Final = Metric(
    "callweave_kafka_certificate_expiry_timestamp_seconds",
    Kind.GAUGE,
    Unit.UNIX_SECONDS,
    "When the first certificate of the files for Kafka expires",
    _ALL,
    (_closed("file", "ssl_cafile", "ssl_certfile"),),
    only="where KAFKA__SSL_CAFILE or KAFKA__SSL_CERTFILE is set",
)
DEAD_LETTERS: Final = Metric(
    "callweave_dead_letters_total",
    Kind.COUNTER,
    Unit.RECORDS,
    "Dead letters that Kafka, or the spool, took: what could not be used, and is kept whole",
    (Role.RECEIVER, Role.WORKER, Role.LOADER, Role.RECONCILE),
    (_closed("stage", *Stage), _closed("reason", *Reason)),
)

# --- the receiver ---

PUSHES_RECEIVED: Final = Metric(
    "callweave_pushes_received_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Authentic pushes whose body was read, by the action in their address",
    (Role.RECEIVER,),
    (_closed("action", *EventKind, "imcdr", "videocdr", "specifiedseat", "none", "other"),),
)
PUSHES_STORED: Final = Metric(
    "callweave_pushes_stored_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Events that Kafka, or the spool, acknowledged",
    (Role.RECEIVER,),
    (_KIND,),
)
PUSHES_SUPPRESSED: Final = Metric(
    "callweave_pushes_suppressed_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Pushes of erased people, kept without them",
    (Role.RECEIVER,),
)
PUSHES_REJECTED: Final = Metric(
    "callweave_pushes_rejected_total",
    Kind.COUNTER,
    Unit.REQUESTS,
    "Requests answered with an ErrCode other than 0, or not at all",
    (Role.RECEIVER,),
    (
        _closed(
            "reason",
            "not_authorised",
            "too_many_attempts",
            "undecided",
            "foreign_app",
            "plain_http",
            "unknown_path",
            "wrong_method",
            "malformed",
            "too_large",
            "too_slow",
            "headers_too_slow",
            "deadline",
            "too_busy",
            "too_many_connections",
            "client_gone",
            "log_unavailable",
            "internal",
        ),
    ),
)
REQUESTS_WAITING: Final = Metric(
    "callweave_requests_waiting",
    Kind.GAUGE,
    Unit.REQUESTS,
    "Requests that wait for room among those in flight: the door is full, and its callers are held back",
    (Role.RECEIVER,),
)
UNKNOWN_FIELDS: Final = Metric(
    "callweave_unknown_fields_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Fields that TCCC sent and callweave does not know; they are in the column `extra`",
    (Role.RECEIVER,),
    (_KIND,),
)
TOKEN_REQUESTS: Final = Metric(
    "callweave_token_requests_total",
    Kind.COUNTER,
    Unit.REQUESTS,
    "Requests to the token endpoint, by what became of them",
    (Role.RECEIVER,),
    (_closed("outcome", "issued", "invalid_request", "invalid_client", "unsupported_grant_type"),),
)
TOKEN_EXPIRY: Final = Metric(
    "callweave_push_token_expiry_timestamp_seconds",
    Kind.GAUGE,
    Unit.UNIX_SECONDS,
    "When the newest access token that a push came with expires; 0 before the first",
    (Role.RECEIVER,),
)
FAILED_ATTEMPTS: Final = Metric(
    "callweave_failed_attempts_total",
    Kind.COUNTER,
    Unit.REQUESTS,
    "Requests with wrong credentials, by whether their source had had enough",
    (Role.RECEIVER,),
    (_closed("over_limit", "false", "true"),),
)
PUSHES_REFUSED_LIKE_TCCC: Final = Metric(
    "callweave_pushes_refused_like_tccc_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Requests refused for their credentials whose body looks like TCCC's: pushes that are being lost",
    (Role.RECEIVER,),
)
PUSH_LOG_APPEND_SECONDS: Final = Metric(
    "callweave_push_log_append_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "From handing a push to the log to its acknowledgement or refusal",
    (Role.RECEIVER,),
    buckets=_QUICK,
)
PUSH_SECONDS: Final = Metric(
    "callweave_push_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "From the headers of an authentic push to its answer: with its body's arrival, without a wait for room",
    (Role.RECEIVER,),
    buckets=_QUICK,
)
TLS_CERTIFICATE_EXPIRY: Final = Metric(
    "callweave_tls_certificate_expiry_timestamp_seconds",
    Kind.GAUGE,
    Unit.UNIX_SECONDS,
    "When the door's certificate expires",
    (Role.RECEIVER, Role.LOGIN_TOKENS),
    only="where …__TLS_CERT_FILE is set",
)
TLS_RELOADS: Final = Metric(
    "callweave_tls_reloads_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Renewed certificates that were read, by whether they could be used",
    (Role.RECEIVER, Role.LOGIN_TOKENS),
    (_closed("outcome", "used", "broken"),),
    only="where …__TLS_CERT_FILE is set",
)
PUSH_RECORDS: Final = Metric(
    "callweave_push_records_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Pushes kept by --record",
    (Role.RECEIVER,),
    only="with --record",
)
PUSH_RECORDS_LEFT_OUT: Final = Metric(
    "callweave_push_records_left_out_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Pushes that --record could not keep",
    (Role.RECEIVER,),
    only="with --record",
)
TCCC_HABITS: Final = Metric(
    "callweave_tccc_habits_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "What TCCC did that is not documented, see docs/going-live.md",
    (Role.RECEIVER,),
    (Label("habit", "the table in docs/going-live.md"),),
)
TCCC_BODIES_INSPECTED: Final = Metric(
    "callweave_tccc_bodies_inspected_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Bodies that were looked at for habits; of a flood only some are",
    (Role.RECEIVER,),
)
TCCC_RETRY_SECONDS: Final = Metric(
    "callweave_tccc_retry_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "From one delivery of a push to the next one under the same X-TCCC-PUSH-UUID",
    (Role.RECEIVER,),
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)

# --- the receiver's spool ---

SPOOLED: Final = Metric(
    "callweave_spooled_total", Kind.COUNTER, Unit.PUSHES, "Pushes that went into the spool", (Role.RECEIVER,)
)
SPOOL_DRAINED: Final = Metric(
    "callweave_spool_drained_total",
    Kind.COUNTER,
    Unit.PUSHES,
    "Spooled pushes that Kafka acknowledged",
    (Role.RECEIVER,),
)
SPOOL_COMMIT_SECONDS: Final = Metric(
    "callweave_spool_commit_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "One fsynced commit of the spool",
    (Role.RECEIVER,),
    buckets=_FSYNC,
)
SPOOL_COMMIT_ENTRIES: Final = Metric(
    "callweave_spool_commit_entries",
    Kind.HISTOGRAM,
    Unit.PUSHES,
    "Pushes that shared one fsynced commit of the spool",
    (Role.RECEIVER,),
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)


def _spool_gauge(name: str, unit: Unit, meaning: str) -> Metric:
    return Metric(f"callweave_spool_{name}", Kind.GAUGE, unit, meaning, (Role.RECEIVER,))


SPOOL_ENTRIES: Final = _spool_gauge("entries", Unit.PUSHES, "Pushes that wait in the spool")
SPOOL_BYTES: Final = _spool_gauge("bytes", Unit.BYTES, "Bytes that the spool's pushes take")
SPOOL_BYTES_MAX: Final = _spool_gauge("bytes_max", Unit.BYTES, "Bytes that the spool's pushes may take")
SPOOL_OLDEST_AGE: Final = _spool_gauge(
    "oldest_age_seconds", Unit.SECONDS, "Time since the oldest push in the spool was received"
)
SPOOL_IS_OLD: Final = _spool_gauge("is_old", Unit.FLAG, "1 while the oldest push waits longer than the age alarm")
SPOOL_IS_UNAVAILABLE: Final = _spool_gauge("is_unavailable", Unit.FLAG, "1 while the spool's disk takes nothing")
SPOOL_IS_IN_USE: Final = _spool_gauge("is_in_use", Unit.FLAG, "1 while pushes go to the spool")
SPOOL_REFUSED: Final = _spool_gauge(
    "refused_entries", Unit.PUSHES, "Pushes that Kafka refuses as its topics are set up"
)
SPOOL_SET_ASIDE: Final = _spool_gauge("files_set_aside", Unit.ITEMS, "Damaged spool files that lie in the directory")

# --- the worker ---

EVENTS_ABSORBED: Final = Metric(
    "callweave_events_absorbed_total",
    Kind.COUNTER,
    Unit.EVENTS,
    "Events folded into their sessions, by what they did",
    (Role.WORKER,),
    (_closed("outcome", "applied", "duplicate", "repeated", "refused"),),
)
SESSIONS_PUBLISHED: Final = Metric(
    "callweave_sessions_published_total",
    Kind.COUNTER,
    Unit.SESSIONS,
    "Session documents published and acknowledged",
    (Role.WORKER,),
)
WORKER_BATCH_SECONDS: Final = Metric(
    "callweave_worker_batch_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "One batch: decode, fold, publish, acknowledgement, store",
    (Role.WORKER,),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
CHANGELOG_RECORDS_RESTORED: Final = Metric(
    "callweave_changelog_records_restored_total",
    Kind.COUNTER,
    Unit.RECORDS,
    "Records of tccc.sessions that were absorbed to restore the state",
    (Role.WORKER,),
)
SESSIONS_RETIRED: Final = Metric(
    "callweave_sessions_retired_total",
    Kind.COUNTER,
    Unit.SESSIONS,
    "Sessions forgotten after their retention",
    (Role.WORKER,),
)
WORKER_LAG_RECORDS: Final = Metric(
    "callweave_worker_lag_records",
    Kind.GAUGE,
    Unit.EVENTS,
    "Events that are not folded into their sessions yet, of each partition of this worker",
    (Role.WORKER,),
    (_EVENT_TOPIC, _PARTITION),
)
WORKER_LAG_SECONDS: Final = Metric(
    "callweave_worker_lag_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "For how long at most the first of these events has waited; 0 where none waits",
    (Role.WORKER,),
    (_EVENT_TOPIC, _PARTITION),
)

# --- the loader ---

LOADER_RECORDS_READ: Final = Metric(
    "callweave_loader_records_read_total",
    Kind.COUNTER,
    Unit.RECORDS,
    "Records read from Kafka and committed, by topic",
    (Role.LOADER,),
    (_LOADED_TOPIC,),
)
SESSIONS_LOADED: Final = Metric(
    "callweave_sessions_loaded_total",
    Kind.COUNTER,
    Unit.SESSIONS,
    "Session documents written, by what came of them",
    (Role.LOADER,),
    (_closed("outcome", "applied", "stale"),),
)
LOADER_RETRIES: Final = Metric(
    "callweave_loader_retries_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Attempts that failed and are repeated",
    (Role.LOADER,),
    (_closed("dependency", "warehouse", "kafka"),),
)
LOADER_LAG_RECORDS: Final = Metric(
    "callweave_loader_lag_records",
    Kind.GAUGE,
    Unit.RECORDS,
    "Records that are not in the warehouse yet, of each partition",
    (Role.LOADER,),
    (_LOADED_TOPIC, _PARTITION),
)
LOADER_LAG_SECONDS: Final = Metric(
    "callweave_loader_lag_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "For how long at most the first of these records has waited; 0 where none waits",
    (Role.LOADER,),
    (_LOADED_TOPIC, _PARTITION),
)
LETTERS_LOADED: Final = Metric(
    "callweave_letters_loaded_total",
    Kind.COUNTER,
    Unit.RECORDS,
    "Rows of dead letters written or counted up",
    (Role.LOADER,),
)
SNAPSHOT_FAILURES: Final = Metric(
    "callweave_snapshot_failures_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Copies of the warehouse that could not be published",
    (Role.LOADER,),
)
FRESHNESS: Final = Metric(
    "callweave_freshness_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "From the receipt of a session's last push, whose acknowledgement follows at once, to the commit of its row",
    (Role.LOADER,),
    buckets=_FRESHNESS,
)
CALL_FRESHNESS: Final = Metric(
    "callweave_call_freshness_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "From the end of a pushed call to the first commit of a row that knows it; what only the API told is left out",
    (Role.LOADER,),
    buckets=_FRESHNESS,
)
BATCH_WRITE_SECONDS: Final = Metric(
    "callweave_batch_write_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "Time that the warehouse takes for a batch",
    (Role.LOADER,),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
LOADER_OFFSET_RESETS: Final = Metric(
    "callweave_loader_offset_resets_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Partitions whose stored offset was outside the log: recreated topic, retention",
    (Role.LOADER,),
)

# --- what the loader asks the warehouse ---

COMPLETENESS_SHARE: Final = Metric(
    "callweave_completeness_share",
    Kind.GAUGE,
    Unit.RATIO,
    "What is here of what is due, 0 to 1; NaN where nothing is due",
    (Role.LOADER,),
    (_SPAN,),
)
COMPLETENESS_APP_SHARE: Final = Metric(
    "callweave_completeness_app_share",
    Kind.GAUGE,
    Unit.RATIO,
    "The same, of each application that the settings name",
    (Role.LOADER,),
    (_SPAN, _APP),
)
COMPLETENESS_COUNT: Final = Metric(
    "callweave_completeness_count",
    Kind.GAUGE,
    Unit.ITEMS,
    "The counts of the view completeness, all applications together",
    (Role.LOADER,),
    (_SPAN, Label("what", "the counted columns of the view completeness")),
)
COMPLETENESS_HOURS: Final = Metric(
    "callweave_completeness_hours",
    Kind.GAUGE,
    Unit.ITEMS,
    "Hours of applications by what is known of them",
    (Role.LOADER,),
    (_SPAN, _closed("state", "final", "provisional", "not_asked")),
)
RECORDINGS_EXPIRING: Final = Metric(
    "callweave_recordings_expiring",
    Kind.GAUGE,
    Unit.RECORDS,
    "Recordings whose audio TCCC deletes within so many days: it keeps them three months (90 days)",
    (Role.LOADER,),
    (_closed("within_days", "7", "14", "30"),),
)

# --- reconcile and enrichment ---

API_REQUESTS: Final = Metric(
    "callweave_api_requests_total",
    Kind.COUNTER,
    Unit.REQUESTS,
    "Requests to TCCC's API, by action and what was answered",
    (Role.RECONCILE, Role.LOGIN_TOKENS, Role.ARCHIVER),
    (
        Label("action", "the actions that callweave calls"),
        Label("code", "families of codes (ingest/reconcile/failure.py)"),
    ),
)
API_RATE: Final = Metric(
    "callweave_api_rate_per_second",
    Kind.GAUGE,
    Unit.REQUESTS,
    "Requests a second that the limiter allows now",
    (Role.RECONCILE, Role.LOGIN_TOKENS, Role.ARCHIVER),
    (Label("account", "the accounts that the settings name"),),
)
RECONCILE_WINDOWS: Final = Metric(
    "callweave_reconcile_windows_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Hours read to their end: final, or to be read again",
    (Role.RECONCILE,),
    (_closed("outcome", "final", "provisional"),),
)
RECONCILE_RESTARTS: Final = Metric(
    "callweave_reconcile_restarts_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Hours read again from their first page because their count changed meanwhile",
    (Role.RECONCILE,),
)
RECONCILE_ROWS: Final = Metric(
    "callweave_reconcile_rows_total",
    Kind.COUNTER,
    Unit.ITEMS,
    "Rows that the API gave, repeats included",
    (Role.RECONCILE,),
)
RECONCILE_EVENTS_PUBLISHED: Final = Metric(
    "callweave_reconcile_events_published_total",
    Kind.COUNTER,
    Unit.EVENTS,
    "Events that Kafka acknowledged",
    (Role.RECONCILE,),
    (_KIND, _closed("fact", "present", "absent", "none")),
)
RECONCILE_READ_TO: Final = Metric(
    "callweave_reconcile_read_to_timestamp_seconds",
    Kind.GAUGE,
    Unit.UNIX_SECONDS,
    "How far the newest read hour reaches",
    (Role.RECONCILE,),
    (_APP,),
)
RECONCILE_SUCCESS: Final = Metric(
    "callweave_reconcile_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.UNIX_SECONDS,
    "When an hour of this application was last read to its end",
    (Role.RECONCILE,),
    (_APP,),
)
RECONCILE_FAILING: Final = Metric(
    "callweave_reconcile_failing",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while the API gives nothing for this application; readiness says why",
    (Role.RECONCILE,),
    (_APP,),
)
ENRICH_RECORDS_PUBLISHED: Final = Metric(
    "callweave_enrich_records_published_total",
    Kind.COUNTER,
    Unit.RECORDS,
    "Records that Kafka acknowledged",
    (Role.RECONCILE,),
    (_closed("topic", *(topic.suffix for topic in ENRICHMENT_TOPICS)),),
    only="where ENRICH__… is on",
)
ENRICH_UNUSABLE: Final = Metric(
    "callweave_enrich_dead_letters_total",
    Kind.COUNTER,
    Unit.RECORDS,
    "Items of the API that could not be used",
    (Role.RECONCILE,),
    only="where ENRICH__… is on",
)
ENRICH_SESSIONS_WAITING: Final = Metric(
    "callweave_enrich_sessions_waiting",
    Kind.GAUGE,
    Unit.SESSIONS,
    "Sessions whose details are still to be asked for",
    (Role.RECONCILE,),
    only="where ENRICH__… is on",
)
ENRICH_FAILING: Final = Metric(
    "callweave_enrich_failing",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while the API gives nothing; readiness says why",
    (Role.RECONCILE,),
    (_APP, Label("action", "the actions that callweave calls")),
    only="where ENRICH__… is on",
)
ENRICH_SUCCESS: Final = Metric(
    "callweave_enrich_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.UNIX_SECONDS,
    "When the API last gave all that was asked",
    (Role.RECONCILE,),
    (_APP, Label("action", "the actions that callweave calls")),
    only="where ENRICH__… is on",
)

# --- login tokens ---

LOGIN_TOKENS: Final = Metric(
    "callweave_login_tokens_total",
    Kind.COUNTER,
    Unit.REQUESTS,
    "Requests for a login token, by what came of them",
    (Role.LOGIN_TOKENS,),
    (
        _closed(
            "outcome",
            "issued",
            "not_authorised",
            "too_many_attempts",
            "undecided",
            "not_allowed",
            "too_fast",
            "bad_request",
            "unknown_agent",
            "api_failed",
        ),
    ),
)

# --- the archiver ---

ARCHIVE_FILES: Final = Metric(
    "callweave_archive_files",
    Kind.GAUGE,
    Unit.ITEMS,
    "Recordings and voicemails, by where their files are",
    (Role.ARCHIVER,),
    (_closed("status", *get_args(FileStatus)),),
)
ARCHIVE_ATTEMPTS: Final = Metric(
    "callweave_archive_attempts_total",
    Kind.COUNTER,
    Unit.REQUESTS,
    "Tries to fetch a file, by what came of them",
    (Role.ARCHIVER,),
    (_closed("outcome", "stored", "failed"),),
)
ARCHIVE_BYTES: Final = Metric(
    "callweave_archive_bytes_total", Kind.COUNTER, Unit.BYTES, "What came into the archive", (Role.ARCHIVER,)
)
ARCHIVE_VANISHING: Final = Metric(
    "callweave_archive_vanishing_files",
    Kind.GAUGE,
    Unit.ITEMS,
    "Files that are not in the archive and that TCCC deletes within 14 days",
    (Role.ARCHIVER,),
)
ARCHIVE_OLDEST_WAITING: Final = Metric(
    "callweave_archive_oldest_waiting_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the oldest file that is still waited for has been known",
    (Role.ARCHIVER,),
)

METRICS: Final = tuple(value for value in globals().copy().values() if isinstance(value, Metric))
"""All of them, in the order of this file."""


def metrics_of(role: Role) -> tuple[Metric, ...]:
    """What a role exposes."""
    return tuple(metric for metric in METRICS if role in metric.roles)
