"""What the archiver says of each recording and voicemail: where its file is, or why there is none; and what is held.

Under the rule of `schemas.keyed`, `asked_at` being the moment before the address was asked, or the order was given.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from schemas.keyed import Count, KeyedRecord, SessionId
from schemas.models import Instant, Personal, Privacy
from schemas.session import FreeText

FileKind = Literal["recording", "voicemail"]
FileStatus = Literal["waiting", "stored", "absent", "lost", "refused", "replaced", "deleted", "erased"]


class RecordingFile(KeyedRecord):
    """One recording or voicemail and its file in the archive, or why there is none."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "session_id", "file_kind", "recording_id")
    INTERNAL: ClassVar[frozenset[str]] = frozenset({"addresses", "address_digest", "names"})

    session_id: SessionId = Field(description="TCCC's SessionId")
    file_kind: FileKind = Field(description="recording (the id is one of `recordings`) or voicemail (of `voicemails`)")
    recording_id: Annotated[str, Personal(Privacy.ENDPOINT)] = Field(
        description="recording_id of `recordings`, or voicemail_id of `voicemails`"
    )
    status: FileStatus = Field(
        description="waiting (still tried), stored, absent (the API says that there is none), lost (given up), "
        "refused (its address may not be fetched), replaced (it has another id now), deleted (kept long enough), erased"
    )
    problem: str | None = Field(description="Why the last try failed; no address stands in it")
    path: Annotated[str | None, Personal(Privacy.AUDIO)] = Field(
        description="Where the file is, below ARCHIVER__STORE; made of its content, so equal files are one"
    )
    sha256: str | None = Field(description="SHA-256 of the file, in hexadecimal")
    size_bytes: Count | None = Field(description="Size of the file")
    content_type: str | None = Field(description="What the bytes are, by their own account: audio/mp3, audio/wav, ...")
    duration_seconds: float | None = Field(description="How long the audio lasts, by its own account")
    fetched_from: Literal["url", "custom_url", "api"] | None = Field(
        description="Which address gave it; api = a fresh one that TCCC's API was asked for"
    )
    attempts_count: Count = Field(description="Tries so far")
    generated_at: Instant | None = Field(description="When TCCC made it; it keeps the audio three months from then")
    first_seen_at: Instant = Field(description="When the archiver first read of it")
    next_attempt_at: Instant | None = Field(description="When a waiting one is tried again")
    stored_at: Instant | None = Field(description="When it came into the archive")
    deleted_at: Instant | None = Field(description="When it was taken out of the archive")
    addresses: Annotated[dict[str, str], Personal(Privacy.AUDIO)] = Field(
        default={}, description="Of a waiting one: what to try, as pushed, by its column; callweave's own"
    )
    address_digest: str = Field(default="", description="Tells a renamed recording from a new one; callweave's own")
    names: tuple[str, ...] = Field(default=(), description="Ids that the API may know it by; callweave's own")


class LegalHold(KeyedRecord):
    """One session whose recordings may not be deleted, or may again."""

    KEY: ClassVar[tuple[str, ...]] = ("sdk_app_id", "session_id")

    session_id: SessionId = Field(description="TCCC's SessionId")
    is_held: bool = Field(description="Whether it is held now")
    reason: FreeText = Field(description="Why, as whoever asked for it wrote")


ARCHIVE_RECORDS: Final[dict[str, type[KeyedRecord]]] = {"recording_files": RecordingFile, "legal_holds": LegalHold}
"""By the suffix of the topic, which is the name of the table."""
