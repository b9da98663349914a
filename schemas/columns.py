"""The tables (contract.md part 5), derived from the session document and the dead letter.

The one list of columns: every warehouse's DDL, Arrow schemas and the data dictionary come from here.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from schemas.canonical import fields_of
from schemas.history import SessionVersion
from schemas.keyed import KeyedRecord
from schemas.models import Personal, Privacy
from schemas.reconcile import HourRecord
from schemas.records import RECORDS
from schemas.session import FieldDisagreement, Leg, Recording, SessionDocument, Voicemail
from schemas.wire import AgentObject, CdrPush, LegObject, RecordPush, VoicemailPush, WireModel
from schemas.wire_api import AgentEventObject, AgentStatusObject, SkillGroupObject, StaffObject


class ColumnType(Enum):
    """What a column holds; each warehouse has its nearest type."""

    TEXT = "text"
    INTEGER = "64-bit integer"
    FRACTION = "floating-point number"
    BOOLEAN = "boolean"
    INSTANT = "point in time, UTC"
    DATE = "calendar day"
    JSON = "JSON object"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    type: ColumnType
    nullable: bool
    description: str
    privacy: Privacy = Privacy.NONE
    source_field: str | None = None
    """TCCC's field that fills it as it is; None where callweave derives the value."""

    @property
    def unit(self) -> str | None:
        """What a number or a time counts in; None where nothing is counted."""
        if self.type is ColumnType.INSTANT:
            return "UTC"
        if self.type not in (ColumnType.INTEGER, ColumnType.FRACTION):
            return None
        return next((unit for suffix, unit in _UNITS.items() if self.name.endswith(suffix)), None)


