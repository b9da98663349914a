"""The voicemails of a session: those pushed, by time and address; and as many more as the API lists."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from schemas.canonical import Reading, read
from schemas.events import Source
from schemas.models import instant_text_of_ms
from schemas.wire import VoicemailPush
from streams.core.merge import merge_fields
from streams.core.recordings import content_id
from streams.core.state import Report

API_COUNT_FIELD = "VoicemailCount"
"""In an API fact about voicemails: how many DescribeTelCdr lists for the session."""


Row = dict[str, Any]
"""A row of `voicemails` as JSON values; `schemas.session.Voicemail` describes it."""


def list_voicemails(reports: Sequence[tuple[str, Report]]) -> list[Row]:
    """Rows of a session's voicemails; `reports`: deciding ones first."""
    if not reports:
        return []
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
    return sorted(rows, key=lambda row: row["voicemail_id"])


def _pushed_row(voicemail_id: str, members: list[tuple[Report, Reading]]) -> Row:
    merged = merge_fields(reading for _, reading in members)
    generated_ms = merged.values.get("Timestamp")
    return {
        "voicemail_id": voicemail_id,
        "endpoint_user": merged.values.get("EndpointUser"),
        "generated_at": None if generated_ms is None else instant_text_of_ms(generated_ms),
        "url": merged.values.get("RecordURL"),
        "received_at": instant_text_of_ms(min(report.first_ms for report, _ in members)),
        "source": Source.PUSH.value,
        "extra": merged.rest or None,
    }


def _api_row(number: int, needed: int, listed: list[tuple[int, int]]) -> Row:
    """A voicemail that only the API knows of: seen since it first listed so many."""
    first_ms = min(received_ms for count, received_ms in listed if count >= needed)
    return {
        "voicemail_id": f"api:{number}",
        "endpoint_user": None,
        "generated_at": None,
        "url": None,
        "received_at": instant_text_of_ms(first_ms),
        "source": Source.API.value,
        "extra": None,
    }
