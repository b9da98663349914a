"""Counts what TCCC does and nobody has documented: one counter for each row of protocol.md (g) that a door can see.

The rule: it looks after the answer is decided and changes nothing; it remembers a bounded number of pushes, and opens
a bounded number of bodies a second. `docs/going-live.md` says what each habit means.
"""

import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client import CollectorRegistry, Counter

from ingest.body import GZIP_MAGIC, Unopened, open_body
from ingest.headers import CONTENT_ENCODING, PUSH_UUID
from ingest.normalize import PUSH_ID_CHARACTERS_MAX
from ingest.tallies import Spread, Tally
from schemas import metrics as listed
from schemas.canonical import fields_of
from schemas.events import WIRE_MODELS, EventKind, NormalizedEvent
from schemas.wire import Kind, WireModel

HABITS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        # label: (row of protocol.md (g), what was seen)
        "retry_after_refusal": (1, "a push came again after an answer other than ErrCode 0"),
        "retry_although_stored": (1, "a push came again although it had been answered ErrCode 0"),
        "uuid_missing": (2, "no X-TCCC-PUSH-UUID"),
        "uuid_other_format": (2, "X-TCCC-PUSH-UUID is no UUID"),
        "uuid_too_long": (2, "X-TCCC-PUSH-UUID is longer than 128 characters"),
        "uuid_shared_by_actions": (2, "one X-TCCC-PUSH-UUID came with two actions"),
        "uuid_other_body": (3, "one X-TCCC-PUSH-UUID came with two bodies"),
        "second_cdr": (4, "another CDR of one session came under a new X-TCCC-PUSH-UUID"),
        "basic_preemptive": (5, "basic credentials came with the first request"),
        "basic_after_challenge": (5, "basic credentials came after a 401 to the same push"),
        "oauth_form": (5, "client credentials came in a form"),
        "oauth_basic": (5, "client credentials came as HTTP Basic"),
        "oauth_json": (5, "client credentials came as JSON"),
        "oauth_query": (5, "client credentials came in the query"),
        "oauth_token_reused": (5, "a token was used for more than one push"),
        "oauth_expired_token": (5, "a token was used after its time, and refused"),
        "action_missing": (6, "no action in the query"),
        "action_repeated": (6, "more than one action in the query"),
        "action_other_case": (6, "an action in another case than documented"),
        "query_second_question_mark": (6, "a second question mark in the query"),
        "query_joined": (6, "the action was appended with & to an address that has a query of its own"),
        "action_unknown": (7, "an action that callweave does not use"),
        "version_other": (7, "a version other than 1"),
        "voicemail_with_version": (7, "a voicemail with a version, which the guide has none for"),
        "charset_other": (8, "a charset other than utf8"),
        "content_type_other": (8, "a media type other than application/json"),
        "bom": (8, "a byte order mark"),
        "gzip": (8, "a gzip body that says so"),
        "gzip_unlabelled": (8, "a gzip body that does not say so"),
        "encoding_other": (8, "a Content-Encoding other than gzip"),
        "null_field": (9, "null in a known field"),
        "number_as_text": (9, "a known number as text"),
        "text_as_number": (9, "a known text as a number"),
        "duplicate_key": (9, "a member twice in one object"),
        "unknown_field": (9, "a member that no documentation knows"),
        "milliseconds": (10, "a timestamp in milliseconds"),
        "record_id_empty": (11, "a recording without RecordId"),
        "record_id_epoch": (11, "a RecordId that is a UNIX time"),
        "record_id_on_unanswered_leg": (11, "a RecordId on a leg that was not answered"),
        "record_id_missing_on_answered_leg": (11, "no RecordId on a leg that was answered"),
        "endpoint_user_number": (12, "EndpointUser is a JSON number"),
        "endpoint_user_0086": (12, "EndpointUser begins with 0086"),
        "endpoint_user_masked": (12, "EndpointUser has asterisks"),
        "endpoint_user_empty": (12, "EndpointUser is empty"),
        "record_before_cdr": (13, "a recording came before its CDR"),
        "record_after_cdr": (13, "a recording came after its CDR"),
        "custom_url": (13, "a recording has a CustomRecordURL"),
        "custom_url_later": (13, "a recording came again, now with a CustomRecordURL"),
        "url_plain_http": (14, "an address of plain http"),
        "url_signed": (14, "an address with a query, thus perhaps signed"),
        "seat_user_null": (15, "SeatUser is null"),
        "seat_user_absent": (15, "no SeatUser"),
        "seat_user_empty": (15, "SeatUser is {}"),
        "seat_user_blank": (15, "SeatUser has nothing but empty members"),
        "leg_gave_up": (16, "a leg that ended with seatGiveUp"),
        "legs_more_than_two": (16, "more than two legs"),
        "call_type_missing": (17, "no CallType"),
        "call_type_unknown": (17, "a CallType that no documentation knows"),
        "end_status_unknown": (17, "an EndStatusString that no documentation knows"),
        "duration_on_unanswered": (18, "Duration of a call that was not answered"),
        "duration_otherwise": (18, "Duration is not the time from answer to end"),
        "call_type_predictive": (22, "a CDR of a predictive call"),
        "call_type_internal": (22, "a CDR of an internal call"),
    }
)

