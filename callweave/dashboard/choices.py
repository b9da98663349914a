"""What can be chosen in the filters: the accounts, queues and agents of the last weeks."""

from datetime import timedelta
from typing import Final

from callweave.dashboard.filters import SPAN_MAX, Filters
from callweave.dashboard.panels import Panel, Table
from callweave.dashboard.spelling import Spelling
from callweave.reading import Questions
from sinks.sink import QueryLimits

LIMITS: Final = QueryLimits(rows_max=1_000, seconds_max=15.0)


def choices_panel(questions: Questions, words: Spelling, filters: Filters) -> Panel:
    """Names by how often they stand in calls; and the day of the latest call, for a page that shows none."""
    since = words.moment(filters.until - max(SPAN_MAX, timedelta(days=1)))
    recent = f"started_at >= {since} AND started_at < {words.moment(filters.until)}"
    tables = {
        "accounts": _names(questions, "sdk_app_id", "sessions", "TRUE"),
        "queues": _names(questions, "skill_group_name", "sessions", f"skill_group_name IS NOT NULL AND {recent}"),
        "agents": _names(questions, "agent_mail", "legs", f"agent_mail IS NOT NULL AND {recent}"),
    }
    latest = questions.ask("SELECT MAX(started_at) AS latest FROM sessions", LIMITS).rows[0][0]
    return Panel(tables, {"latest_call_at": latest})


def _names(questions: Questions, column: str, table: str, condition: str) -> Table:
    answer = questions.ask(
        f"SELECT {column} AS name, COUNT(*) AS calls FROM {table} WHERE {condition} "  # noqa: S608  (names of our own)
        f"GROUP BY {column} ORDER BY calls DESC, name LIMIT {LIMITS.rows_max + 1}",
        LIMITS,
    )
    return Table(("name", "calls"), answer.rows, answer.truncated)
