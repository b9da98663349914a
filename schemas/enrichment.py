"""What callweave asks TCCC's API beyond the calls: details of a session, agents, skill groups, status of agents."""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from schemas.keyed import KEY_CHARACTERS_MAX, Count, KeyedRecord, SessionId, Whole
from schemas.models import Instant, Personal, Privacy
from schemas.session import Extra, FreeText, Mail, PersonName, Phone

AgentMail = Annotated[str, Personal(Privacy.MAIL), Field(min_length=1, max_length=KEY_CHARACTERS_MAX)]


class SessionDetail(KeyedRecord):
    """That DescribeSessionDetail was asked for one session, and how much it told."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "session_id")

    session_id: SessionId = Field(description="TCCC's SessionId")
    session_ended_at: Instant = Field(description="End of the session, as it was known when it was asked for")
    is_known: bool = Field(description="The API knows the session")
    event_count: Count = Field(description="Rows of agent_events that are the session's: those with a lower sequence")


class AgentEvent(KeyedRecord):
    """One thing that an agent did during a session: held or muted it, or ended that."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "session_id", "event_sequence")

    session_id: SessionId = Field(description="TCCC's SessionId")
    event_sequence: Count = Field(description="Its place among the session's events, from 0, by time")
    occurred_at: Instant | None = Field(description="When it happened; TCCC tells whole seconds")
    event_type: str | None = Field(description="StaffHold, StaffUnhold, StaffMute, StaffUnmute, as sent")
    agent_mail: Mail = Field(description="The agent's e-mail")
    staff_number: str | None = Field(description="The agent's number")
    extra: Extra = Field(description="Every field of TCCC's event without a column")


class Agent(KeyedRecord):
    """One agent as the directory had it from one moment to another."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "agent_mail", "valid_from")

    agent_mail: AgentMail = Field(description="The agent's e-mail: what CDRs call the agent by")
    valid_from: Instant = Field(description="Since when: TCCC's LastModifyTimestamp, or when the change was seen")
    valid_to: Instant | None = Field(description="Until when (excluded); NULL = as it is now")
    agent_name: PersonName = Field(description="The agent's name")
    nick: PersonName = Field(description="The name that customers see")
    agent_phone: Phone = Field(description="The agent's phone")
    staff_number: str | None = Field(description="The agent's number")
    extension_number: str | None = Field(description="The agent's extension")
    role_id: Whole | None = Field(description="1 administrator, 2 quality inspector, 3 agent, else a role of your own")
    skill_group_ids: str | None = Field(description="Skill groups that the agent serves: ids, sorted, commas between")
    extra: Extra = Field(description="Every field of TCCC's without a column")


class SkillGroup(KeyedRecord):
    """One skill group as the directory had it from one moment to another."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "skill_group_id", "valid_from")

    skill_group_id: Whole = Field(description="TCCC's SkillGroupId")
    valid_from: Instant = Field(description="Since when: TCCC's LastModifyTimestamp, or when the change was seen")
    valid_to: Instant | None = Field(description="Until when (excluded); NULL = as it is now")
    skill_group_name: str | None = Field(description="Its name")
    alias: str | None = Field(description="Its other name")
    skill_group_type: Whole | None = Field(description="0 phone, 1 chat, 3 audio, 4 video")
    max_concurrency: Whole | None = Field(description="Contacts that one agent may have at a time")
    extra: Extra = Field(description="Every field of TCCC's without a column")


class AgentStatus(KeyedRecord):
    """One change of what an agent is doing."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "agent_mail", "changed_at", "status_sequence")

    agent_mail: AgentMail = Field(description="The agent's e-mail, as the directory has it")
    changed_at: Instant = Field(description="Since when; TCCC tells whole seconds")
    status_sequence: Count = Field(description="Its place among the changes of that second, from 0")
    status: str | None = Field(description="free, busy, rest, notReady, afterCallWork, offline, as sent")
    session_id: str | None = Field(description="The session that it is about")
    reason: FreeText = Field(description="The reason that the agent gave")
    staff_number: str | None = Field(description="The agent's number")


class AgentStatusRead(KeyedRecord):
    """How far one agent's status is known: what comes after, nobody asked for yet."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "agent_mail")
    INTERNAL: ClassVar[frozenset[str]] = frozenset({"recent"})

    agent_mail: AgentMail = Field(description="The agent's e-mail")
    read_from: Instant = Field(description="Where the reading of the agent's history began")
    read_to: Instant = Field(description="How far it went")
    recent: tuple[str, ...] = Field(default=(), description="Digests of the latest changes; callweave's own")


ENRICHMENT_RECORDS: Final[dict[str, type[KeyedRecord]]] = {
    "session_details": SessionDetail,
    "agent_events": AgentEvent,
    "agents": Agent,
    "skill_groups": SkillGroup,
    "agent_status": AgentStatus,
    "agent_status_reads": AgentStatusRead,
}
"""By the suffix of the topic, which is the name of the table."""