_PLACES = {habit: place for place, habit in enumerate(HABITS)}
INSPECTED_PER_SECOND_MAX = 20
INSPECTED_BURST_MAX = 500
REMEMBERED_MAX = 10_000

_Headers = CIMultiDict[str] | CIMultiDictProxy[str]
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_EPOCH = re.compile(r"1\d{9}")
_PARAMETER = re.compile(r"(?:^|[&;?])(\w+)=([^&;?]*)")
_BOM = b"\xef\xbb\xbf"
_DISTINCT_SPELLINGS = 256  # TCCC has a handful; a stranger who varies his cannot grow the caches
_MILLISECONDS_FROM = 10**11
_BODY_BYTES_MAX = 1024 * 1024
_DOCUMENTED_ACTIONS = frozenset({"cdr", "record", "voicemail"})
_CALL_TYPES = frozenset({"1", "2", "3", "5", "6"})
_END_STATUSES = frozenset(
    {
        *("error", "ok", "unconnected", "seatGiveUp", "blackList", "seatForward", "outboundForward"),
        *("ivrGiveUp", "waitingGiveUp", "ringingGiveUp", "noSeatOnline", "notWorkTime", "ivrEnd"),
        *("restrictedCallee", "tooManyRequest", "restrictedArea", "restrictedTime", "unknown", "notAnswer"),
        *("userReject", "powerOff", "numberNotExist", "busy", "outOfCredit", "operatorError", "callerCancel"),
        *("notInService", "clientError", "carrierBlocked", "callReminder", "numberInvalid", "callRestricted"),
        *("calleeRestricted", "areaRestricted", "promptCallForwarding", "callerCancelWhileRing"),
        *("callerCancelWithoutRing", "voiceMailReached", "asrError", "llmasrError", "ttsError"),
        *("functionCallHangup", "maxCallDurationReached", "userInactivity", "callTerminatedByAPI"),
        *("userHangupDuringAiCall", "aiAgentEndCall", "callConflict", "clientTimeout", "voipClientError"),
    }
)


class ObservedPush(NamedTuple):
    """One authentic push that was answered, as it came."""

    raw_query: str
    action: str | None
    headers: _Headers
    raw: bytes
    event: NormalizedEvent | None
    was_stored: bool


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Memory(Generic[_Key, _Value]):
    """The newest so many of something."""

    def __init__(self) -> None:
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        return self._entries.get(key)

    def put(self, key: _Key, value: _Value) -> None:
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > REMEMBERED_MAX:
            self._entries.popitem(last=False)


class _Delivery(NamedTuple):
    body: int
    action: str
    was_stored: bool
    at: float


