"""What a report says, from the views of the numbers.

The rule: numerators and denominators are added up over the span, and divided once; no ratio of a view is averaged, and
no number is defined here (docs/kpis.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from callweave.reading import Questions
from sinks.sink import QueryLimits

ROWS_MAX: Final = 20
"""Of queues, agents and results: the largest."""
_LIMITS: Final = QueryLimits(rows_max=100_000, seconds_max=120.0)

_CALLS: Final = (
    *("offered_count", "queued_count", "answered_count", "abandoned_count", "flow_out_count"),
    *("left_queue_in_target_count", "answer_wait_seconds_sum", "answer_wait_count", "talk_seconds_sum"),
    *("handled_count", "voicemail_count", "dialled_count", "outbound_count", "outbound_connected_count"),
    *("provisional_count", "session_count"),
)
_QUEUE: Final = (
    *("queued_count", "answered_count", "abandoned_count", "left_queue_in_target_count"),
    *("answer_wait_seconds_sum", "answer_wait_count"),
)
_AGENT: Final = (
    *("routed_count", "leg_answered_count", "ring_no_answer_count", "all_talk_seconds_sum"),
    *("outbound_leg_connected_count", "transferred_out_count"),
)


_RECORDINGS: Final = """
SELECT s.sdk_app_id, CAST(sum(s.recordings_expected) AS BIGINT), CAST(sum(s.recordings_received) AS BIGINT),
    CAST(sum(s.recordings_missing) AS BIGINT)
FROM sessions AS s
INNER JOIN (SELECT sdk_app_id, session_id FROM kpi_calls WHERE {where}) AS k
    ON s.sdk_app_id = k.sdk_app_id AND s.session_id = k.session_id
GROUP BY s.sdk_app_id
"""


@dataclass(frozen=True, slots=True)
class Span:
    """Whole days, both included, in each account's own zone."""

    first: date
    last: date

    @property
    def where(self) -> str:
        """As a condition on a column `day`."""
        return f"day BETWEEN DATE '{self.first.isoformat()}' AND DATE '{self.last.isoformat()}'"


@dataclass(slots=True)
class Account:
    """One application's calls of a span. Rows are by column name, counts and sums."""

    sdk_app_id: int
    time_zone: str
    calls: dict[str, Any]
    days: list[dict[str, Any]] = field(default_factory=list)
    hours: list[dict[str, Any]] = field(default_factory=list)
    queues: list[dict[str, Any]] = field(default_factory=list)
    agents: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    recordings: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """Everything that is told of a span."""

    span: Span
    target_seconds: dict[int, int]
    accounts: list[Account]
    as_of: str | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "from": self.span.first.isoformat(),
            "to": self.span.last.isoformat(),
            "as_of": self.as_of,
            "accounts": [
                {
                    "sdk_app_id": one.sdk_app_id,
                    "time_zone": one.time_zone,
                    "calls": {**one.calls, **ratios(one.calls)},
                    "recordings": one.recordings,
                    "days": [{**day, **ratios(day)} for day in one.days],
                    "hours": one.hours,
                    "queues": [{**queue, **ratios(queue)} for queue in one.queues],
                    "agents": one.agents,
                    "outbound_results": one.results,
                }
                for one in self.accounts
            ],
        }


def ratio(part: Any, whole: Any) -> float | None:
    """One count of another; None where nothing is divided by."""
    return None if not whole else float(part or 0) / float(whole)


def ratios(row: Mapping[str, Any]) -> dict[str, float | None]:
    """What a row's sums give, divided once."""
    return {
        "service_level_connect": ratio(row.get("left_queue_in_target_count"), row.get("queued_count")),
        "abandonment_rate_connect": ratio(row.get("abandoned_count"), row.get("queued_count")),
        "asa_seconds": ratio(row.get("answer_wait_seconds_sum"), row.get("answer_wait_count")),
        **(
            {
                "aht_without_acw_seconds": ratio(row.get("talk_seconds_sum"), row.get("handled_count")),
                "outbound_connect_rate": ratio(row.get("outbound_connected_count"), row.get("outbound_count")),
            }
            if "talk_seconds_sum" in row
            else {}
        ),
    }


