"""One row of DescribeTelCdr as normalized events: the CDR, a fact for each recording it names, the count of voicemails.

The rule (architecture.md law 8): every address is taken out before the digest, because it holds a token and expires; so
a row that says the same gives the same events. `asked_at` is the moment before the request was sent: what was pushed
while the answer was on its way is newer knowledge. The events go on to `ingest.reconcile.reading`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas import jsontext
from schemas.canonical import Defect, TooDeepError, canonical, defects_of, digest, fields_of, read
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import WIRE_MODELS, ApiFact, EventKind, NormalizedEvent, Source
from schemas.models import instant_ms
from schemas.topics import MESSAGE_BYTES_MAX
from schemas.wire import CdrPush

VOICEMAIL_COUNT = "VoicemailCount"
"""In the fact about voicemails: how many the API lists. `streams.core.voicemails` reads it."""

_RECORDING_ADDRESSES = ("RecordURL", "CustomRecordURL")
_VOICEMAIL_ADDRESSES = "VoicemailRecordURL"
_IS_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://\S*\s*", re.IGNORECASE)
_IS_ADDRESS_NAME = re.compile(r".*ur[li]s?", re.IGNORECASE)
_EVENT_BYTES_MAX = MESSAGE_BYTES_MAX - 64 * 1024
_DEFECTS_NAMED_MAX = 20
_RENAMED = (("Remark", "UserRemark"), ("UUI", "Uui"), ("Time", "StartTimestamp"))
_EMPTY: tuple[object, ...] = (None, "", 0, "0")
_TEXTS = frozenset(name for name, wire in fields_of(CdrPush).items() if wire.kind.is_text)


@dataclass(frozen=True, slots=True)
class RowEvents:
    """What one row becomes: events, and a letter about what of it could not be used."""

    events: tuple[NormalizedEvent, ...]
    letters: tuple[DeadLetter, ...] = ()


def row_events(row: Any, *, sdk_app_id: int, asked_at: datetime, absent_after: timedelta) -> RowEvents:
    """Turn a row into events. A recording counts as absent once the call has been over for `absent_after`."""
    if not isinstance(row, Mapping):
        told = {"row": type(row).__name__}
        return _useless(told, Reason.SCHEMA_VIOLATION, "a row of DescribeTelCdr is no object", asked_at)
    try:
        payload = canonical(CdrPush, {**_as_pushed(row), "SdkAppId": sdk_app_id})
    except TooDeepError as exc:
        return _useless({}, Reason.SCHEMA_VIOLATION, str(exc), asked_at)
    session_id = payload.get("SessionId")
    if not isinstance(session_id, str):
        return _useless(payload, Reason.UNKEYABLE, "a row of DescribeTelCdr has no SessionId", asked_at)

    def event(kind: EventKind, said: dict[str, Any], fact: ApiFact | None) -> NormalizedEvent:
        identity = digest(kind, Source.API, fact, said)
        return NormalizedEvent(
            kind=kind,
            sdk_app_id=sdk_app_id,
            session_id=session_id,
            payload=said,
            digest=identity,
            source=Source.API,
            fact=fact,
            push_id=f"api:{identity}",
            received_at=asked_at,
        )

    key = {"SdkAppId": sdk_app_id, "SessionId": session_id}
    events = [event(EventKind.CDR, payload, None)]
    is_over = _ended_before(payload, asked_at - absent_after)
    for record_id, is_present in _recordings(row):
        if is_present or is_over:
            fact = ApiFact.PRESENT if is_present else ApiFact.ABSENT
            said = canonical(WIRE_MODELS[EventKind.RECORD], {**key, "RecordId": record_id})
            events.append(event(EventKind.RECORD, said, fact))
    voicemails = _filled_count(row.get(_VOICEMAIL_ADDRESSES))
    if voicemails:
        events.append(event(EventKind.VOICEMAIL, {**key, VOICEMAIL_COUNT: voicemails}, ApiFact.PRESENT))
    if len(jsontext.encode(payload)) > _EVENT_BYTES_MAX:
        return _useless(key, Reason.BOUND_EXCEEDED, "a row of DescribeTelCdr does not fit one Kafka message", asked_at)
    defects = defects_of(CdrPush, payload)
    letters = (_letter(payload, Reason.SCHEMA_VIOLATION, _named(defects), asked_at),) if defects else ()
    return RowEvents(tuple(events), letters)


def _as_pushed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row under the names that pushes use, without any address."""
    renamed = dict(row)
    for theirs, ours in _RENAMED:
        said = renamed.pop(theirs, None)
        if said in _EMPTY:
            continue
        if renamed.get(ours) in _EMPTY:
            renamed[ours] = said
        elif str(renamed[ours]) != str(said):
            renamed[theirs] = said  # it says something of its own: kept, in `extra`
    return {
        # What people and the customer's own systems wrote may well be an address, and is theirs to keep.
        name: value if name in _TEXTS and isinstance(value, str) else _without_addresses(value)
        for name, value in renamed.items()
        if not _names_address(name)
    }


