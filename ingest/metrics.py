"""What the receiver counts. Every label comes from a closed set; nothing of a body, a number or a name becomes one."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from ingest.action import ACTION_LABELS
from schemas.dead_letter import DeadLetter
from schemas.events import EventKind

REJECTIONS = (
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
)
TOKEN_OUTCOMES = ("issued", "invalid_request", "invalid_client", "unsupported_grant_type")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ReceiverMetrics:
    """The receiver's metrics in one registry; children are looked up once, here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        received = Counter(
            "callweave_pushes_received_total",
            "Authentic pushes whose body was read, by the action in their address",
            ["action"],
            registry=registry,
        )
        stored = Counter(
            "callweave_pushes_stored_total",
            "Events that the log acknowledged",
            ["kind"],
            registry=registry,
        )
        rejected = Counter(
            "callweave_pushes_rejected_total",
            "Requests answered with an ErrCode other than 0, or not at all",
            ["reason"],
            registry=registry,
        )
        unknown = Counter(
            "callweave_unknown_fields_total",
            "Fields that TCCC sent and callweave does not know; they are in the column `extra`",
            ["kind"],
            registry=registry,
        )
        tokens = Counter(
            "callweave_token_requests_total",
            "Requests to the token endpoint, by what became of them",
            ["outcome"],
            registry=registry,
        )
        attempts = Counter(
            "callweave_failed_attempts_total",
            "Requests with wrong credentials, by whether their source had had enough",
            ["over_limit"],
            registry=registry,
        )
        self._lookalikes = Counter(
            "callweave_pushes_refused_like_tccc_total",
            "Requests refused for their credentials whose body looks like TCCC's: pushes that are being lost",
            registry=registry,
        )
        self._dead_letters = Counter(
            "callweave_dead_letters_total",
            "Dead letters stored",
            ["stage", "reason"],
            registry=registry,
        )
        self.push_log_append_seconds = Histogram(
            "callweave_push_log_append_seconds",
            "From handing a push to the log to its acknowledgement or refusal",
            buckets=_SECONDS,
            registry=registry,
        )
        self.push_seconds = Histogram(
            "callweave_push_seconds",
            "From the headers of an authentic push to its answer, its body's arrival included",
            buckets=_SECONDS,
            registry=registry,
        )
        self._received = {action: received.labels(action) for action in sorted(ACTION_LABELS)}
        self._stored = {kind: stored.labels(kind.value) for kind in EventKind}
        self._rejected = {reason: rejected.labels(reason) for reason in REJECTIONS}
        self._tokens = {outcome: tokens.labels(outcome) for outcome in TOKEN_OUTCOMES}
        self._attempts = {is_over: attempts.labels(str(is_over).lower()) for is_over in (False, True)}
        self._unknown = {kind: unknown.labels(kind.value) for kind in EventKind}

    def count_received(self, action_label: str) -> None:
        """Count an authentic push."""
        self._received[action_label].inc()

    def count_stored(self, kind: EventKind, unknown_field_count: int) -> None:
        """Count an event that is in the log."""
        self._stored[kind].inc()
        if unknown_field_count:
            self._unknown[kind].inc(unknown_field_count)

    def count_letters(self, letters: tuple[DeadLetter, ...]) -> None:
        """Count letters that are in the log."""
        for letter in letters:
            self._dead_letters.labels(letter.stage.value, letter.reason.value).inc()

    def count_rejected(self, reason: str) -> None:
        """Count a request that was refused."""
        self._rejected[reason].inc()

    def count_token(self, outcome: str) -> None:
        """Count a request to the token endpoint."""
        self._tokens[outcome].inc()

    def count_failed_attempt(self, *, is_over_limit: bool) -> None:
        """Count wrong credentials."""
        self._attempts[is_over_limit].inc()

    def count_lookalike(self) -> None:
        """Count a refused request that looks like TCCC's."""
        self._lookalikes.inc()
