"""What TCCC's API says beyond calls, field by field (protocol.md e.3): as `schemas.wire`, and as tolerant."""

from datetime import datetime
from typing import Annotated, Any

from schemas.wire import Kind, Wire, WireModel


class AgentEventObject(WireModel):
    """One item of DescribeSessionDetail's Events, with who did it brought up from StaffEventDetail."""

    Timestamp: Annotated[datetime | None, Wire(Kind.TIME, "occurred_at")] = None
    EventType: Annotated[str | None, Wire(Kind.TEXT, "event_type")] = None
    Mail: Annotated[str | None, Wire(Kind.TEXT, "agent_mail")] = None
    StaffNumber: Annotated[str | None, Wire(Kind.TEXT, "staff_number")] = None


class StaffObject(WireModel):
    """One item of DescribeStaffInfoList's StaffList."""

    Mail: Annotated[str | None, Wire(Kind.TEXT, "agent_mail")] = None
    Name: Annotated[str | None, Wire(Kind.TEXT, "agent_name")] = None
    Nick: Annotated[str | None, Wire(Kind.TEXT, "nick")] = None
    Phone: Annotated[str | None, Wire(Kind.TEXT, "agent_phone")] = None
    StaffNumber: Annotated[str | None, Wire(Kind.TEXT, "staff_number")] = None
    ExtensionNumber: Annotated[str | None, Wire(Kind.TEXT, "extension_number")] = None
    RoleId: Annotated[int | None, Wire(Kind.NUMBER_ID, "role_id")] = None
    LastModifyTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "modified_at")] = None
    SkillGroupList: Annotated[list[Any] | None, Wire(Kind.OPEN)] = None


class SkillGroupObject(WireModel):
    """One item of DescribeSkillGroupInfoList's SkillGroupList."""

    SkillGroupId: Annotated[int | None, Wire(Kind.NUMBER_ID, "skill_group_id")] = None
    SkillGroupName: Annotated[str | None, Wire(Kind.TEXT, "skill_group_name")] = None
    Alias: Annotated[str | None, Wire(Kind.TEXT, "alias")] = None
    SkillGroupType: Annotated[int | None, Wire(Kind.NUMBER, "skill_group_type")] = None
    MaxConcurrency: Annotated[int | None, Wire(Kind.NUMBER, "max_concurrency")] = None
    LastModifyTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "modified_at")] = None


class AgentStatusObject(WireModel):
    """One item of DescribeStaffStatusHistory's Data."""

    Cursor: Annotated[str | None, Wire(Kind.TEXT)] = None
    Timestamp: Annotated[datetime | None, Wire(Kind.TIME, "changed_at")] = None
    Status: Annotated[str | None, Wire(Kind.TEXT, "status")] = None
    SessionId: Annotated[str | None, Wire(Kind.TEXT_ID, "session_id")] = None
    Reason: Annotated[str | None, Wire(Kind.TEXT, "reason")] = None
    StaffEmail: Annotated[str | None, Wire(Kind.TEXT)] = None
    StaffNo: Annotated[str | None, Wire(Kind.TEXT, "staff_number")] = None
