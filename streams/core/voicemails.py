"""The voicemails of a session: those pushed, by time and address; and as many more as the API lists."""

from collections import defaultdict
from collections.abc import Sequence

from schemas.canonical import Reading, read
from schemas.events import Source
from schemas.models import instant_of_ms
from schemas.session import Voicemail
from schemas.wire import VoicemailPush
from streams.core.merge import merge_fields
from streams.core.recordings import content_id
from streams.core.state import Report

API_COUNT_FIELD = "VoicemailCount"
"""In an API fact about voicemails: how many DescribeTelCdr lists for the session."""


def list_voicemails(reports: Sequence[tuple[str, Report]]) -> list[Voicemail]:
    """Rows of a session's voicemails; `reports`: deciding ones first."""
    groups: dict[str, list[tuple[Report, Reading]]] = defaultdict(list)
    listed: list[tuple[int, int]] = []
    for _, report in reports:
        if report.source is Source.API:
            listed.append((report.payload.get(API_COUNT_FIELD, 0), report.first_ms))
            continue
        reading = read(VoicemailPush, report.payload)
        groups[content_id(reading.values.get("Timestamp"), reading.values.get("RecordURL"))].append((report, reading))
    rows = [_pushed_row(voicemail_id, members) for voicemail_id, members in groups.items()]
    beyond = max((count for count, _ in listed), default=0) - len(groups)
    rows += [_api_row(number, len(groups) + number, listed) for number in range(1, beyond + 1)]
    return sorted(rows, key=lambda row: row.voicemail_id)


def _pushed_row(voicemail_id: str, members: list[tuple[Report, Reading]]) -> Voicemail:
    merged = merge_fields(reading for _, reading in members)
    return Voicemail(
        voicemail_id=voicemail_id,
        endpoint_user=merged.values.get("EndpointUser"),
        generated_at=merged.values.get("Timestamp"),
        url=merged.values.get("RecordURL"),
        received_at=instant_of_ms(min(report.first_ms for report, _ in members)),
        source=Source.PUSH.value,
        extra=merged.rest or None,
    )


def _api_row(number: int, needed: int, listed: list[tuple[int, int]]) -> Voicemail:
    """A voicemail that only the API knows of: seen since it first listed so many."""
    first_ms = min(received_ms for count, received_ms in listed if count >= needed)
    return Voicemail(
        voicemail_id=f"api:{number}",
        endpoint_user=None,
        generated_at=None,
        url=None,
        received_at=instant_of_ms(first_ms),
        source=Source.API.value,
        extra=None,
    )
