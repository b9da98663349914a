"""The session document: everything known of one session, as published in `tccc.sessions` and laid down in the tables.

These models are the one list of columns: names, types, meaning. `schemas.columns` derives the tables from them.
"""

import hashlib
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, WithJsonSchema

from schemas import jsontext
from schemas.models import Instant, OwnModel, Personal, Privacy

SESSION_SCHEMA_VERSION: Final = 1

Json = dict[str, Any]

Phone = Annotated[str | None, Personal(Privacy.PHONE)]
Mail = Annotated[str | None, Personal(Privacy.MAIL)]
PersonName = Annotated[str | None, Personal(Privacy.NAME)]
Endpoint = Annotated[str | None, Personal(Privacy.ENDPOINT)]
AudioAddress = Annotated[str | None, Personal(Privacy.AUDIO)]
FreeText = Annotated[str | None, Personal(Privacy.FREE_TEXT)]
Extra = Annotated[Json | None, Personal(Privacy.FREE_TEXT)]

Version = Annotated[int, WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,19}$"}, mode="serialization")]
"""63 bits; text in JSON, because many readers round numbers beyond 2^53."""


class Leg(OwnModel):
    """One agent-side stretch of a session; key (sdk_app_id, session_id, leg_sequence)."""

    leg_sequence: int = Field(
        description="TCCC's Sequence, or the leg's position where Sequence cannot tell legs apart"
    )
    agent_mail: Mail = Field(description="The agent's e-mail")
    agent_phone: Phone = Field(description="The agent's phone, where the leg is a phone")
    leg_type: str | None = Field(description="staffSeat, staffPhoneSeat, miniProgramSeat, outboundSeat, ... as sent")
    started_at: Instant | None = Field(description="When the leg began")
    rang_at: Instant | None = Field(description="When the agent's side began to ring")
    answered_at: Instant | None = Field(description="When the agent answered")
    ended_at: Instant | None = Field(description="When the leg ended")
    end_status: str | None = Field(
        description="How the leg ended, TCCC's EndStatusString; can differ from the session's"
    )
    recording_id: str | None = Field(description="The agent-side recording that the CDR names")
    skill_group_id: int | None = Field(description="The leg's skill group")
    skill_group_name: str | None = Field(description="Its name")
    transfer_from: Endpoint = Field(description="The agent that the call came from")
    transfer_from_type: str | None = Field(description="What kind of participant that was")
    transfer_to: Endpoint = Field(description="The agent or number that the call went to")
    transfer_to_type: str | None = Field(description="What kind of participant that is")
    extra: Extra = Field(description="Every field of TCCC's leg without a column")


class Recording(OwnModel):
    """One recording that a CDR named or that came; key (sdk_app_id, session_id, recording_id)."""

    recording_id: Annotated[str, Personal(Privacy.ENDPOINT)] = Field(
        description="The CDR's id where named, else the pushed id, `<RecordId>~<endpoint>` if shared"
    )
    is_expected: bool = Field(description="A CDR named it")
    received_at: Instant | None = Field(description="First receipt of its first report; NULL = named but not here")
    absent_at: Instant | None = Field(description="When the API first said that there is none")
    side: Literal["customer", "agent"] | None = Field(description="Whose side was recorded; NULL where nobody named it")
    leg_sequence: int | None = Field(description="The leg that named it")
    endpoint_user: Endpoint = Field(description="Who was recorded, as pushed: a phone number or an agent's e-mail")
    generated_at: Instant | None = Field(description="When TCCC made the recording")
    url: AudioAddress = Field(description="The address as pushed; TCCC keeps the audio three months")
    custom_url: AudioAddress = Field(description="The permanent address in the customer's own storage")
    matched_by: Literal["recording_id", "endpoint_user"] | None = Field(description="How it met the name in the CDR")
    pushed_recording_id: str | None = Field(description="RecordId as pushed; derived from the content where none was")
    source: str | None = Field(description="push, api or push+api; NULL where nothing has come")
    extra: Extra = Field(description="Every field of TCCC's notice without a column")


class Voicemail(OwnModel):
    """One message left by a caller; key (sdk_app_id, session_id, voicemail_id)."""

    voicemail_id: str = Field(description="Digest of time and URL path; `api:<n>` where only the API knows of it")
    endpoint_user: Endpoint = Field(description="Who left it")
    generated_at: Instant | None = Field(description="When it was made")
    url: AudioAddress = Field(description="The address as pushed")
    received_at: Instant | None = Field(description="First receipt")
    source: str | None = Field(description="push or api")
    extra: Extra = Field(description="Every field of TCCC's notice without a column")


