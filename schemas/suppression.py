"""The suppression list: who is erased, as keyed hashes, and what is left of what speaks of them.

The rule: door, fold and loader ask this list about everything before they write it, and what they write of an erased
person or session says nothing of it any more. Which columns say something of a person stands in `schemas.columns`.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Final, Literal

from pydantic import ValidationError

from schemas import jsontext
from schemas.canonical import digest, fields_of
from schemas.columns import CHILDREN, LEGS, RECORDINGS, SESSIONS, VOICEMAILS, Column, Table
from schemas.dead_letter import DeadLetter
from schemas.derived import call_type_text, customer_and_line, direction_text
from schemas.events import WIRE_MODELS, EventKind, NormalizedEvent, session_key
from schemas.models import Instant, OwnModel, Privacy
from schemas.person import (
    PersonKey,
    erased_token,
    is_token,
    mails_in,
    number_identity,
    numbers_in,
    readings_of,
)
from schemas.wire import AgentObject, LegObject, Wire, WireModel

SUPPRESSION_SCHEMA_VERSION: Final = 1

ERASED_FIELD: Final = "CallweaveErased"
"""In a report: what was done to it. A report that holds nothing else tells the fold that its session is erased."""
VOICEMAIL_COUNT: Final = "VoicemailCount"
"""The one field of the API's that has no column and says nothing of anybody."""


class Erasure(StrEnum):
    """What erasing does; the later member is the stronger."""

    PSEUDONYMISED = "pseudonymised"
    """The call stays, with its times, agents and queues; nothing in it says whose it was."""
    REMOVED = "removed"
    """The call is gone."""

    def and_(self, other: "Erasure | None") -> "Erasure":
        """The stronger of two."""
        return Erasure.REMOVED if Erasure.REMOVED in {self, other} else self


_ERASURES: Final = {erasure.value: erasure for erasure in Erasure}


class SuppressionRecord(OwnModel):
    """One entry of the list: a person's hash, or a session's key. A tombstone takes it off the list."""

    schema_version: Literal[1] = SUPPRESSION_SCHEMA_VERSION
    kind: Literal["number", "mail", "session"]
    subject: str
    digits_count: int | None = None
    erasure: Erasure
    key_id: str
    requested_at: Instant

    @property
    def key(self) -> bytes:
        """The Kafka key."""
        return f"{self.kind}:{self.subject}".encode()

    def encoded(self) -> bytes:
        """The Kafka value."""
        return jsontext.encode(self.model_dump(mode="json"))


class NotASuppressionError(ValueError):
    """A Kafka value that is no entry of the list."""


def decode_suppression(value: bytes) -> SuppressionRecord:
    """Read a Kafka value of `tccc.suppressions`."""
    try:
        return SuppressionRecord.model_validate(jsontext.decode(value), strict=False)
    except (jsontext.NotJsonError, ValidationError) as exc:
        raise NotASuppressionError("a record of the suppression list is none that this callweave can read") from exc