def latest_day(questions: Questions) -> date | None:
    """The last day that has calls."""
    answer = questions.ask("SELECT CAST(max(day) AS VARCHAR) AS day FROM kpi_calls")
    told = answer.rows[0][0] if answer.rows else None
    return date.fromisoformat(str(told)[:10]) if told and not str(told).startswith("1970-01-01") else None


def read_report(questions: Questions, span: Span, sdk_app_ids: Sequence[int] = ()) -> Report:
    """Ask for all of it."""
    where = span.where
    if sdk_app_ids:
        where += f" AND sdk_app_id IN ({', '.join(str(int(app)) for app in sdk_app_ids)})"

    def rows(names: Sequence[str], by: str, view: str, *, more: str = "", order: str = "", also: str = "") -> Any:
        sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in names)
        sql = f"SELECT {by}{', ' + also if also else ''}, {sums} FROM {view} WHERE {where}{more} GROUP BY {by}"  # noqa: S608
        return questions.ask(f"{sql} ORDER BY {order or by}", _LIMITS).dicts()

    accounts = {
        int(row["sdk_app_id"]): Account(int(row.pop("sdk_app_id")), str(row.pop("time_zone")), _numbers(row))
        for row in rows(_CALLS, "sdk_app_id, time_zone", "kpi_daily")
    }
    for row in rows(_CALLS, "sdk_app_id, CAST(day AS VARCHAR)", "kpi_daily"):
        (_, app), (_, day), *sums = row.items()
        accounts[int(app)].days.append({"day": str(day)[:10], **_numbers(dict(sums))})
    for row in rows(_QUEUE, "sdk_app_id, local_hour", "kpi_hourly_skill_group"):
        accounts[int(row.pop("sdk_app_id"))].hours.append(_numbers(row))
    queues = rows(
        _QUEUE, "sdk_app_id, skill_group_id", "kpi_hourly_skill_group", also="max(skill_group_name) AS skill_group_name"
    )
    for row in sorted(queues, key=lambda one: -int(one["queued_count"] or 0)):
        _add(accounts, row, "queues")
    agents = rows(_AGENT, "sdk_app_id, agent", "kpi_daily_agent")
    for row in sorted(agents, key=lambda one: -int(one["leg_answered_count"] or 0)):
        _add(accounts, row, "agents")
    results = rows(
        ["session_count"], "sdk_app_id, end_status", "kpi_daily_end_reason", more=" AND direction = 'outbound'"
    )
    for row in sorted(results, key=lambda one: -int(one["session_count"] or 0)):
        _add(accounts, row, "results")
    for app, *counts in questions.ask(_RECORDINGS.format(where=where), _LIMITS).rows:
        if int(app) in accounts:
            names = ("expected", "received", "missing")
            accounts[int(app)].recordings = dict(zip(names, map(int, counts), strict=True))
    targets = {
        int(app): int(target)
        for app, target in questions.ask("SELECT sdk_app_id, target_seconds FROM kpi_settings").rows
    }
    as_of = questions.ask("SELECT max(loaded_at) AS as_of FROM sessions WHERE has_cdr").rows
    return Report(span, targets, [accounts[app] for app in sorted(accounts)], str(as_of[0][0]) if as_of else None)


def _add(accounts: Mapping[int, Account], row: dict[str, Any], kind: str) -> None:
    listed: list[dict[str, Any]] = getattr(accounts[int(row.pop("sdk_app_id"))], kind)
    if len(listed) < ROWS_MAX:
        listed.append(_numbers(row))


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: int(value or 0) if name.endswith(("_count", "_sum", "local_hour")) else value
        for name, value in row.items()
    }
