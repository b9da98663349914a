"""One row of `session_versions`: what a receipt did to its session. Never published: the loader derives it if asked."""

from typing import Annotated, Any

from pydantic import Field

from schemas.models import Instant, OwnModel, Personal, Privacy


class SessionVersion(OwnModel):
    """One version of a session; key (sdk_app_id, session_id, version)."""

    version: int = Field(description="The session's version once the receipt was known")
    received_at: Instant = Field(description="The receipt that made the version")
    report_kind: str = Field(description="What was reported: cdr, record or voicemail")
    report_source: str = Field(description="push or api")
    # Personal, because whoever knows the rest of a report can try numbers until the digest fits.
    report_digest: Annotated[str, Personal(Privacy.FREE_TEXT)] = Field(
        description="Identifies the report's content; a retry has the same"
    )
    push_id: str | None = Field(description="TCCC's id of the receipt; NULL from the ninth receipt of a report on")
    is_repeat: bool = Field(description="The report was known: nothing but version and last_received_at moved")
    changed: Annotated[dict[str, Any] | None, Personal(Privacy.FREE_TEXT)] = Field(
        description="Columns that changed: of sessions with `from` and `to`, or {} where they may say something of a "
        "person; of its children as `table.column`; NULL where none did"
    )