_UNITS = {
    "_seconds": "seconds",
    **dict.fromkeys(("_count", "_expected", "_received", "_recovered", "_absent", "_missing"), "count"),
    **dict.fromkeys(("_known_to_api", "_in_warehouse", "_by_push", "_api_only", "_push_only", "_without_cdr"), "count"),
    "_unusable": "count",
    **dict.fromkeys(("archive_due", "archive_stored"), "count"),
    "_days_left_min": "days",
    "share": "0 to 1",
}


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `key` identifies a row."""

    name: str
    purpose: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(column.name for column in self.columns)


def _columns_of(
    model: type[BaseModel], sources: Mapping[str, str], *, without: frozenset[str] = frozenset()
) -> tuple[Column, ...]:
    return tuple(
        Column(
            name,
            *_column_type(info),
            description=info.description or "",
            privacy=_privacy_of(info),
            source_field=sources.get(name),
        )
        for name, info in model.model_fields.items()
        if name not in without
    )


def _sources_of(model: type[WireModel], prefix: str = "") -> dict[str, str]:
    return {
        wire.column: f"{prefix}{name}"
        for name, wire in fields_of(model).items()
        if wire.column is not None and wire.of is None
    }


def _privacy_of(info: FieldInfo) -> Privacy:
    return next((item.privacy for item in info.metadata if isinstance(item, Personal)), Privacy.NONE)


def _column_type(info: FieldInfo) -> tuple[ColumnType, bool]:
    options = _union_members(info.annotation)
    nullable = type(None) in options
    types_left = {_plain_type(option) for option in options if option is not type(None)}
    assert len(types_left) == 1, f"a column holds one type, not {types_left}"
    return _COLUMN_TYPES[types_left.pop()], nullable


def _union_members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _plain_type(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain_type(get_args(annotation)[0])
    if origin is Literal:
        return type(get_args(annotation)[0])
    return datetime if annotation is AwareDatetime else origin or annotation


_COLUMN_TYPES: dict[Any, ColumnType] = {
    str: ColumnType.TEXT,
    float: ColumnType.FRACTION,
    int: ColumnType.INTEGER,
    bool: ColumnType.BOOLEAN,
    datetime: ColumnType.INSTANT,
    dict: ColumnType.JSON,
    bytes: ColumnType.BYTES,
}

_DOCUMENT_ONLY = frozenset({"schema_version", "legs", "recordings", "voicemails", "field_disagreements"})
_PARENT_KEY = (
    Column("sdk_app_id", ColumnType.INTEGER, False, "TCCC's application id", source_field="SdkAppId"),
    Column("session_id", ColumnType.TEXT, False, "TCCC's SessionId", source_field="SessionId"),
)

SESSIONS = Table(
    "sessions",
    "One customer contact from start to end",
    ("sdk_app_id", "session_id"),
    (
        *_columns_of(
            SessionDocument,
            _sources_of(AgentObject, "SeatUser.") | _sources_of(CdrPush),
            without=_DOCUMENT_ONLY,
        ),
        Column("document_digest", ColumnType.TEXT, False, "Orders documents of equal version"),
        Column(
            "loaded_at", ColumnType.INSTANT, False, "When the row was committed: the watermark for incremental models"
        ),
    ),
)
LEGS = Table(
    "legs",
    "One agent-side stretch of a session; transfers have several",
    ("sdk_app_id", "session_id", "leg_sequence"),
    (*_PARENT_KEY, *_columns_of(Leg, _sources_of(LegObject, "ServeParticipants[]."))),
)
RECORDINGS = Table(
    "recordings",
    "One recording that a CDR named or that came",
    ("sdk_app_id", "session_id", "recording_id"),
    (*_PARENT_KEY, *_columns_of(Recording, _sources_of(RecordPush))),
)
VOICEMAILS = Table(
    "voicemails",
    "One message that a caller left",
    ("sdk_app_id", "session_id", "voicemail_id"),
    (*_PARENT_KEY, *_columns_of(Voicemail, _sources_of(VoicemailPush))),
)
DEAD_LETTERS = Table(
    "dead_letters",
    "One record that could not be used, kept whole",
    ("dead_letter_id",),
    (
        Column("dead_letter_id", ColumnType.TEXT, False, "Digest of stage, reason and raw"),
        Column("stage", ColumnType.TEXT, False, "Where the record stopped: receive, absorb, load"),
        Column("reason", ColumnType.TEXT, False, "Why, from a closed list"),
        Column("detail", ColumnType.TEXT, False, "What exactly was wrong", Privacy.FREE_TEXT),
        Column("action", ColumnType.TEXT, True, "TCCC's action, as sent"),
        Column("headers", ColumnType.JSON, True, "The request's headers, credentials removed", Privacy.FREE_TEXT),
        Column("received_at", ColumnType.INSTANT, True, "When the push was received"),
        Column("occurred_at", ColumnType.INSTANT, False, "When it was found unusable"),
        Column("topic", ColumnType.TEXT, True, "Where its first record stands"),
        Column("partition", ColumnType.INTEGER, True, "Partition of that"),
        Column("offset", ColumnType.INTEGER, True, "Offset of that"),
        Column("raw", ColumnType.BYTES, False, "The body as received, before any decoding", Privacy.FREE_TEXT),
        Column("raw_bytes_count", ColumnType.INTEGER, False, "Its whole length, also where raw was cut short"),
        Column("seen_count", ColumnType.INTEGER, False, "Times seen: at least the answered deliveries"),
        Column("last_seen_at", ColumnType.INSTANT, False, "Last of them"),
        Column("replayed_at", ColumnType.INSTANT, True, "When it was last replayed"),
        Column("replay_outcome", ColumnType.TEXT, True, "What came of that"),
    ),
)


def _keyed(name: str, record: type[KeyedRecord], sources: Mapping[str, str]) -> Table:
    return Table(
        name,
        (record.__doc__ or "").rstrip("."),
        record.KEY,
        (
            *_columns_of(record, sources, without=frozenset({"schema_version"}) | record.INTERNAL),
            Column("loaded_at", ColumnType.INSTANT, False, "When the row was committed"),
        ),
    )


_KEYED_SOURCES: Mapping[str, Mapping[str, str]] = {
    "session_details": {"session_id": "SessionId"},
    "agent_events": {"session_id": "SessionId"} | _sources_of(AgentEventObject, "Events[]."),
    "agents": _sources_of(StaffObject, "StaffList[]."),
    "skill_groups": _sources_of(SkillGroupObject, "SkillGroupList[]."),
    "agent_status": _sources_of(AgentStatusObject, "Data[]."),
    "agent_status_reads": {},
    "recording_files": {"session_id": "SessionId"},
    "legal_holds": {"session_id": "SessionId"},
}
KEYED_TABLES = tuple(_keyed(name, record, _KEYED_SOURCES[name]) for name, record in RECORDS.items())
"""One row a key; what was asked for later replaces it (`asked_at`)."""

FIELD_DISAGREEMENTS = Table(
    "field_disagreements",
    "One field that a push and the API fill differently; what counts as different is in docs/completeness.md",
    ("sdk_app_id", "session_id", "field"),
    (*_PARENT_KEY, *_columns_of(FieldDisagreement, {})),
)
SESSION_VERSIONS = Table(
    "session_versions",
    "One version of a session: which receipt made it and what changed; empty unless WAREHOUSE__HISTORY is on",
    ("sdk_app_id", "session_id", "version"),
    (*_PARENT_KEY, *_columns_of(SessionVersion, {})),
)
RECONCILE_WINDOWS = Table(
    "reconcile_windows",
    "One hour of one application, as TCCC's API was last asked for it",
    ("sdk_app_id", "window_start"),
    (
        _PARENT_KEY[0],
        *_columns_of(HourRecord, {}, without=frozenset({"schema_version", "sdk_app_id", "buckets"})),
        Column("loaded_at", ColumnType.INSTANT, False, "When the row was committed"),
    ),
)
COMPLETENESS = Table(
    "completeness",
    "How complete one application's hour is: what was pushed, what the API knows, what is here (a view)",
    ("sdk_app_id", "hour"),
    (
        Column("sdk_app_id", ColumnType.INTEGER, False, "TCCC's application id", source_field="SdkAppId"),
        Column(
            "hour",
            ColumnType.INSTANT,
            False,
            "The hour in which calls ended; without an end: in which they started, else the first recording was made",
        ),
        Column("sessions_known_to_api", ColumnType.INTEGER, False, "Sessions whose CDR the API gave"),
        Column("sessions_in_warehouse", ColumnType.INTEGER, False, "Sessions with a CDR, pushed or from the API"),
        Column("sessions_by_push", ColumnType.INTEGER, False, "Of these: their CDR was pushed"),
        Column("sessions_api_only", ColumnType.INTEGER, False, "Of these: only the API gave their CDR"),
        Column("sessions_push_only", ColumnType.INTEGER, False, "Of these: the API gave none, or was not asked yet"),
        Column(
            "sessions_without_cdr",
            ColumnType.INTEGER,
            False,
            "Sessions of which only recordings or voicemails came: their CDR is missing",
        ),
        Column(
            "api_rows_unusable",
            ColumnType.INTEGER,
            False,
            "Rows of the API's hour that are in no table, but dead letters of stage reconcile",
        ),
        Column("recordings_expected", ColumnType.INTEGER, False, "Recordings that CDRs name"),
        Column("recordings_received", ColumnType.INTEGER, False, "Recordings that have come, named or not"),
        Column("recordings_recovered", ColumnType.INTEGER, False, "Of these: only the API told of them"),
        Column("recordings_absent", ColumnType.INTEGER, False, "Named, and the API says that there is none"),
        Column("recordings_missing", ColumnType.INTEGER, False, "Named, not here, and not known to be absent"),
        Column(
            "share",
            ColumnType.FRACTION,
            True,
            "What is here, of what is due (a CDR for each session, a recording or its absence for each name); "
            "NULL where nothing is due",
        ),
        Column("asked_at", ColumnType.INSTANT, True, "When the API was last asked for the hour; NULL = never"),
        Column("read_to", ColumnType.INSTANT, True, "How far into the hour that reading went"),
        Column(
            "is_final",
            ColumnType.BOOLEAN,
            False,
            "Asked after every deadline, and so were the hours before in which its calls began",
        ),
        Column("as_of", ColumnType.INSTANT, False, "The latest commit that the numbers count"),
        Column(
            "archive_due",
            ColumnType.INTEGER,
            False,
            "Recordings and voicemails that the archiver took up and that exist: waiting, stored, lost, refused, or "
            "deleted after being kept; 0 where it does not run",
        ),
        Column("archive_stored", ColumnType.INTEGER, False, "Of these: their file came into the archive"),
        Column("archive_missing", ColumnType.INTEGER, False, "Of these: waiting, lost or refused"),
        Column(
            "archive_days_left_min",
            ColumnType.INTEGER,
            True,
            "Fewest days that TCCC still keeps one that waits (of its 90; below 0: too late); NULL where none waits",
        ),
    ),
)

CHILDREN = (LEGS, RECORDINGS, VOICEMAILS, FIELD_DISAGREEMENTS, SESSION_VERSIONS)
SESSION_TABLES = (SESSIONS, *CHILDREN)
TABLES = (*SESSION_TABLES, RECONCILE_WINDOWS, DEAD_LETTERS, *KEYED_TABLES)
COLUMNED_VIEWS = (COMPLETENESS,)
"""Views whose columns are promised like a table's."""
