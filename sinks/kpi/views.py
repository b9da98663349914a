"""The views of the numbers, in an order in which each finds what it reads, as SELECTs that every warehouse understands.

The rule: a view's columns and its SQL are one list, so the dictionary cannot tell of another one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from string import Template
from typing import Final

from schemas.columns import ColumnType, Table
from schemas.models import Privacy
from sinks.kpi.columns import (
    APP,
    AS_OF,
    COMPLETENESS,
    DEFINITIONS,
    ZONE,
    KpiColumn,
    KpiView,
    date,
    instant,
    of_definition,
    part,
    text,
    truth,
    whole,
)
from sinks.kpi.definitions import (
    ABSENT,
    DEFINITIONS_VERSION,
    OF_AGENTS,
    OF_CONCURRENCY,
    OF_END_REASONS,
    OF_IVR_PATHS,
    OF_LINES,
    OF_QUEUES,
    OF_RECORDINGS,
    OF_THE_PIPELINE,
    OF_TRANSFERS,
    OF_VOICEMAILS,
    Definition,
)
from sinks.kpi.rules import (
    KPI_SATISFACTION_KEYS,
    KPI_SETTINGS,
    KpiRules,
    satisfaction_rows,
    settings_rows,
)
from sinks.kpi.sessions import CALL_COLUMNS, SESSION_COLUMNS
from sinks.kpi.spelling import SPELLINGS

Cell = int | str | bool | None
_CASTS: Final = {
    ColumnType.INTEGER: "BIGINT",
    ColumnType.TEXT: "TEXT",
    ColumnType.BOOLEAN: "BOOLEAN",
}
_EMPTY: Final[Mapping[ColumnType, Cell]] = {
    ColumnType.INTEGER: 0,
    ColumnType.TEXT: "",
    ColumnType.BOOLEAN: False,
}


def _literals(table: Table, rows: Sequence[tuple[Cell, ...]]) -> str:
    """A table that is spelled out; without rows, one of which nothing is shown."""
    shown = rows or [tuple(_EMPTY[column.type] for column in table.columns)]
    selects = [
        "SELECT "
        + ", ".join(
            f"CAST({_literal(cell)} AS {_CASTS[column.type]}) AS {column.name}"
            for column, cell in zip(table.columns, row, strict=True)
        )
        for row in shown
    ]
    return "\nUNION ALL\n".join(selects) + ("" if rows else " WHERE 1 = 0")


def _literal(cell: Cell) -> str:
    match cell:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if cell else "FALSE"
        case int():
            return str(cell)
        case str():
            return "'" + cell.replace("'", "''") + "'"


# Numbers by hour or day: what they have in common

_BY: Final = """\
-- {purpose}.
-- The clock is {clock}. Numerators and denominators stand beside each ratio, to be added up over more rows.
{before}numbers AS (
    SELECT
        {summed}
    FROM {source} AS k
    WHERE {where}
    GROUP BY {grouped}
),

{known},

beside AS (
    SELECT
        {joined},
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM numbers AS n
    LEFT JOIN known AS w ON w.sdk_app_id = n.sdk_app_id AND w.{window}
)

-- From one table, because ClickHouse takes a view's columns for what a join makes of them.
SELECT
    {shown}
FROM beside AS n"""
_HERE: Final = "c.sessions_in_warehouse + c.recordings_expected - c.recordings_missing"
_DUE: Final = "c.sessions_in_warehouse + c.sessions_without_cdr + c.api_rows_unusable + c.recordings_expected"
# An hour of completeness is UTC's. Where a zone's hour begins within one, that one tells.
_KNOWN_HOURS: Final = f"""\
known AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        {_HERE} AS here,
        {_DUE} AS due,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled
    FROM completeness AS c
    WHERE c.asked_at IS NOT NULL
)"""  # noqa: S608 - our own
_SAME_HOUR: Final = (
    "hour = TO_TIMESTAMP(CAST(EXTRACT(EPOCH FROM n.hour) AS BIGINT) "
    "- CAST(EXTRACT(EPOCH FROM n.hour) AS BIGINT) % 3600)"
)
_KNOWN_DAYS: Final = f"""\
hours AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        c.asked_at AS asked_at,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled,
        {_HERE} AS here,
        {_DUE} AS due,
        CASE WHEN c.sdk_app_id IN (SELECT ks.sdk_app_id FROM kpi_settings AS ks) THEN c.sdk_app_id ELSE 0 END
            AS settings_app_id
    FROM completeness AS c
),

