"""What the door of login tokens counts; the outcomes are a closed set."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from schemas.metrics import LOGIN_TOKENS

OUTCOMES: Final = LOGIN_TOKENS.values("outcome")


class LoginMetrics:
    """The audit count, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        asked = Counter(**LOGIN_TOKENS.arguments, registry=registry)
        self._asked = {outcome: asked.labels(outcome) for outcome in OUTCOMES}

    def count(self, outcome: str) -> None:
        """Count one request."""
        self._asked[outcome].inc()
