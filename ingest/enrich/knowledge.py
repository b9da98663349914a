"""What is known already: the newest records of the topics of enrichment, in memory. Losing it costs repeats."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ingest.enrich.directory import LISTINGS, Listing, States
from schemas.enrichment import AgentStatusRead, SessionDetail
from schemas.keyed import KeyedRecord

SessionKey = tuple[int, str]


@dataclass(slots=True)
class Knowledge:
    """Which sessions were asked for, who was listed, and how far each agent's status was read."""

    asked: dict[SessionKey, datetime] = field(default_factory=dict)
    states: dict[tuple[str, int], States] = field(default_factory=dict)
    reads: dict[tuple[int, str], AgentStatusRead] = field(default_factory=dict)

    def take(self, records: Iterable[KeyedRecord]) -> None:
        """Note records that are in Kafka."""
        for record in records:
            match record:
                case SessionDetail():
                    self.asked[record.sdk_app_id, record.session_id] = record.session_ended_at
                case AgentStatusRead():
                    place = record.sdk_app_id, record.agent_mail
                    if place not in self.reads or record.asked_at >= self.reads[place].asked_at:
                        self.reads[place] = record
                case _:
                    for listing in LISTINGS:
                        if isinstance(record, listing.record):
                            self.of(listing, record.sdk_app_id).take(listing, record)

    def of(self, listing: Listing, sdk_app_id: int) -> States:
        """The states of one listing of one application."""
        return self.states.setdefault((listing.action, sdk_app_id), States())

    def forget_sessions_before(self, moment: datetime) -> None:
        """Drop sessions that nobody would ask for any more."""
        for session in [session for session, ended_at in self.asked.items() if ended_at < moment]:
            del self.asked[session]