class Habits:
    """The counters, and the little memory that telling habits needs."""

    def __init__(self, registry: CollectorRegistry, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seen = Tally(listed.TCCC_HABITS, HABITS, registry=registry).counts
        self._inspected = Counter(**listed.TCCC_BODIES_INSPECTED.arguments, registry=registry)
        self._retry_seconds = Spread(listed.TCCC_RETRY_SECONDS, registry=registry)
        self._monotonic = monotonic
        self._budget, self._budget_at = float(INSPECTED_BURST_MAX), monotonic()
        # What may be long is remembered by Python's hash: 64 bits, keyed anew in each process.
        self._deliveries: _Memory[str, _Delivery] = _Memory()
        self._challenged: _Memory[str, bool] = _Memory()
        self._tokens: _Memory[int, bool] = _Memory()
        self._cdrs: _Memory[int, str | None] = _Memory()
        self._recordings: _Memory[int, bool] = _Memory()

    def note_token_request(self, way: str) -> None:
        """Count in which way client credentials came."""
        self._seen[way] += 1

    def note_refusal(self, *, push_uuid: str | None, has_expired: bool, was_anonymous: bool) -> None:
        """Remember which push was challenged, and count tokens that had expired."""
        if has_expired:
            self._seen["oauth_expired_token"] += 1
        if push_uuid is not None and was_anonymous:
            self._challenged.put(push_uuid[:PUSH_ID_CHARACTERS_MAX], True)

    def observe(self, push: ObservedPush) -> tuple[str, ...]:
        """Count what a push shows; the labels, each once, in the order of HABITS."""
        found = self._found(push)
        if len(found) > 1:
            found = sorted(set(found), key=_PLACES.__getitem__)
        for habit in found:
            self._seen[habit] += 1
        return tuple(found)

    def _found(self, push: ObservedPush) -> list[str]:
        headers = push.headers
        uuid = headers.get(PUSH_UUID)
        found = ["uuid_missing"] if not uuid else self._of_delivery(push, uuid)
        found += _of_query(push.raw_query, push.action)
        encoding = headers.get(CONTENT_ENCODING, "")
        found += _of_headers(headers.get("Content-Type", ""), encoding, push.raw[: len(GZIP_MAGIC)])
        found += self._of_credentials(headers.get("Authorization", ""), uuid or "")
        if push.event is not None:
            found += self._of_order(push.event)
        if self._may_inspect():
            self._inspected.inc()
            found += _of_body(push)
        return found

    def _of_delivery(self, push: ObservedPush, uuid: str) -> list[str]:
        found = []
        if len(uuid) > PUSH_ID_CHARACTERS_MAX:
            found.append("uuid_too_long")
        if _UUID.fullmatch(uuid) is None:
            found.append("uuid_other_format")
        key = uuid[:PUSH_ID_CHARACTERS_MAX]
        delivery = _Delivery(hash(push.raw), (push.action or "").casefold(), push.was_stored, self._monotonic())
        earlier = self._deliveries.get(key)
        self._deliveries.put(key, delivery)
        if earlier is None:
            return found
        self._retry_seconds.observe(delivery.at - earlier.at)
        if earlier.action != delivery.action:
            found.append("uuid_shared_by_actions")
        if earlier.body != delivery.body:
            found.append("uuid_other_body")
        else:
            found.append("retry_although_stored" if earlier.was_stored else "retry_after_refusal")
        return found

    def _of_credentials(self, authorization: str, uuid: str) -> tuple[str, ...]:
        scheme, _, token = authorization.strip().partition(" ")
        match scheme.casefold():
            case "basic":
                was_challenged = self._challenged.get(uuid[:PUSH_ID_CHARACTERS_MAX])
                return ("basic_after_challenge" if was_challenged else "basic_preemptive",)
            case "bearer":
                known = hash(token)
                was_used = self._tokens.get(known)
                self._tokens.put(known, True)
                return ("oauth_token_reused",) if was_used else ()
        return ()

    def _of_order(self, event: NormalizedEvent) -> Iterator[str]:
        session = hash((event.sdk_app_id, event.session_id))
        known = self._cdrs.get(session)
        if event.kind is EventKind.CDR:
            if known is not None and known != event.push_id:
                yield "second_cdr"
            self._cdrs.put(session, event.push_id)
        elif event.kind is EventKind.RECORD:
            yield "record_before_cdr" if known is None else "record_after_cdr"
            names = repr((event.payload.get("RecordId"), event.payload.get("EndpointUser")))
            recording = hash((session, names))
            has_custom = "CustomRecordURL" in event.payload
            if has_custom and self._recordings.get(recording) is False:
                yield "custom_url_later"
            self._recordings.put(recording, has_custom)

    def _may_inspect(self) -> bool:
        now = self._monotonic()
        refilled = self._budget + (now - self._budget_at) * INSPECTED_PER_SECOND_MAX
        self._budget, self._budget_at = min(float(INSPECTED_BURST_MAX), refilled), now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True


@lru_cache(_DISTINCT_SPELLINGS)
def _of_query(raw_query: str, action: str | None) -> tuple[str, ...]:
    return tuple(_in_query(raw_query, action))


def _in_query(raw_query: str, action: str | None) -> Iterator[str]:
    pairs = _PARAMETER.findall(raw_query)
    actions = [value for name, value in pairs if name.casefold() == "action"]
    versions = [value for name, value in pairs if name.casefold() == "version"]
    if action is None:
        yield "action_missing"
    elif action.casefold() not in _DOCUMENTED_ACTIONS:
        yield "action_unknown"
    elif action not in _DOCUMENTED_ACTIONS:
        yield "action_other_case"
    if len(actions) > 1:
        yield "action_repeated"
    if "?" in raw_query:
        yield "query_second_question_mark"
    elif actions and pairs[0][0].casefold() not in {"action", "version"}:
        yield "query_joined"
    if versions and action == "voicemail":
        yield "voicemail_with_version"
    if any(version != "1" for version in versions):
        yield "version_other"


@lru_cache(_DISTINCT_SPELLINGS)
def _of_headers(content_type: str, content_encoding: str, magic: bytes) -> tuple[str, ...]:
    return tuple(_in_headers(content_type, content_encoding.strip().casefold(), magic))


def _in_headers(content_type: str, encoding: str, magic: bytes) -> Iterator[str]:
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().casefold() != "application/json":
        yield "content_type_other"
    charset = parameters.replace(" ", "").replace('"', "").casefold()
    if charset != "charset=utf8":
        yield "charset_other"
    if magic == GZIP_MAGIC:
        yield "gzip" if encoding == "gzip" else "gzip_unlabelled"
    elif encoding not in {"", "identity"}:
        yield "encoding_other"


def _of_body(push: ObservedPush) -> Iterator[str]:
    body = open_body(push.raw, push.headers.get(CONTENT_ENCODING), bytes_max=_BODY_BYTES_MAX)
    if isinstance(body, Unopened):
        return
    if body.startswith(_BOM):
        yield "bom"
    has_duplicates = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_duplicates
        made = dict(pairs)
        has_duplicates |= len(made) < len(pairs)
        return made

    try:
        payload = json.loads(body.removeprefix(_BOM), object_pairs_hook=members)
    except (ValueError, RecursionError):
        return
    if has_duplicates:
        yield "duplicate_key"
    if push.event is None or not isinstance(payload, dict):
        return
    yield from _of_members(WIRE_MODELS[push.event.kind], payload)
    if push.event.kind is EventKind.CDR:
        yield from _of_cdr(payload)
    else:
        yield from _of_recording(push.event.kind, payload)


def _of_members(model: type[WireModel], payload: Mapping[str, Any]) -> Iterator[str]:
    known = fields_of(model)
    for name, value in payload.items():
        wire = known.get(name)
        if wire is None:
            yield "unknown_field"
        elif value is None:
            yield "null_field"
        elif wire.kind.is_number and isinstance(value, str) and value:
            yield "number_as_text"
        elif wire.kind.is_text and isinstance(value, int | float) and not isinstance(value, bool):
            yield "text_as_number"
        elif wire.of is not None:
            for member in value if isinstance(value, list) else [value]:
                if isinstance(member, dict):
                    yield from _of_members(wire.of, member)
        if wire is not None and wire.kind is Kind.TIME and _number(value) > _MILLISECONDS_FROM:
            yield "milliseconds"


def _of_cdr(payload: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_seat_user(payload)
    legs = payload.get("ServeParticipants")
    legs = [leg for leg in legs if isinstance(leg, dict)] if isinstance(legs, list) else []
    if len(legs) > 2:
        yield "legs_more_than_two"
    for leg in legs:
        answered = _number(leg.get("AcceptTimestamp")) > 0
        if leg.get("EndStatusString") == "seatGiveUp":
            yield "leg_gave_up"
        if leg.get("RecordId") and not answered:
            yield "record_id_on_unanswered_leg"
        if not leg.get("RecordId") and answered:
            yield "record_id_missing_on_answered_leg"
    yield from _of_record_ids([payload, *legs])
    yield from _of_call_type(payload)
    yield from _of_duration(payload)


def _of_call_type(payload: Mapping[str, Any]) -> Iterator[str]:
    call_type = str(payload.get("CallType") or "")
    if not call_type:
        yield "call_type_missing"
    elif call_type not in _CALL_TYPES:
        yield "call_type_unknown"
    elif call_type == "5":
        yield "call_type_predictive"
    elif call_type == "6":
        yield "call_type_internal"
    status = payload.get("EndStatusString")
    if isinstance(status, str) and status and status not in _END_STATUSES:
        yield "end_status_unknown"


def _of_duration(payload: Mapping[str, Any]) -> Iterator[str]:
    duration = _number(payload.get("Duration"))
    answered, ended = _number(payload.get("AcceptTimestamp")), _number(payload.get("EndedTimestamp"))
    if not answered:
        if duration:
            yield "duration_on_unanswered"
    elif ended < _MILLISECONDS_FROM and duration != ended - answered:
        yield "duration_otherwise"


def _of_seat_user(payload: Mapping[str, Any]) -> Iterator[str]:
    if "SeatUser" not in payload:
        yield "seat_user_absent"
        return
    match payload["SeatUser"]:
        case None:
            yield "seat_user_null"
        case dict() as seat if not seat:
            yield "seat_user_empty"
        case dict() as seat if not any(seat.values()):
            yield "seat_user_blank"


def _of_recording(kind: EventKind, payload: Mapping[str, Any]) -> Iterator[str]:
    if kind is EventKind.RECORD and not payload.get("RecordId"):
        yield "record_id_empty"
    yield from _of_record_ids([payload])
    yield from _of_endpoint(payload.get("EndpointUser"))
    if payload.get("CustomRecordURL"):
        yield "custom_url"
    for name in ("RecordURL", "CustomRecordURL"):
        address = payload.get(name)
        if isinstance(address, str):
            if address.startswith("http:"):
                yield "url_plain_http"
            if "?" in address:
                yield "url_signed"


def _of_endpoint(endpoint: object) -> Iterator[str]:
    if isinstance(endpoint, int) and not isinstance(endpoint, bool):
        yield "endpoint_user_number"
    elif not endpoint:
        yield "endpoint_user_empty"
    elif isinstance(endpoint, str):
        if endpoint.startswith("0086"):
            yield "endpoint_user_0086"
        if "*" in endpoint:
            yield "endpoint_user_masked"


def _of_record_ids(holders: list[Mapping[str, Any]]) -> Iterator[str]:
    if any(_EPOCH.fullmatch(str(holder.get("RecordId"))) for holder in holders):
        yield "record_id_epoch"


def _number(value: object) -> float:
    """A number, also one as text; 0 for everything else."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else 0
