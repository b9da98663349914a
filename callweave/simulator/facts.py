"""What happened in a simulated call centre, as values: the one thing that pushes and expected rows are both made from.

Nothing here knows JSON shapes or tables. 0 and "" mean "did not happen" and "not said", except where a comment says so.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class KeyPress:
    """One key (or recognised word) in an IVR, with what the flow calls it."""

    key: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class TelLocation:
    """Where the customer's number is at home."""

    tel_number: str
    country: str = ""
    province: str = ""
    city: str = ""
    operator: str = ""


@dataclass(frozen=True, slots=True)
class SeatUser:
    """The (last) human of a call."""

    mail: str
    name: str = ""
    nick: str = ""
    phone: str = ""
    user_id: str = ""
    staff_number: str = ""
    skill_group_names: tuple[str, ...] = ()
    unknown: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One agent-side stretch of a session."""

    sequence: int  # 0 is the first
    mail: str = ""
    phone: str = ""
    type: str = "staffSeat"
    started: int = 0
    rang: int = 0
    answered: int = 0
    ended: int = 0
    end_status: str = "ok"
    record_id: str = ""
    skill_group_id: int = 0
    skill_group_name: str = ""
    skill_group_priority: int | None = 0  # 0 is a value; None, where it is not told
    transfer_from: str = ""
    transfer_from_type: str = ""
    transfer_to: str = ""
    transfer_to_type: str = ""
    unknown: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one CDR says about a session."""

    caller: str
    callee: str
    direction: int  # 0 is inbound
    started: int
    ended: int
    end_status: str
    call_type: int = 0
    queued: int = 0
    rang: int = 0
    answered: int = 0
    duration: int = 0
    ivr_seconds: int = 0
    hung_up_by: str = ""
    skill_group_id: int = 0
    skill_group_name: str = ""
    record_id: str = ""
    user_remark: str = ""
    uui: str = ""
    caller_location: str = ""
    tel_location: TelLocation | None = None
    seat_user: SeatUser | None = None
    legs: tuple[Leg, ...] = ()
    ivr_keys: tuple[str, ...] = ()
    ivr_keys_ex: tuple[KeyPress, ...] = ()
    post_ivr_keys: tuple[KeyPress, ...] = ()
    key_labels_in_lower_case: bool = False
    unknown: dict[str, Any] = field(default_factory=dict)
    unholdable: dict[str, Any] = field(default_factory=dict)  # TCCC's field name to a value that its column can't hold

    @property
    def customer(self) -> str:
        """The outside party; nobody, where agents talk to each other."""
        if self.call_type == INTERNAL:
            return ""
        return self.caller if self.direction == 0 else self.callee


INTERNAL = 6
AUDIO_INBOUND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded track, as its push tells of it."""

    record_id: str
    endpoint_user: str
    timestamp: int
    url: str
    custom_url: str = ""
    endpoint_is_number: bool = False
    unknown: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voicemail:
    """One message that a caller left."""

    endpoint_user: str
    timestamp: int
    url: str
    endpoint_is_number: bool = True
    unknown: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that can be told of one session: its CDR (and corrected ones), its tracks and messages."""

    sdk_app_id: int
    session_id: str
    calls: tuple[Call, ...]
    recordings: tuple[Recording, ...] = ()
    voicemails: tuple[Voicemail, ...] = ()

    @property
    def name(self) -> str:
        """How people and ledgers call it."""
        return f"{self.sdk_app_id}:{self.session_id}"


SESSION_JSON = TypeAdapter(Session)