class FieldDisagreement(OwnModel):
    """A field that a push and the API fill differently; key (sdk_app_id, session_id, field)."""

    field: str = Field(description="TCCC's field; of an agent `SeatUser.Mail`, of a leg `ServeParticipants[1].Mail`")
    pushed_value: Annotated[str, Personal(Privacy.FREE_TEXT)] = Field(
        description="What was pushed, as text; its first 1,000 characters"
    )
    api_value: Annotated[str, Personal(Privacy.FREE_TEXT)] = Field(
        description="What the API says, as text; its first 1,000 characters"
    )
    pushed_at: Instant = Field(description="First receipt of the newest CDR that was pushed")
    api_asked_at: Instant = Field(description="When the API first gave its newest answer")


class SessionDocument(OwnModel):
    """One customer contact, start to end; key (sdk_app_id, session_id)."""

    schema_version: Literal[1] = SESSION_SCHEMA_VERSION
    sdk_app_id: int = Field(description="TCCC's application id")
    session_id: str = Field(description="TCCC's SessionId")
    version: Version = Field(description="Grows with knowledge only; the highest version replaces a session whole")
    has_cdr: bool = Field(description="A CDR has come, pushed or from the API")
    direction: str | None = Field(description="inbound, outbound, else TCCC's number as text")
    call_type: str | None = Field(
        description="outbound, inbound, audio_inbound, predictive_outbound, internal, else TCCC's number as text"
    )
    caller: Phone = Field(description="The calling party, as sent")
    callee: Phone = Field(description="The called party, as sent")
    customer_number: Phone = Field(description="Caller (inbound) or callee (outbound); NULL for internal calls")
    line_number: str | None = Field(description="The company's number: the other one")
    started_at: Instant | None = Field(description="Start of the whole session")
    queued_at: Instant | None = Field(description="When the customer entered the queue")
    rang_at: Instant | None = Field(description="Inbound: the agent's side rings; outbound: the customer's")
    answered_at: Instant | None = Field(description="Inbound: the agent answered; outbound: the customer did")
    ended_at: Instant | None = Field(description="End of the whole session")
    ivr_seconds: int | None = Field(description="TCCC's IVRDuration: seconds in the IVR")
    wait_seconds: int | None = Field(description="Answered, else ended, minus queued")
    talk_seconds: int | None = Field(description="Ended minus answered; hold time included")
    end_status: str | None = Field(description="How the session ended: TCCC's EndStatusString")
    hung_up_by: str | None = Field(description="user, seat or system, as sent")
    skill_group_id: int | None = Field(description="The queue's skill group; for outbound a rule-based pick")
    skill_group_name: str | None = Field(description="Its name")
    agent_mail: Mail = Field(description="The (last) agent's e-mail")
    agent_name: PersonName = Field(description="The (last) agent's name")
    leg_count: int = Field(description="Number of legs")
    recordings_expected: int = Field(description="Recordings that the CDR names")
    recordings_received: int = Field(description="Recordings that have come, named or not")
    recordings_missing: int = Field(description="Named, not here, and not known to be absent")
    voicemail_count: int = Field(description="Number of voicemails")
    uui: FreeText = Field(description="Data passed along at dial time")
    user_remark: FreeText = Field(description="The remark on the customer")
    first_received_at: Instant = Field(description="First receipt of any report about the session")
    last_received_at: Instant = Field(description="Last receipt of any")
    source: str | None = Field(description="Where its CDR came from: push, api or push+api")
    extra: Extra = Field(description="Every field of TCCC's CDR without a column")
    # Added later: documents from before it are still in the topic.
    erasure: Literal["pseudonymised", "removed"] | None = Field(
        default=None, description="What erasing a person did to the session; NULL where nothing was erased"
    )
    legs: list[Leg]
    recordings: list[Recording]
    voicemails: list[Voicemail]
    # Added later: documents from before it are still in the topic.
    field_disagreements: list[FieldDisagreement] = Field(default=[])

    def public(self) -> dict[str, Any]:
        """The document as it stands in `tccc.sessions`: JSON values, the version as text."""
        return {**self.model_dump(mode="json"), "version": str(self.version)}

    @classmethod
    def of_public(cls, document: dict[str, Any]) -> Self:
        """The document that these JSON values are; raise ValidationError where they are none."""
        return cls.model_validate({**document, "version": int(document["version"])}, strict=False)


def document_digest(document: dict[str, Any]) -> str:
    """What orders two documents of equal version: 32 hexadecimal digits over the public document."""
    return hashlib.blake2b(jsontext.encode(document), digest_size=16).hexdigest()
