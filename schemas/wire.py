"""What TCCC sends, field by field (protocol.md section b): the one list of its names, their kinds, and their columns.

Tolerant on purpose: every field may be absent, null, a number as text or a text as number, and unknown fields stay.
`schemas.canonical` reads these declarations to bring a push to its canonical form and to tell usable values from
values that no warehouse can hold.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict


class Kind(Enum):
    """How a documented value is read: (name, its family, whether 0 means that there is none)."""

    TEXT = ("text", "text", False)
    TEXT_ID = ("text id", "text", True)
    NUMBER = ("number", "number", False)
    NUMBER_ID = ("number id", "number", True)
    SECONDS = ("seconds", "number", True)
    TIME = ("UNIX seconds or milliseconds", "number", True)
    OBJECT = ("object", "nested", False)
    OBJECTS = ("array of objects", "nested", False)
    OPEN = ("any shape", "open", False)

    def __init__(self, _name: str, family: str, zero_is_empty: bool) -> None:  # noqa: FBT001  (an enum's members)
        # Attributes, not sets of members: hashing a member is Python code, and this is read for every field.
        self.is_text = family == "text"
        self.is_number = family == "number"
        self.is_plain_number = _name in ("number", "number id")
        self.zero_is_empty = zero_is_empty


@dataclass(frozen=True, slots=True)
class Wire:
    """What is known of one field: its kind, the column it fills (None: it goes to `extra`), its members' model."""

    kind: Kind
    column: str | None = None
    of: type["WireModel"] | None = None


class WireModel(BaseModel):
    """A tolerant vendor shape: unknown fields are kept, every known one may be missing."""

    model_config = ConfigDict(extra="allow", frozen=True)


class AgentObject(WireModel):
    """The agent of a call; on a transfer the last one (G:3495)."""

    Mail: Annotated[str | None, Wire(Kind.TEXT, "agent_mail")] = None
    Name: Annotated[str | None, Wire(Kind.TEXT, "agent_name")] = None
    Nick: Annotated[str | None, Wire(Kind.TEXT)] = None
    Phone: Annotated[str | None, Wire(Kind.TEXT)] = None
    UserId: Annotated[str | None, Wire(Kind.TEXT_ID)] = None
    StaffNumber: Annotated[str | None, Wire(Kind.TEXT)] = None
    SkillGroupNameList: Annotated[list[Any] | None, Wire(Kind.OPEN)] = None


class LegObject(WireModel):
    """One leg: an agent-side stretch of the session (G:3506). The guide's table spells `Type` in Cyrillic."""

    Sequence: Annotated[int | None, Wire(Kind.NUMBER, "leg_sequence")] = None
    Mail: Annotated[str | None, Wire(Kind.TEXT, "agent_mail")] = None
    Phone: Annotated[str | None, Wire(Kind.TEXT, "agent_phone")] = None
    Type: Annotated[str | None, Wire(Kind.TEXT, "leg_type")] = None
    StartTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "started_at")] = None
    RingTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "rang_at")] = None
    AcceptTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "answered_at")] = None
    EndedTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "ended_at")] = None
    EndStatusString: Annotated[str | None, Wire(Kind.TEXT, "end_status")] = None
    RecordId: Annotated[str | None, Wire(Kind.TEXT_ID, "recording_id")] = None
    SkillGroupId: Annotated[int | None, Wire(Kind.NUMBER_ID, "skill_group_id")] = None
    SkillGroupName: Annotated[str | None, Wire(Kind.TEXT, "skill_group_name")] = None
    TransferFrom: Annotated[str | None, Wire(Kind.TEXT, "transfer_from")] = None
    TransferFromType: Annotated[str | None, Wire(Kind.TEXT, "transfer_from_type")] = None
    TransferTo: Annotated[str | None, Wire(Kind.TEXT, "transfer_to")] = None
    TransferToType: Annotated[str | None, Wire(Kind.TEXT, "transfer_to_type")] = None
    SkillGroupPriority: Annotated[int | None, Wire(Kind.NUMBER)] = None


class KeyPress(WireModel):
    """A key or recognised word in the IVR or the survey (G:3482); old editions spell `key` and `label`."""

    Key: Annotated[str | None, Wire(Kind.TEXT)] = None
    Label: Annotated[str | None, Wire(Kind.TEXT)] = None
    Timestamp: Annotated[datetime | None, Wire(Kind.TIME)] = None