known AS (
    SELECT
        h.sdk_app_id AS sdk_app_id,
        CAST((h.hour AT TIME ZONE z.time_zone) AS DATE) AS day,
        SUM(h.here) AS here,
        SUM(h.due) AS due,
        MIN(h.settled) AS settled
    FROM hours AS h
    INNER JOIN kpi_settings AS z ON z.sdk_app_id = h.settings_app_id
    GROUP BY h.sdk_app_id, CAST((h.hour AT TIME ZONE z.time_zone) AS DATE)
    HAVING COUNT(h.asked_at) > 0
)"""  # noqa: S608 - our own
_SAME_DAY: Final = "day = n.day"
_BESIDE: Final = tuple(
    replace(column, sql=sql)
    for column, sql in zip(
        (*COMPLETENESS, AS_OF, DEFINITIONS),
        (
            "CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0)",
            # Where a join finds nothing, ClickHouse may say 0.
            "CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END",
            "n.as_of",
            f"CAST({DEFINITIONS_VERSION} AS BIGINT)",
        ),
        strict=True,
    )
)
_LINE_OF_A_LIST: Final = ",\n        "


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is added up: rows of a view, or of the last table expression of a file of sinks/sql."""

    clock: str
    source: str = "kpi_sessions"
    prefix: str = ""
    file: str | None = None
    where: str = "k.day IS NOT NULL"
    hourly: bool = False

    @property
    def before(self) -> str:
        """What stands before the numbers."""
        return "WITH " if self.file is None else f"{_text_of(self.file)}\n\n"


@dataclass(frozen=True, slots=True)
class _Columns:
    """What a view's rows are by, beside account and time; what is told of each; what is derived from numbers `n`."""

    places: Sequence[KpiColumn] = ()
    labels: Sequence[KpiColumn] = ()
    besides: Sequence[KpiColumn] = ()


_BY_START: Final = _Rows(clock="started_at, the start of the call")
_BY_START_ALONE: Final = replace(_BY_START, source="kpi_calls")
"""Where no number looks at the caller's next call."""
_BY_QUEUE: Final = _Rows(clock="queued_at, entering the queue", prefix="queued_", where="k.is_queued")
_BY_LEG: Final = _Rows(clock="the leg's first ring, else its answer or start", source="rows_counted", file="kpi_legs")


def _by(
    name: str,
    purpose: str,
    rows: _Rows,
    definitions: Sequence[Definition],
    columns: _Columns = _Columns(),
) -> KpiView:
    """Numbers by account, by hour or day, and by what else."""
    by = [replace(APP, sql="k.sdk_app_id"), replace(ZONE, sql="k.time_zone")]
    if rows.hourly:
        by.append(instant("hour", f"When the hour of {rows.clock} began", f"k.{rows.prefix}hour", nullable=False))
    by.append(replace(date("day", f"Day of {rows.clock}", nullable=False), sql=f"k.{rows.prefix}day"))
    if rows.hourly:
        by.append(whole("local_hour", "Hour of that day, 0 to 23", f"k.{rows.prefix}local_hour", nullable=False))
    by += columns.places
    numbers = [of_definition(one) for one in definitions]
    ratios = {one.id for one in definitions if one.numerator is not None}
    added = [*by, *columns.labels, *(column for column in numbers if column.name not in ratios)]
    shown = [*by, *columns.labels, *numbers, *columns.besides]
    derived = {*ratios, *(column.name for column in columns.besides)}
    body = _BY.format(
        purpose=purpose,
        clock=rows.clock,
        before=rows.before,
        source=rows.source,
        where=rows.where,
        summed=_LINE_OF_A_LIST.join(
            [*(f"{column.sql} AS {column.name}" for column in added), "MAX(k.loaded_at) AS as_of"]
        ),
        grouped=", ".join(column.sql for column in by),
        joined=_LINE_OF_A_LIST.join([*(f"n.{column.name} AS {column.name}" for column in added), "n.as_of AS as_of"]),
        known=_KNOWN_HOURS if rows.hourly else _KNOWN_DAYS,
        shown=",\n    ".join(
            [
                *(f"{c.sql if c.name in derived else f'n.{c.name}'} AS {c.name}" for c in shown),
                *(f"{c.sql} AS {c.name}" for c in _BESIDE),
            ]
        ),
        window=_SAME_HOUR if rows.hourly else _SAME_DAY,
    )
    key = ("sdk_app_id", "hour" if rows.hourly else "day", *(column.name for column in columns.places))
    return KpiView(Table(name, purpose, key, (*shown, *_BESIDE)), body, definitions)


def _of_file(
    table: Table,
    columns: Sequence[KpiColumn],
    *,
    file: str,
    source: str,
    definitions: Sequence[Definition] = (),
    beside: str = "",
) -> KpiView:
    """A view whose list of columns ends a file of sinks/sql, and what else is looked up `beside`."""
    select = "SELECT\n    " + ",\n    ".join(f"{column.sql} AS {column.name}" for column in columns)
    return KpiView(table, f"-- {table.purpose}.\n{_text_of(file)}{beside}\n\n{select}\n{source}", definitions)


