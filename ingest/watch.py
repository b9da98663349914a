"""Remembers the newest requests at the push address, for `doctor --await-push` and for `receiver --record`.

The rule: nothing leaves here unmasked, and nothing of it decides about a push.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from ingest.body import Unopened, open_body
from ingest.habits import Habits, ObservedPush
from ingest.headers import CONTENT_ENCODING, blanked, without_credentials
from ingest.masking import Masks

_NEWEST_MAX = 32
_BODY_BYTES_SHOWN_MAX = 64 * 1024
_CREDENTIALS = "Authorization"


class Recorder(Protocol):
    """Keeps what was seen, for later study."""

    def record(self, entry: Mapping[str, Any]) -> None:
        """Keep one entry, or count that it was not kept; never wait."""
        ...


class SeenPush(NamedTuple):
    """One answered push, masked when it is shown."""

    number: int
    received_at: datetime
    push: ObservedPush
    status: int
    kind: str | None
    habits: tuple[str, ...]

    def masked(self, masks: Masks) -> dict[str, Any]:
        """What may be shown and kept of it."""
        push = self.push
        opened = open_body(push.raw, push.headers.get(CONTENT_ENCODING), bytes_max=2 * _BODY_BYTES_SHOWN_MAX)
        body = None if isinstance(opened, Unopened) else masks.masked(opened[:_BODY_BYTES_SHOWN_MAX])
        headers = without_credentials(push.headers)
        scheme = push.headers.get(_CREDENTIALS, "").strip().partition(" ")[0]
        if scheme:
            headers[_CREDENTIALS] = f"{scheme[:16]} (removed)"
        return {
            "number": self.number,
            "received_at": self.received_at.isoformat(timespec="milliseconds"),
            "status": self.status,
            "kind": self.kind,
            "query": blanked(push.raw_query),
            "headers": headers,
            "raw_bytes_count": len(push.raw),
            "body": None if body is None else body.decode("utf-8", "backslashreplace"),
            "habits": list(self.habits),
        }


@dataclass(frozen=True, slots=True)
class SeenRefusal:
    """One request that was not let in; of what it brought only the scheme is known here."""

    number: int
    seconds_ago: float
    status: int
    scheme: str
    has_push_uuid: bool


class PushWatch:
    """The newest pushes and refusals, numbered from 1."""

    def __init__(
        self,
        habits: Habits,
        masks: Masks,
        *,
        recorder: Recorder | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.habits = habits
        self._masks = masks
        self._recorder = recorder
        self._monotonic = monotonic
        self._number = 0
        self._pushes: deque[SeenPush] = deque(maxlen=_NEWEST_MAX)
        self._refusals: deque[tuple[float, SeenRefusal]] = deque(maxlen=_NEWEST_MAX)
        self._habit_counts: Counter[str] = Counter()

    def saw(self, push: ObservedPush, *, received_at: datetime, status: int) -> None:
        """Look at an answered push."""
        self._number += 1
        kind = None if push.event is None else push.event.kind.value
        habits = self.habits.observe(push)
        for habit in habits:
            self._habit_counts[habit] += 1
        seen = SeenPush(self._number, received_at, push, status, kind, habits)
        self._pushes.append(seen)
        if self._recorder is not None:
            self._recorder.record(seen.masked(self._masks))

    def saw_refusal(self, *, status: int, authorization: str | None, push_uuid: str | None, has_expired: bool) -> None:
        """Note a request that was not let in."""
        self._number += 1
        scheme = (authorization or "").strip().partition(" ")[0].casefold()
        known = scheme if scheme in {"basic", "bearer"} else "other" if scheme else "none"
        refusal = SeenRefusal(self._number, 0.0, status, known, push_uuid is not None)
        self._refusals.append((self._monotonic(), refusal))
        self.habits.note_refusal(push_uuid=push_uuid, has_expired=has_expired, was_anonymous=not scheme)

    def since(self, number: int) -> dict[str, Any]:
        """Everything after a number, masked."""
        now = self._monotonic()
        return {
            "number": self._number,
            "pushes": [seen.masked(self._masks) for seen in self._pushes if seen.number > number],
            "refusals": [
                {**asdict(refusal), "seconds_ago": round(now - at, 1)}
                for at, refusal in self._refusals
                if refusal.number > number
            ],
            "habits": dict(self._habit_counts.most_common()),
        }
