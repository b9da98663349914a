"""A second reading of the contract: what one row of DescribeTelCdr says, as events, and what a warehouse then answers.

Written apart from `ingest.reconcile`, so that the simulator's truth is checked by the core alone.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas.canonical import canonical, digest
from schemas.dead_letter import DeadLetter
from schemas.events import WIRE_MODELS, ApiFact, EventKind, NormalizedEvent, Source
from schemas.models import instant_of_ms

_ADDRESSES = ("RecordURL", "CustomRecordURL", "AsrUrl", "VoicemailRecordURL", "VoicemailAsrURL")


def events_of_row(row: Mapping[str, Any], *, sdk_app_id: int, at_ms: int, with_absences: bool) -> list[NormalizedEvent]:
    """The CDR, a fact for each recording that it names, and the count of voicemails."""
    key = {"SdkAppId": sdk_app_id, "SessionId": row["SessionId"]}
    legs = [{name: value for name, value in leg.items() if name not in _ADDRESSES} for leg in row["ServeParticipants"]]
    told = {name: value for name, value in row.items() if name not in {*_ADDRESSES, "Remark", "UUI", "Time"}}
    told |= key | {"UserRemark": row["Remark"], "Uui": row["UUI"], "ServeParticipants": legs}
    events = [_event(EventKind.CDR, told, None, at_ms)]
    carriers = [row, *row["ServeParticipants"]]
    for record_id in sorted({one["RecordId"] for one in carriers} - {""}):
        is_there = any(one["RecordURL"] for one in carriers if one["RecordId"] == record_id)
        if is_there or with_absences:
            fact = ApiFact.PRESENT if is_there else ApiFact.ABSENT
            events.append(_event(EventKind.RECORD, key | {"RecordId": record_id}, fact, at_ms))
    if row["VoicemailRecordURL"]:
        count = {"VoicemailCount": len(row["VoicemailRecordURL"])}
        events.append(_event(EventKind.VOICEMAIL, key | count, ApiFact.PRESENT, at_ms))
    return events


def _event(kind: EventKind, said: Mapping[str, Any], fact: ApiFact | None, at_ms: int) -> NormalizedEvent:
    payload = canonical(WIRE_MODELS[kind], said)
    identity = digest(kind, Source.API, fact, payload)
    return NormalizedEvent(
        kind=kind,
        sdk_app_id=payload["SdkAppId"],
        session_id=payload["SessionId"],
        payload=payload,
        digest=identity,
        source=Source.API,
        fact=fact,
        push_id=f"api:{identity}",
        received_at=instant_of_ms(at_ms),
    )


def warehouse_of(
    documents: Iterable[Mapping[str, Any]], letters: Iterable[DeadLetter] = ()
) -> Callable[[str], list[dict[str, object]]]:
    """Answer the questions of `verify` from session documents and dead letters."""
    held, raws = list(documents), [letter.raw for letter in letters]

    def query(select: str) -> list[dict[str, object]]:
        table = re.search(r" from (\w+)", select)
        assert table is not None
        if "having" in select or not select.endswith("offset 0"):
            return []
        if table[1] == "dead_letters":
            return [{"dead_letter_id": str(place), "raw": raw, "seen_count": 1} for place, raw in enumerate(raws)]
        wanted = set(re.findall(r"'([^']+)'", select))
        rows: list[dict[str, object]] = []
        for document in held:
            if document["session_id"] not in wanted:
                continue
            key = {name: document[name] for name in ("sdk_app_id", "session_id")}
            of_table = [document] if table[1] == "sessions" else document[table[1]]
            rows += [{"loaded_at": document["last_received_at"]} | key | _cells(row) for row in of_table]
        return rows

    return query


def _cells(row: Mapping[str, Any]) -> dict[str, object]:
    return {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in row.items()
        if not isinstance(value, list)
    }