def _text_of(name: str) -> str:
    return files("sinks").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8").strip()


_CALLS: Final = _of_file(
    Table(
        "kpi_calls",
        "What each call counts for by itself: kpi_sessions without what its caller's next call tells, and cheaper",
        ("sdk_app_id", "session_id"),
        CALL_COLUMNS,
    ),
    CALL_COLUMNS,
    file="kpi_calls",
    source="FROM judged AS j",
)
_SESSIONS: Final = _of_file(
    Table(
        "kpi_sessions",
        "What each call counts for: the flags and seconds that the other numbers add up, one row a session with a CDR",
        ("sdk_app_id", "session_id"),
        SESSION_COLUMNS,
    ),
    SESSION_COLUMNS,
    file="kpi_sessions",
    source="FROM returned AS c",
)
_CONCURRENCY_COLUMNS: Final = (
    replace(APP, sql="n.sdk_app_id"),
    replace(ZONE, sql="n.time_zone"),
    instant("quarter_hour", "When the quarter of an hour began", "n.quarter_hour", nullable=False),
    date("day", "Day of that, in the zone", "(n.quarter_hour AT TIME ZONE n.time_zone)", nullable=False),
    *(
        of_definition(one) if one.numerator else replace(of_definition(one), sql=f"n.{one.id}", nullable=False)
        for one in OF_CONCURRENCY
    ),
    *_BESIDE,
)
_OF_A_QUARTER: Final = _LINE_OF_A_LIST.join(
    f"u.{name} AS {name}"
    for name in (
        *("sdk_app_id", "time_zone", "quarter_hour", "as_of"),
        *(one.id for one in OF_CONCURRENCY if one.numerator is None),
    )
)
_AT_THE_QUARTER: Final = f""",

{_KNOWN_HOURS},

placed_quarters AS (
    SELECT
        u.*,
        TO_TIMESTAMP(u.quarter - u.quarter % 3600) AS known_hour
    FROM quarters AS u
),

beside AS (
    SELECT
        {_OF_A_QUARTER},
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM placed_quarters AS u
    LEFT JOIN known AS w ON w.sdk_app_id = u.sdk_app_id AND w.hour = u.known_hour
)"""  # noqa: S608 - our own
_SKILL_GROUP: Final = whole("skill_group_id", "The queue's skill group; NULL where TCCC names none", "k.skill_group_id")
_LINE: Final = text("line_number", "The company's number; NULL where TCCC names none", "k.line_number")

_COUNTED: Final = (
    _by(
        "kpi_hourly_skill_group",
        "The numbers of each hour by skill group: calls that entered its queue",
        replace(_BY_QUEUE, hourly=True),
        OF_QUEUES,
        _Columns(
            places=[_SKILL_GROUP],
            labels=[text("skill_group_name", "Its name", "MAX(k.skill_group_name)")],
        ),
    ),
    _by(
        "kpi_hourly_line",
        "The numbers of each hour by line number: all calls, inbound and outbound",
        replace(_BY_START, hourly=True),
        OF_LINES,
        _Columns(
            places=[_LINE],
        ),
    ),
    _by("kpi_daily", "The numbers of each day by account: all calls, inbound and outbound", _BY_START, OF_LINES),
    _by(
        "kpi_daily_agent",
        "The numbers of each day by agent, from the legs of calls",
        _BY_LEG,
        OF_AGENTS,
        _Columns(
            places=[
                text(
                    "agent",
                    "The agent's e-mail, else phone; NULL where TCCC names neither",
                    "k.agent",
                    privacy=Privacy.ENDPOINT,
                )
            ],
            labels=[
                instant("first_rang_at", "First ring of the day", "MIN(k.leg_began_at)"),
                instant("last_ended_at", "Last end of the day", "MAX(k.leg_ended_at)"),
            ],
        ),
    ),
    _by(
        "kpi_daily_end_reason",
        "How calls end, by day, direction and call type",
        _BY_START_ALONE,
        OF_END_REASONS,
        _Columns(
            places=[
                text("direction", "inbound, outbound, else TCCC's number", "k.direction"),
                text("call_type", "As in sessions", "k.call_type"),
                text("end_status", "TCCC's EndStatusString", "k.end_status"),
            ],
            besides=[
                part(
                    "end_reason_share",
                    "Of the calls of that day, direction and call type",
                    "CAST(n.session_count AS DOUBLE PRECISION) "
                    "/ SUM(n.session_count) OVER (PARTITION BY n.sdk_app_id, n.day, n.direction, n.call_type)",
                )
            ],
        ),
    ),
    _by(
        "kpi_daily_ivr_path",
        "Which keys inbound callers pressed, and what became of them, by day",
        replace(_BY_START_ALONE, where="k.day IS NOT NULL AND k.is_inbound"),
        OF_IVR_PATHS,
        _Columns(
            places=[
                text(
                    "ivr_path",
                    "The keys, each with its label: 1:orders>3; NULL where none was pressed",
                    "k.ivr_path",
                    privacy=Privacy.FREE_TEXT,
                )
            ],
        ),
    ),
    _by(
        "kpi_daily_transfer",
        "Legs of inbound calls that were passed on, by day and kind of target",
        replace(_BY_LEG, where="k.is_passed_on"),
        OF_TRANSFERS,
        _Columns(
            places=[text("transfer_to_type", "What kind of participant they went to", "k.transfer_to_type")],
        ),
    ),
    _by(
        "kpi_daily_recording",
        "Recordings: due, here, late, and how long TCCC still keeps them, by day",
        _Rows(clock="the start of the call", source="rows_counted", file="kpi_recordings"),
        OF_RECORDINGS,
    ),
    _by(
        "kpi_daily_voicemail",
        "Voicemails and how late they come, by day",
        _Rows(clock="the start of the call", source="rows_counted", file="kpi_voicemails"),
        OF_VOICEMAILS,
    ),
    _by(
        "kpi_daily_pipeline",
        "How callweave itself does: what came late, again or only from the API, and how fast, by day",
        _BY_START_ALONE,
        OF_THE_PIPELINE,
    ),
    _of_file(
        Table(
            "kpi_concurrency",
            "How many calls and waiting callers at a time, by quarter of an hour",
            ("sdk_app_id", "quarter_hour"),
            _CONCURRENCY_COLUMNS,
        ),
        _CONCURRENCY_COLUMNS,
        file="kpi_concurrency",
        source="FROM beside AS n",
        definitions=OF_CONCURRENCY,
        beside=_AT_THE_QUARTER,
    ),
)