def _without_addresses(value: Any) -> Any:
    """The value without members that are addresses, however deep."""
    if isinstance(value, str):
        return None if _IS_ADDRESS.fullmatch(value) else value
    if isinstance(value, Mapping):
        return {name: _without_addresses(item) for name, item in value.items() if not _names_address(name)}
    if isinstance(value, list):
        return [_without_addresses(item) for item in value]
    return value


def _names_address(name: str) -> bool:
    return _IS_ADDRESS_NAME.fullmatch(name) is not None


def _recordings(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each recording that the row names, and whether the API has it: an id on root and leg is one recording."""
    legs = row.get("ServeParticipants")
    carriers = [row, *(leg for leg in legs if isinstance(leg, Mapping))] if isinstance(legs, list) else [row]
    is_present: dict[str, bool] = {}
    for carrier in carriers:
        record_id = canonical(WIRE_MODELS[EventKind.RECORD], {"RecordId": carrier.get("RecordId")}).get("RecordId")
        if isinstance(record_id, str):
            has_address = any(isinstance(carrier.get(name), str) and carrier[name] for name in _RECORDING_ADDRESSES)
            is_present[record_id] = is_present.get(record_id, False) or has_address
    yield from is_present.items()


def _ended_before(payload: dict[str, Any], moment: datetime) -> bool:
    values = read(CdrPush, payload).values
    ended = values.get("EndedTimestamp") or values.get("StartTimestamp")
    return isinstance(ended, int) and ended <= instant_ms(moment)


def _filled_count(addresses: Any) -> int:
    if isinstance(addresses, str):  # one of them, in a field that is declared a list
        return int(bool(addresses))
    return sum(bool(address) for address in addresses) if isinstance(addresses, list) else 0


def _named(defects: list[Defect]) -> str:
    named = "; ".join(f"{defect.path} {defect.problem}" for defect in defects[:_DEFECTS_NAMED_MAX])
    more = len(defects) - _DEFECTS_NAMED_MAX
    return f"{named}; and {more} more" if more > 0 else named


def _useless(row: dict[str, Any], reason: Reason, detail: str, asked_at: datetime) -> RowEvents:
    return RowEvents((), (_letter(row, reason, detail, asked_at),))


def _letter(row: dict[str, Any], reason: Reason, detail: str, asked_at: datetime) -> DeadLetter:
    """A letter about a row; its bytes are the row's canonical form, since the answer's own hold addresses."""
    advice = "; ask again with `callweave reconcile --session`"
    raw = jsontext.encode(row)
    return DeadLetter.of(
        Stage.RECONCILE, reason, detail + advice, raw=raw, occurred_at=asked_at, received_at=asked_at, action="cdr"
    )
