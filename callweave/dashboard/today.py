"""The calls of a span: totals, quarter hours, queues, agents, outbound results, recordings missing.

The rule: every number is one of `sinks.kpi.definitions`, added up over the rows that the views of the numbers add up;
nothing is defined here a second time. Calls count where they began. Two passes over the rows answer everything.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

from callweave.dashboard import spelling
from callweave.dashboard.calls import narrowed
from callweave.dashboard.filters import Filters
from callweave.dashboard.panels import Panel, Table
from callweave.dashboard.personal import personal_of
from callweave.dashboard.pipeline import as_of
from callweave.dashboard.spelling import Spelling
from callweave.reading import Questions
from schemas.models import instant_of_ms, instant_text
from sinks.kpi.columns import of_definition
from sinks.kpi.definitions import OF_AGENTS, OF_LINES, OF_QUEUES, Definition
from sinks.kpi.rules import EVERYBODY
from sinks.sink import QueryLimits

LIMITS: Final = QueryLimits(rows_max=6_000, seconds_max=20.0)
"""31 days have 2,976 quarters of an hour."""
MISSING_MAX: Final = 200

CALL_NUMBERS: Final = (
    "offered_count",
    "queued_count",
    "answered_count",
    "abandoned_count",
    "service_level_connect",
    "asa_seconds",
    "queue_wait_p90_seconds",
    "queue_wait_max_seconds",
    "dialled_count",
    "outbound_connect_rate",
)
AGENT_NUMBERS: Final = (
    "routed_count",
    "leg_answered_count",
    "agent_answer_rate",
    "inbound_leg_answered_count",
    "leg_aht_without_acw_seconds",
    "outbound_leg_count",
    "all_talk_seconds_sum",
)
_DEFINED: Final = {one.id: one for one in (*OF_LINES, *OF_QUEUES, *OF_AGENTS)}
_PARTS: Final = ("quarter_hour", "skill_group_name", "end_status")
_MISSING: Final = (
    "sdk_app_id",
    "session_id",
    "recording_id",
    "side",
    "agent_mail",
    "skill_group_name",
    "customer_number",
    "ended_at",
    "overdue_seconds",
    "leg_answered",
)
_QUARTERS: Final = ("offered_count", "queued_count", "answered_count", "abandoned_count", "service_level_connect")
_WAITS: Final = ("asa_seconds", "queue_wait_p90_seconds", "queue_wait_max_seconds")


def today_panel(questions: Questions, words: Spelling, filters: Filters) -> Panel:
    """Everything of the first view."""
    parts = _calls(questions, words, filters)
    totals = parts[None]
    recordings = _recordings(questions, words, filters)
    return Panel(
        {
            "totals": Table((*totals.columns, *recordings.columns), [[*totals.rows[0], *recordings.rows[0]]]),
            "quarter_hours": _chosen(parts["quarter_hour"], ("quarter_hour", *_QUARTERS, *_WAITS)),
            "queues": _queues(parts["skill_group_name"]),
            "outbound": _outbound(parts["end_status"]),
            "agents": _agents(questions, words, filters),
            "missing_recordings": _missing(questions, words, filters),
        },
        {
            "as_of": as_of(questions),
            "since": instant_text(filters.since),
            "until": instant_text(filters.until),
            **_rules(questions, filters),
        },
    )


def _calls(questions: Questions, words: Spelling, filters: Filters) -> dict[str | None, Table]:
    """The numbers of all calls (None), and by each of `_PARTS`, in one pass."""
    names = ", ".join(f"k.{name}" for name in _PARTS)
    sets = ", ".join(f"({name})" for name in ["", *(f"k.{name}" for name in _PARTS)])
    quarter = words.quarter_hour("s.started_at")
    source = (
        f"picked AS (SELECT s.*, {quarter} AS quarter_hour FROM kpi_calls AS s "  # noqa: S608  (`spelling` makes every value)
        f"WHERE {_where(words, filters, 's.started_at')})"
    )
    answer = questions.ask(
        words.statement(
            f"WITH {source}, n AS (SELECT GROUPING({names}) AS part, {names}, "  # noqa: S608  (see above)
            f"{_added(CALL_NUMBERS)} FROM picked AS k GROUP BY GROUPING SETS ({sets})) "
            f"SELECT n.part AS part, {', '.join(f'n.{name} AS {name}' for name in _PARTS)}, {_shown(CALL_NUMBERS)} "
            "FROM n ORDER BY 1, 2, 3, 4"
        ),
        LIMITS,
    )
    tables: dict[str | None, Table] = {}
    for place, name in enumerate([None, *_PARTS]):
        # GROUPING has a bit for each column, set where the row is not about it.
        mask = sum(1 << bit for bit, part in enumerate(reversed(_PARTS)) if part != name)
        rows = [[*_key(name, row[place]), *row[len(_PARTS) + 1 :]] for row in answer.rows if int(row[0]) == mask]
        tables[name] = Table((*([] if name is None else [name]), *CALL_NUMBERS), rows, answer.truncated)
    return tables


def _key(name: str | None, cell: Any) -> list[Any]:
    if name is None:
        return []
    return [instant_text(instant_of_ms(int(cell) * 1000))] if name == "quarter_hour" else [cell]


def _queues(table: Table) -> Table:
    """Only where a call waited; outbound calls have a rule-based pick there, which is no queue."""
    rows = [row for row, of in zip(table.rows, table.dicts(), strict=True) if of["queued_count"]]
    chosen = ("skill_group_name", "queued_count", "answered_count", "abandoned_count", "service_level_connect", *_WAITS)
    ordered = _chosen(Table(table.columns, rows), chosen)
    return Table(ordered.columns, sorted(ordered.rows, key=lambda row: (-row[1], str(row[0]))))


def _outbound(table: Table) -> Table:
    """How dialled calls ended, the most first."""
    counts = [(of["end_status"], of["dialled_count"]) for of in table.dicts() if of["dialled_count"]]
    whole = sum(count for _, count in counts)
    rows = [
        [status, count, count / whole] for status, count in sorted(counts, key=lambda each: (-each[1], str(each[0])))
    ]
    return Table(("end_status", "dialled_count", "share"), rows)


def _agents(questions: Questions, words: Spelling, filters: Filters) -> Table:
    rows_counted = files("sinks").joinpath("sql", "kpi_legs.sql").read_text(encoding="utf-8").strip()
    conditions = [_where(words, filters, "k.started_at", agents=False), "k.agent IS NOT NULL"]
    if filters.agent is not None:
        conditions.append(f"k.agent = {spelling.text(filters.agent)}")
    answer = questions.ask(
        words.statement(
            f"{rows_counted} n AS (SELECT k.agent AS agent, {_added(AGENT_NUMBERS)} "  # noqa: S608  (see above)
            f"FROM rows_counted AS k WHERE {' AND '.join(conditions)} GROUP BY k.agent) "
            f"SELECT n.agent AS agent, {_shown(AGENT_NUMBERS)} FROM n ORDER BY n.all_talk_seconds_sum DESC, n.agent"
        ),
        LIMITS,
    )
    return Table(answer.columns, answer.rows, answer.truncated)


def _recordings(questions: Questions, words: Spelling, filters: Filters) -> Table:
    columns = ("recordings_expected", "recordings_received", "recordings_missing", "sessions")
    sums = ", ".join(f"CAST(COALESCE(SUM({name}), 0) AS BIGINT) AS {name}" for name in columns[:-1])
    where = " AND ".join([*_within(words, filters, "started_at"), *narrowed(filters)])
    answer = questions.ask(
        words.statement(f"SELECT {sums}, COUNT(*) AS sessions FROM sessions WHERE {where}"),  # noqa: S608  (see above)
        LIMITS,
    )
    return Table(columns, answer.rows)


def _missing(questions: Questions, words: Spelling, filters: Filters) -> Table:
    where = " AND ".join([*_within(words, filters, "started_at"), *narrowed(filters)])
    answer = questions.ask(
        words.statement(
            f"SELECT {', '.join(_MISSING)} FROM missing_recordings WHERE {where} "  # noqa: S608  (see above)
            f"ORDER BY ended_at DESC, session_id, recording_id LIMIT {MISSING_MAX + 1}"
        ),
        QueryLimits(rows_max=MISSING_MAX, seconds_max=LIMITS.seconds_max),
    )
    return Table(_MISSING, answer.rows, answer.truncated, personal_of(_MISSING))


def _rules(questions: Questions, filters: Filters) -> dict[str, Any]:
    """Within how many seconds a call is in time (None where accounts differ in it), and whose days are others.

    The warehouse's rules are the loader's settings, and the days of this page are ours: that both are the same is for
    people to see, not to hope.
    """
    answer = questions.ask("SELECT sdk_app_id, target_seconds, time_zone FROM kpi_settings ORDER BY 1", LIMITS)
    rules = {int(account): (int(seconds), str(zone)) for account, seconds, zone in answer.rows}
    if filters.account is not None:
        its_own = filters.account if filters.account in rules else EVERYBODY
        rules = {account: rule for account, rule in rules.items() if account == its_own}
    targets = {seconds for seconds, _ in rules.values()}
    return {
        "target_seconds": targets.pop() if len(targets) == 1 else None,
        "other_days": [
            {"account": None if account in (EVERYBODY, filters.account) else account, "time_zone": zone}
            for account, (_, zone) in rules.items()
            if zone != filters.time_zone
        ],
    }


def _within(words: Spelling, filters: Filters, moment: str) -> Iterator[str]:
    yield f"{moment} >= {words.moment(filters.since)}"
    yield f"{moment} < {words.moment(filters.until)}"


def _where(words: Spelling, filters: Filters, moment: str, *, agents: bool = True) -> str:
    """The calls of the span that the filters leave, of rows with a call's own columns."""
    of_calls = filters if agents else Filters(filters.since, filters.until, filters.account, filters.queue)
    return " AND ".join([*_within(words, filters, moment), *narrowed(of_calls)])


def _defined(ids: Iterable[str]) -> list[Definition]:
    """The definitions, and those that their ratios are made of."""
    wanted = dict.fromkeys(ids)
    for one in [_DEFINED[name] for name in wanted]:
        wanted |= dict.fromkeys(part for part in (one.numerator, one.denominator) if part is not None)
    return [_DEFINED[name] for name in wanted]


def _added(ids: Sequence[str]) -> str:
    return ", ".join(f"{of_definition(one).sql} AS {one.id}" for one in _defined(ids) if one.numerator is None)


def _shown(ids: Sequence[str]) -> str:
    columns = [of_definition(_DEFINED[name]) for name in ids]
    return ", ".join(
        f"{column.sql if _DEFINED[column.name].numerator else f'n.{column.name}'} AS {column.name}"
        for column in columns
    )


def _chosen(table: Table, columns: tuple[str, ...]) -> Table:
    places = [table.columns.index(name) for name in columns]
    return Table(columns, [[row[place] for place in places] for row in table.rows], table.truncated)