@dataclass(frozen=True, slots=True)
class Suppressions:
    """The list as of some moment. Where it is empty, everything is given back as it came, at no cost."""

    key: PersonKey | None = None
    people: Mapping[str, Erasure] = field(default_factory=dict)
    """By the hash of a number or a mail."""
    sessions: Mapping[bytes, Erasure] = field(default_factory=dict)
    """By the Kafka key of a session."""
    lengths: frozenset[int] = frozenset()
    has_mails: bool = False
    shortest: int = 0
    """No ASCII text of fewer characters names anybody."""

    @classmethod
    def of(cls, key: PersonKey, records: Iterable[SuppressionRecord]) -> "Suppressions":
        """The list that these entries make."""
        people: dict[str, Erasure] = {}
        sessions: dict[bytes, Erasure] = {}
        lengths: set[int] = set()
        has_mails = False
        for record in records:
            if record.kind == "session":
                sessions[record.subject.encode()] = record.erasure
                continue
            people[record.subject] = record.erasure
            has_mails = has_mails or record.kind == "mail"
            if record.digits_count is not None:
                lengths.add(record.digits_count)
        return cls(key, people, sessions, frozenset(lengths), has_mails, 0 if has_mails else min(lengths, default=0))

    def __bool__(self) -> bool:
        return bool(self.people or self.sessions)

    def event(self, event: NormalizedEvent) -> NormalizedEvent:
        """What may be stored of a report: itself, or what is left of it."""
        if not self:
            return event
        erasure = self._erasure_of(event.key, event.payload, WIRE_MODELS[event.kind])
        if erasure is None:
            return event
        payload = self.reduced(event.kind, event.payload, erasure)
        identity = digest(event.kind, event.source, event.fact, payload)
        push_id = f"content:{identity}" if event.push_id.startswith("content:") else event.push_id
        return event.model_copy(update={"payload": payload, "digest": identity, "push_id": push_id})

    def document(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What may be laid down of a session document: itself, or what is left of it. Its `erasure` says which."""
        if not self or body.get("erasure") == Erasure.REMOVED:
            return body
        erasure = self._erasure_of(session_key(body["sdk_app_id"], body["session_id"]), body, None)
        done = body.get("erasure")
        return body if erasure is None or erasure == done else reduced_document(body, erasure, self.key, self.said)

    def letter(self, letter: DeadLetter) -> DeadLetter:
        """What may be kept of a dead letter: itself, or that there was one."""
        return self.blanked(letter) if self and self.is_named_in_letter(letter) else letter

    @staticmethod
    def blanked(letter: DeadLetter) -> DeadLetter:
        """That there was a letter, and nothing of what it said."""
        return DeadLetter.of(
            letter.stage,
            letter.reason,
            "it spoke of an erased person: nothing else was kept of it",
            raw=b"",
            raw_bytes_count=letter.raw_bytes_count,
            occurred_at=letter.occurred_at,
            received_at=letter.received_at,
            action=letter.action if letter.action in set(EventKind) else None,
        )

    def is_named_in_letter(self, letter: DeadLetter) -> bool:
        """Whether a letter speaks of an erased person or session, in whatever form its bytes have."""
        if not self:
            return False
        around = (letter.detail, letter.action or "", *letter.headers.values())
        return self.is_named_in(letter.raw) or any(self._named(text) is not None for text in around)

    def is_named_in(self, raw: bytes) -> bool:
        """Whether bytes speak of an erased person or session: as JSON, as text, compressed."""
        for body in _opened(raw):
            decoded: Any = None
            try:
                decoded = jsontext.decode(body)
            except jsontext.NotJsonError:
                if self._named(body.decode("utf-8", "replace")) is not None:
                    return True
                continue
            if self._session_of(decoded) is not None or self._strongest(_values(decoded, None)) is not None:
                return True
        return False

    def reduced(self, kind: EventKind, payload: Mapping[str, Any], erasure: Erasure) -> dict[str, Any]:
        """What is left of a canonical payload of an erased session. Doing it twice equals doing it once."""
        kept = {name: payload[name] for name in ("SdkAppId", "SessionId") if name in payload}
        done = payload.get(ERASED_FIELD)
        erasure = erasure.and_(Erasure(done)) if done in set(Erasure) else erasure
        if erasure is Erasure.PSEUDONYMISED:
            left = _left_of(WIRE_MODELS[kind], payload, _Tokens(self.key, self.said, _persons_of(kind, payload)))
            kept = {**left, **kept}
        return dict(sorted({**kept, ERASED_FIELD: erasure.value}.items()))

    def said(self, text: str) -> str:
        """A text without the people of the list: each is replaced by a token."""
        key = self.key
        if not self.people or key is None or is_token(text):
            return text
        found = sorted(self._found(text))
        if not found:
            return erased_token(named) if (named := self._named(text)) is not None else text
        parts: list[str] = []
        end = 0
        for start, stop, person in found:
            if start < end:
                continue
            parts += [text[end:start], erased_token(person)]
            end = stop
        return "".join((*parts, text[end:]))

    def _erasure_of(self, key: bytes, value: Any, model: type[WireModel] | None) -> Erasure | None:
        listed = self.sessions.get(key)
        if listed is Erasure.REMOVED or not self.people:
            return listed
        named = self._strongest(_values(value, model))
        return named if listed is None else listed.and_(named)

    def _strongest(self, texts: Iterable[str]) -> Erasure | None:
        strongest: Erasure | None = None
        for text in texts:
            if (person := self._named(text)) is not None:
                strongest = self.people[person].and_(strongest)
        return strongest

    def _named(self, text: str) -> str | None:
        """The first person of the list that a text names, in whatever reading."""
        if len(text) < self.shortest and text.isascii():  # most texts of a push, and every one of them passes here
            return None
        person = next((person for _, _, person in self._found(text)), None)
        if person is None:
            more = (person for reading in readings_of(text) for _, _, person in self._found(reading))
            person = next(more, None)
        return person

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        key = self.key
        if key is None:
            return
        for start, end, identity in numbers_in(text, self.lengths):
            if (person := key.number(identity)) in self.people:
                yield start, end, person
        if self.has_mails:
            for start, end, mail in mails_in(text):
                if (person := key.mail(mail)) in self.people:
                    yield start, end, person

    def _session_of(self, decoded: Any) -> Erasure | None:
        """Of a body as it was pushed, or of a whole record of a topic."""
        if not self.sessions or not isinstance(decoded, dict):
            return None
        for body, app, session in (
            (decoded, "SdkAppId", "SessionId"),
            (decoded, "sdk_app_id", "session_id"),
            (decoded.get("session"), "sdk_app_id", "session_id"),
        ):
            if isinstance(body, dict) and app in body and session in body:
                key = f"{body[app]}:{body[session]}".encode("utf-8", "replace")
                if key in self.sessions:
                    return self.sessions[key]
        return None


NOBODY: Final = Suppressions()
"""The empty list."""


def erasure_in(payload: Mapping[str, Any]) -> Erasure | None:
    """What was done to a report; None where nothing was."""
    done = payload.get(ERASED_FIELD)
    return None if done is None else _ERASURES.get(done)


def says_nothing(payload: Mapping[str, Any]) -> bool:
    """Whether a report only tells that its session is erased."""
    return ERASED_FIELD in payload and payload.keys() <= {"SdkAppId", "SessionId", ERASED_FIELD}


def erasing_payload(sdk_app_id: int, session_id: str, erasure: Erasure) -> dict[str, Any]:
    """The report that tells the fold of an erased session."""
    return {ERASED_FIELD: erasure.value, "SdkAppId": sdk_app_id, "SessionId": session_id}


def reduced_document(
    body: Mapping[str, Any], erasure: Erasure, key: PersonKey | None, said: Callable[[str], str]
) -> dict[str, Any]:
    """What is left of a session document: the columns that say nothing of a person, tokens, and the mark."""
    persons = frozenset(
        filter(None, (number_identity(body[name]) for name in ("customer_number",) if isinstance(body.get(name), str)))
    )
    if body.get("customer_number") is None:
        both = (number_identity(body[name]) for name in ("caller", "callee") if isinstance(body.get(name), str))
        persons = frozenset(filter(None, both))
    tokens = _Tokens(key, said, persons)
    left = {**body, **_left_of_row(SESSIONS, body, tokens), "erasure": erasure.value}
    for child in CHILDREN:
        rows = body.get(child.name)
        if isinstance(rows, list):
            if any(not column.nullable and column.privacy in _DROPPED for column in child.columns):
                left[child.name] = []
                continue
            left[child.name] = [{**row, **_left_of_row(child, row, tokens)} for row in rows if isinstance(row, dict)]
    return left


@dataclass(frozen=True, slots=True)
class _Tokens:
    """How values of a person's are replaced; `persons` are the numbers that are this session's customer."""

    key: PersonKey | None
    said: Callable[[str], str]
    persons: frozenset[str]

    def of(self, text: str, *, whoever: bool) -> str:
        """A text of a column that names people. `whoever`: every number is replaced, not the customer's alone."""
        if is_token(text):
            return text
        identity = number_identity(text)
        if identity is not None and (whoever or identity in self.persons):
            return erased_token(None if self.key is None else self.key.number(identity))
        base, tilde, endpoint = text.rpartition("~")  # `<RecordId>~<endpoint>`
        if tilde and number_identity(endpoint) is not None:
            return f"{self.said(base)}~{self.of(endpoint, whoever=True)}"
        return self.said(text)


_DROPPED: Final = frozenset({Privacy.AUDIO, Privacy.FREE_TEXT})
_NAMING: Final = frozenset({Privacy.PHONE, Privacy.ENDPOINT})
_EITHER_END: Final = frozenset({"caller", "callee"})
"""One of them is the company's own number, which stays."""
_TABLES: Final[Mapping[EventKind, Table]] = {
    EventKind.CDR: SESSIONS,
    EventKind.RECORD: RECORDINGS,
    EventKind.VOICEMAIL: VOICEMAILS,
}


def _left_of_row(table: Table, row: Mapping[str, Any], tokens: _Tokens) -> dict[str, Any]:
    left = {
        column.name: _left_of_value(column, row[column.name], tokens)
        for column in table.columns
        if column.name in row and column.name not in _KEYS
    }
    return _without_name(left, row, mail="agent_mail", name="agent_name")


def _without_name(left: dict[str, Any], of: Mapping[str, Any], *, mail: str, name: str) -> dict[str, Any]:
    """An agent whose mail is on the list has no name either."""
    told, said = of.get(mail), left.get(mail)
    return {**left, name: said} if name in left and isinstance(told, str) and told != said else left


_KEYS: Final = frozenset({"sdk_app_id", "session_id", "version", "SdkAppId", "SessionId", "document_digest"})
"""What identifies a session is nobody's number, however it looks."""


def _left_of_value(column: Column, value: Any, tokens: _Tokens) -> Any:
    if column.privacy in _DROPPED:
        return None
    if not isinstance(value, str):
        return value
    if column.privacy in _NAMING:
        return tokens.of(value, whoever=column.name not in _EITHER_END)
    return tokens.said(value)


def _left_of(model: type[WireModel], payload: Mapping[str, Any], tokens: _Tokens) -> dict[str, Any]:
    """Known fields, as the classes of the columns that they fill allow. The rest would be `extra`: it goes."""
    known, columns = fields_of(model), _columns_by_field(model)
    left: dict[str, Any] = {}
    for name, value in payload.items():
        wire = known.get(name)
        if wire is not None and wire.column is not None:
            kept = _left_of_field(wire, columns.get(wire.column), value, tokens)
            if kept is not None:
                left[name] = kept
        elif name == VOICEMAIL_COUNT and isinstance(value, int):
            left[name] = value
    return _without_name(left, payload, mail="Mail", name="Name")


def _left_of_field(wire: Wire, column: Column | None, value: Any, tokens: _Tokens) -> Any:
    """None where nothing may stay; a value of a wrong shape would be `extra` too."""
    if wire.of is not None:
        if isinstance(value, dict):
            return _left_of(wire.of, value, tokens)
        items = value if isinstance(value, list) else ()
        return [_left_of(wire.of, item, tokens) for item in items if isinstance(item, dict)] or None
    if isinstance(value, str) and wire.kind.is_text:
        return tokens.said(value) if column is None else _left_of_value(column, value, tokens)
    return value if isinstance(value, int) and wire.kind.is_number else None


@cache
def _columns_by_field(model: type[WireModel]) -> dict[str, Column]:
    """The columns that a wire model's fields fill, by name."""
    table = {AgentObject: SESSIONS, LegObject: LEGS}.get(model)
    if table is None:
        table = next(_TABLES[kind] for kind, of_kind in WIRE_MODELS.items() if of_kind is model)
    return {column.name: column for column in table.columns}


def _persons_of(kind: EventKind, payload: Mapping[str, Any]) -> frozenset[str]:
    """Whose call a CDR is: its customer's; where it does not say who that is, of both ends."""
    if kind is not EventKind.CDR:
        return frozenset()
    caller, callee = payload.get("Caller"), payload.get("Callee")
    direction, call_type = payload.get("Direction"), payload.get("CallType")
    customer, _ = customer_and_line(
        direction_text(direction if isinstance(direction, int) else None),
        call_type_text(call_type if isinstance(call_type, int) else None),
        caller,
        callee,
    )
    ends = (customer,) if isinstance(customer, str) else (caller, callee)
    return frozenset(filter(None, (number_identity(end) for end in ends if isinstance(end, str))))


def _values(value: Any, model: type[WireModel] | None) -> Iterator[str]:
    """Every text that is somewhere in a value, names of members and numbers too; TCCC's times and counts are none."""
    if isinstance(value, Mapping):
        known = {} if model is None else fields_of(model)
        for name, member in value.items():
            if name in _KEYS:
                continue
            wire = known.get(name)
            if wire is None:
                yield name
                yield from _values(member, None)
            elif not (wire.kind.is_number and isinstance(member, int)):
                yield from _values(member, wire.of)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, model)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and value == value // 1:
        yield str(int(value))


_OPENED_BYTES_MAX: Final = 16 * 1024 * 1024


def _opened(raw: bytes) -> Iterator[bytes]:
    yield raw
    if raw[:2] == b"\x1f\x8b":
        try:
            yield zlib.decompressobj(wbits=31).decompress(raw, _OPENED_BYTES_MAX)
        except zlib.error:
            return
