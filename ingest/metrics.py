"""What the receiver counts. Every label comes from a closed set; nothing of a body, a number or a name becomes one."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from ingest.action import ACTION_LABELS
from ingest.tallies import Spread, Tally
from schemas import metrics as listed
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import EventKind

REJECTIONS = listed.PUSHES_REJECTED.values("reason")
TOKEN_OUTCOMES = listed.TOKEN_REQUESTS.values("outcome")


class ReceiverMetrics:
    """The receiver's metrics in one registry; children are looked up once, here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._received = Tally(listed.PUSHES_RECEIVED, sorted(ACTION_LABELS), registry=registry).counts
        self._stored = Tally(listed.PUSHES_STORED, EventKind, registry=registry).counts
        rejected = Counter(**listed.PUSHES_REJECTED.arguments, registry=registry)
        self._unknown = Tally(listed.UNKNOWN_FIELDS, EventKind, registry=registry).counts
        tokens = Counter(**listed.TOKEN_REQUESTS.arguments, registry=registry)
        attempts = Counter(**listed.FAILED_ATTEMPTS.arguments, registry=registry)
        self._lookalikes = Counter(**listed.PUSHES_REFUSED_LIKE_TCCC.arguments, registry=registry)
        self._dead_letters = Counter(**listed.DEAD_LETTERS.arguments, registry=registry)
        for reason in Reason:  # at 0, so that growth is seen from the first one on
            self._dead_letters.labels(Stage.RECEIVE.value, reason.value)
        self._token_expiry = Gauge(**listed.TOKEN_EXPIRY.arguments, registry=registry)
        self._token_expires_at = 0.0
        self._waiting = Gauge(**listed.REQUESTS_WAITING.arguments, registry=registry)
        self.push_log_append_seconds = Spread(listed.PUSH_LOG_APPEND_SECONDS, registry=registry)
        self.push_seconds = Spread(listed.PUSH_SECONDS, registry=registry)
        self._rejected = {reason: rejected.labels(reason) for reason in REJECTIONS}
        self._tokens = {outcome: tokens.labels(outcome) for outcome in TOKEN_OUTCOMES}
        self._attempts = {is_over: attempts.labels(str(is_over).lower()) for is_over in (False, True)}

    def watch_waiting(self, count: Callable[[], int]) -> None:
        """Show how many requests wait for room, whenever somebody asks."""
        self._waiting.set_function(count)

    def count_received(self, action_label: str) -> None:
        """Count an authentic push."""
        self._received[action_label] += 1

    def count_stored(self, kind: EventKind, unknown_field_count: int) -> None:
        """Count an event that is in the log."""
        self._stored[kind] += 1
        self._unknown[kind] += unknown_field_count

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

    def show_token_expiry(self, expires_at: float) -> None:
        """Show until when the token holds that a push came with; an older one says nothing new."""
        if expires_at > self._token_expires_at:
            self._token_expires_at = expires_at
            self._token_expiry.set(expires_at)