KPI_DEFINITIONS: Final = Table(
    "kpi_definitions",
    "What each number means, whose definition it follows, and which numbers cannot be given",
    ("definition_id",),
    (
        text("definition_id", "The number; where it is given, its column's name", nullable=False),
        whole("definition_version", "Grows when the definition changes", nullable=False),
        text("kpi_name", "What people call it", nullable=False),
        text("formula", "How it is counted; of an absent number, why it is", nullable=False),
        text("source", "Whose definition it follows", nullable=False),
        text("unit", "What it counts in"),
        text("numerator", "Of a ratio: the column above the line"),
        text("denominator", "Of a ratio: the column below it"),
        text("view_names", "The views that have it, with commas between"),
        truth("is_given", "False: the data cannot give it", nullable=False),
    ),
)


def places_of_definitions() -> dict[Definition, list[str]]:
    """Each number that is given, with the views that have it."""
    places: dict[Definition, list[str]] = {}
    for view in _COUNTED:
        for one in view.definitions:
            places.setdefault(one, []).append(view.name)
    assert len({one.id for one in places}) == len(places), "two definitions of one number"
    return places


def kpi_definition_rows() -> list[tuple[Cell, ...]]:
    """The rows of `kpi_definitions`: each number once, then the absent ones."""
    places = places_of_definitions()
    given: Iterator[tuple[Cell, ...]] = (
        (
            one.id,
            one.version,
            one.name,
            one.formula,
            one.source,
            one.unit,
            one.numerator,
            one.denominator,
            ",".join(views),
            True,
        )
        for one, views in places.items()
    )
    absent = ((one.id, 1, one.name, one.why, one.source, None, None, None, None, False) for one in ABSENT)
    return [*given, *absent]


_SELECTED: Final = {view.name: view for view in (_CALLS, _SESSIONS, *_COUNTED)}
KPI_VIEWS: Final = (
    KPI_SETTINGS,
    KPI_SATISFACTION_KEYS,
    KPI_DEFINITIONS,
    *(view.table for view in _SELECTED.values()),
)
"""Every view of numbers with its columns, in an order in which each finds what it reads."""


def kpi_select(name: str, rules: Sequence[KpiRules], dialect: str) -> str:
    """The SELECT of one of `KPI_VIEWS`."""
    if name == KPI_SETTINGS.name:
        return _literals(KPI_SETTINGS, settings_rows(rules))
    if name == KPI_SATISFACTION_KEYS.name:
        return _literals(KPI_SATISFACTION_KEYS, satisfaction_rows(rules))
    if name == KPI_DEFINITIONS.name:
        return _literals(KPI_DEFINITIONS, kpi_definition_rows())
    return Template(_SELECTED[name].text).substitute(SPELLINGS[dialect])
