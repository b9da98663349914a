"""What the door of login tokens counts; the outcomes are a closed set."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

OUTCOMES: Final = (
    "issued", "not_authorised", "too_many_attempts", "undecided", "not_allowed", "too_fast", "bad_request",
    "unknown_agent", "api_failed",
)  # fmt: skip


class LoginMetrics:
    """The audit count, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        asked = Counter(
            "callweave_login_tokens_total",
            "Requests for a login token, by what came of them",
            ["outcome"],
            registry=registry,
        )
        self._asked = {outcome: asked.labels(outcome) for outcome in OUTCOMES}

    def count(self, outcome: str) -> None:
        """Count one request."""
        self._asked[outcome].inc()
