"""The one list of topics (contract.md part 4): names, what they carry, and how the broker keeps them."""

from dataclasses import dataclass

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""Topic, producers, consumers: a body of the largest accepted size fits with its envelope, and a session can grow."""

_DAY_MS = 24 * 60 * 60 * 1000
_HOUR_MS = 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: `suffix` follows the configured prefix; `partitioned` ones share the one partition count."""

    suffix: str
    carries: str
    partitioned: bool
    config: dict[str, str]

    def name(self, prefix: str) -> str:
        """The topic's full name."""
        return f"{prefix}{self.suffix}"


def _event_topic(suffix: str, carries: str) -> Topic:
    return Topic(suffix, carries, partitioned=True, config=_config("delete", **{"retention.ms": str(30 * _DAY_MS)}))


def _config(cleanup: str, **more: str) -> dict[str, str]:
    return {"cleanup.policy": cleanup, "max.message.bytes": str(MESSAGE_BYTES_MAX), **more}


CDR = _event_topic("cdr", "call detail records, normalized")
RECORD = _event_topic("record", "recording notices, normalized")
VOICEMAIL = _event_topic("voicemail", "voicemail notices, normalized")
SESSIONS = Topic(
    "sessions",
    "session documents and the state behind them; also the session table's changelog",
    partitioned=True,
    config=_config("compact", **{"min.compaction.lag.ms": str(_HOUR_MS)}),
)
DEAD_LETTERS = Topic(
    "dead_letters",
    "what could not be used, whole",
    partitioned=False,
    # Seen counts are counted by the loader: compaction waits until it has had a day to see every repetition.
    config=_config("compact,delete", **{"retention.ms": str(90 * _DAY_MS), "min.compaction.lag.ms": str(_DAY_MS)}),
)
RECONCILE = Topic(
    "reconcile",
    "which hours of the API were read, when, and what was published of them",
    partitioned=False,
    config=_config("compact"),
)
SUPPRESSIONS = Topic(
    "suppressions",
    "who is erased, as keyed hashes, and whose sessions: asked before anything is written",
    partitioned=False,
    config=_config("compact"),
)


def _keyed_topic(suffix: str, carries: str, *, days: int | None = None) -> Topic:
    config = _config("compact") if days is None else _config("compact,delete", **{"retention.ms": str(days * _DAY_MS)})
    return Topic(suffix, carries, partitioned=False, config=config)


_API_DAYS = 200
"""Longer than the API's 180 days, and as long as the state of a session."""

SESSION_DETAILS = _keyed_topic("session_details", "for which sessions details were asked", days=_API_DAYS)
AGENT_EVENTS = _keyed_topic("agent_events", "what agents did during sessions: hold, mute", days=_API_DAYS)
AGENTS = _keyed_topic("agents", "the agent directory, a record for each state that an agent was in")
SKILL_GROUPS = _keyed_topic("skill_groups", "the skill groups, a record for each state that one was in")
AGENT_STATUS = _keyed_topic("agent_status", "what agents were doing: each change of status", days=_API_DAYS)
AGENT_STATUS_READS = _keyed_topic("agent_status_reads", "how far each agent's status is known")

RECORDING_FILES = _keyed_topic("recording_files", "where the archive has each recording and voicemail, or why not")
LEGAL_HOLDS = _keyed_topic("legal_holds", "sessions whose files may not be deleted")

EVENT_TOPICS = (CDR, RECORD, VOICEMAIL)
ENRICHMENT_TOPICS = (SESSION_DETAILS, AGENT_EVENTS, AGENTS, SKILL_GROUPS, AGENT_STATUS, AGENT_STATUS_READS)
"""Only there where ENRICH__… asks for them."""

ARCHIVE_TOPICS = (RECORDING_FILES, LEGAL_HOLDS)
"""Only there where ARCHIVER__STORE is set."""

KEYED_TOPICS = (*ENRICHMENT_TOPICS, *ARCHIVE_TOPICS)
"""Each is loaded into the table of its name (`schemas.keyed`)."""

TOPICS = (*EVENT_TOPICS, SESSIONS, DEAD_LETTERS, RECONCILE, SUPPRESSIONS)
