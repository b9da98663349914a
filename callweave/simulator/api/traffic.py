"""Counts requests, and lets so many a second of one secret and action pass: a token bucket, as TCCC's quota reads."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

LIMIT_PER_SECOND = 20


@dataclass(slots=True)
class _Flow:
    """The requests of one secret for one action."""

    tokens: float
    refilled_at: float
    requests: int = 0
    refused: int = 0
    highest: int = 0
    last_second: deque[float] = field(default_factory=deque)
    first_at: float = 0.0
    last_at: float = 0.0


@dataclass(slots=True)
class Traffic:
    """All flows; times are told, in seconds of any steady clock."""

    limit_per_second: float = LIMIT_PER_SECOND
    answers: Counter[str] = field(default_factory=Counter)
    _flows: dict[tuple[str, str], _Flow] = field(default_factory=dict)

    def admit(self, secret_id: str, action: str, *, now: float) -> bool:
        """Count one request; False when it is one too many."""
        flow = self._flows.setdefault((secret_id, action), _Flow(self.limit_per_second, now, first_at=now))
        flow.requests += 1
        flow.last_at = now
        flow.last_second.append(now)
        while flow.last_second[0] <= now - 1:
            flow.last_second.popleft()
        flow.highest = max(flow.highest, len(flow.last_second))
        flow.tokens = min(self.limit_per_second, flow.tokens + (now - flow.refilled_at) * self.limit_per_second)
        flow.refilled_at = now
        if flow.tokens < 1:
            flow.refused += 1
            return False
        flow.tokens -= 1
        return True

    def count_answer(self, code: str) -> None:
        """Count an answer by its code; "ok" is one too."""
        self.answers[code] += 1

    def stats(self) -> dict[str, Any]:
        """Give the counts: of each action, over all secrets and of each; the highest number in any one second."""
        actions: dict[str, dict[str, Any]] = {}
        for (secret_id, action), flow in sorted(self._flows.items()):
            of_action = actions.setdefault(action, {"requests": 0, "refused": 0, "per_second_max": 0, "secrets": {}})
            of_action["requests"] += flow.requests
            of_action["refused"] += flow.refused
            of_action["per_second_max"] = max(of_action["per_second_max"], flow.highest)
            of_action["secrets"][secret_id] = {
                "requests": flow.requests,
                "refused": flow.refused,
                "per_second_max": flow.highest,
                "seconds": round(flow.last_at - flow.first_at, 3),
            }
        return {"limit_per_second": self.limit_per_second, "actions": actions, "answers": dict(self.answers)}
