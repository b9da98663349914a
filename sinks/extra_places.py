"""What is documented among the members of `extra`, by table; all others are fields that TCCC added since.

The rule: names only. What a member means stands in `schemas.wire`; here is what the API documents besides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from schemas.canonical import fields_of
from schemas.session import Leg, Recording, SessionDocument, Voicemail
from schemas.wire import AgentObject, CdrPush, LegObject, RecordPush, VoicemailPush, WireModel


@dataclass(frozen=True, slots=True)
class ExtraPlace:
    """Where unknown members of one of TCCC's objects wait: in `table`.extra, or in the object `member` of it."""

    table: str
    member: str | None
    wire: type[WireModel]
    document: type[BaseModel]
    api_only: frozenset[str] = frozenset()
    """Documented for DescribeTelCdr, and in no push."""

    @property
    def documented(self) -> tuple[str, ...]:
        """Names that need no attention."""
        return tuple(sorted({*fields_of(self.wire), *self.api_only}))


_API_ONLY_OF_A_CDR: Final = frozenset(
    {
        *("Time", "EndStatus", "SkillGroup", "SkillGroupId", "PostIVRKeyPressedEx", "ProtectedCaller"),
        *("ProtectedCallee", "UUI", "AsrUrl", "AsrStatus", "Remark", "RecordURL", "CustomRecordURL"),
        *("VoicemailRecordURL", "VoicemailAsrURL", "AIAgentId", "AIAgentName", "SysHangupReason"),
        *("SysHangupReasonString", "EndStatusV2"),
    }
)
EXTRA_PLACES: Final = (
    ExtraPlace("sessions", None, CdrPush, SessionDocument, _API_ONLY_OF_A_CDR),
    ExtraPlace("sessions", "SeatUser", AgentObject, SessionDocument, frozenset({"Role", "ExtensionNumber"})),
    ExtraPlace("legs", None, LegObject, Leg, frozenset({"RecordURL", "CustomRecordURL"})),
    ExtraPlace("recordings", None, RecordPush, Recording),
    # From the API: how many it lists.
    ExtraPlace("voicemails", None, VoicemailPush, Voicemail, frozenset({"VoicemailCount"})),
)
JSON_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("VARCHAR", "string", "String"), "text"),
    **dict.fromkeys(("BIGINT", "UBIGINT", "HUGEINT", "Int64", "UInt64"), "integer"),
    **dict.fromkeys(("DOUBLE", "number", "Double"), "number"),
    **dict.fromkeys(("BOOLEAN", "boolean", "Bool"), "boolean"),
    **dict.fromkeys(("ARRAY", "array", "Array"), "array"),
    **dict.fromkeys(("OBJECT", "object", "Object"), "object"),
}
"""What warehouses call JSON's types, and what we do."""
