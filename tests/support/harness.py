"""The whole pipeline without a broker: real normalization, real core, lists for topics (style: TopologyTestDriver)."""

from dataclasses import dataclass, field
from typing import Any

from ingest.normalize import ReceivedPush, normalize
from schemas import jsontext
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import NormalizedEvent
from schemas.models import instant_of_ms
from schemas.session import document_digest
from streams.core.fold import fold
from streams.core.retirement import Retention

RETENTION = Retention(days=200)


@dataclass
class Harness:
    """Pipe pushes in; read topics and tables out."""

    sessions_topic: list[tuple[bytes, bytes]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    _stored: dict[bytes, bytes] = field(default_factory=dict)

    def pipe_push(
        self,
        raw: bytes,
        *,
        action: str | None,
        headers: dict[str, str],
        at_ms: int,
        published_ms: int | None = None,
    ) -> None:
        """One delivery, received at `at_ms`, published then or later (a spool, a replay), worked off at once."""
        received = ReceivedPush.of(raw, headers=headers, action=action, received_at=instant_of_ms(at_ms))
        normalized = normalize(received)
        self.letters += normalized.letters
        self.messages.append(normalized.message)
        event = normalized.event
        if event is None:
            return
        late = RETENTION.too_late(event.received_at, published_ms=at_ms if published_ms is None else published_ms)
        if late is not None:
            letter = DeadLetter.of(
                Stage.ABSORB, Reason.SESSION_RETIRED, late, raw=raw, occurred_at=event.received_at, action=action
            )
            self.letters.append(letter)
            return
        self.pipe_event(event)

    def pipe_event(self, event: NormalizedEvent) -> None:
        """One event, of a push or of the API, worked off at once."""
        folded = fold(event.key, self._stored.get(event.key), [event])
        if folded.record is not None and folded.stored is not None:
            self.sessions_topic.append((event.key, folded.record))
            self._stored[event.key] = folded.stored

    def tables(self) -> list[dict[str, Any]]:
        """What a warehouse holds at rest: of each session the document with the highest (version, digest)."""
        highest: dict[bytes, tuple[int, str, dict[str, Any]]] = {}
        for key, record in self.sessions_topic:
            value = jsontext.decode(record)
            candidate = int(value["version"]), document_digest(value["session"]), value["session"]
            if key not in highest or candidate[:2] > highest[key][:2]:
                highest[key] = candidate
        return [document for _, _, document in sorted(highest.values(), key=lambda item: str(item[2]["session_id"]))]