class LocationObject(WireModel):
    """Where the customer's number belongs (G:3530)."""

    TelNumber: Annotated[str | None, Wire(Kind.TEXT)] = None
    Country: Annotated[str | None, Wire(Kind.TEXT)] = None
    Province: Annotated[str | None, Wire(Kind.TEXT)] = None
    City: Annotated[str | None, Wire(Kind.TEXT)] = None
    Operator: Annotated[str | None, Wire(Kind.TEXT)] = None


class Push(WireModel):
    """What every push names: the account and the session."""

    SdkAppId: Annotated[int | None, Wire(Kind.NUMBER_ID, "sdk_app_id")] = None
    SessionId: Annotated[str | None, Wire(Kind.TEXT_ID, "session_id")] = None


class CdrPush(Push):
    """`action=cdr`: one whole customer session at its end (G:3464, protocol.md b.1)."""

    Caller: Annotated[str | None, Wire(Kind.TEXT, "caller")] = None
    Callee: Annotated[str | None, Wire(Kind.TEXT, "callee")] = None
    Direction: Annotated[int | None, Wire(Kind.NUMBER, "direction")] = None
    CallType: Annotated[int | None, Wire(Kind.NUMBER, "call_type")] = None
    Duration: Annotated[int | None, Wire(Kind.SECONDS)] = None
    SeatUser: Annotated[AgentObject | None, Wire(Kind.OBJECT, "agent_mail", of=AgentObject)] = None
    CallerLocation: Annotated[str | None, Wire(Kind.TEXT)] = None
    IVRDuration: Annotated[int | None, Wire(Kind.SECONDS, "ivr_seconds")] = None
    StartTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "started_at")] = None
    QueuedTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "queued_at")] = None
    RingTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "rang_at")] = None
    AcceptTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "answered_at")] = None
    EndedTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "ended_at")] = None
    IVRKeyPressed: Annotated[list[Any] | None, Wire(Kind.OPEN)] = None
    IVRKeyPressedEx: Annotated[list[KeyPress] | None, Wire(Kind.OBJECTS, of=KeyPress)] = None
    PostIVRKeyPressed: Annotated[list[KeyPress] | None, Wire(Kind.OBJECTS, of=KeyPress)] = None
    HungUpSide: Annotated[str | None, Wire(Kind.TEXT, "hung_up_by")] = None
    ServeParticipants: Annotated[list[LegObject] | None, Wire(Kind.OBJECTS, "legs", of=LegObject)] = None
    EndStatusString: Annotated[str | None, Wire(Kind.TEXT, "end_status")] = None
    QueuedSkillGroupId: Annotated[int | None, Wire(Kind.NUMBER_ID, "skill_group_id")] = None
    QueuedSkillGroupName: Annotated[str | None, Wire(Kind.TEXT, "skill_group_name")] = None
    RecordId: Annotated[str | None, Wire(Kind.TEXT_ID, "recording_id")] = None
    UserRemark: Annotated[str | None, Wire(Kind.TEXT, "user_remark")] = None
    Uui: Annotated[str | None, Wire(Kind.TEXT, "uui")] = None
    TelLocation: Annotated[LocationObject | None, Wire(Kind.OBJECT, of=LocationObject)] = None


class RecordPush(Push):
    """`action=record`: one per recorded endpoint (G:3633, protocol.md b.2)."""

    RecordId: Annotated[str | None, Wire(Kind.TEXT_ID, "pushed_recording_id")] = None
    Timestamp: Annotated[datetime | None, Wire(Kind.TIME, "generated_at")] = None
    EndpointUser: Annotated[str | None, Wire(Kind.TEXT, "endpoint_user")] = None
    RecordURL: Annotated[str | None, Wire(Kind.TEXT, "url")] = None
    CustomRecordURL: Annotated[str | None, Wire(Kind.TEXT, "custom_url")] = None


class VoicemailPush(Push):
    """`action=voicemail`: a message left in the IVR's voicemail module (G:3680, protocol.md b.3); no RecordId."""

    Timestamp: Annotated[datetime | None, Wire(Kind.TIME, "generated_at")] = None
    EndpointUser: Annotated[str | None, Wire(Kind.TEXT, "endpoint_user")] = None
    RecordURL: Annotated[str | None, Wire(Kind.TEXT, "url")] = None
