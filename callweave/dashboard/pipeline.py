"""How the pipeline itself is: who runs, what waits, how fresh and how complete the rows are, what could not be used."""

from typing import Any, Final

from callweave.dashboard.filters import Filters
from callweave.dashboard.panels import Panel, Table
from callweave.dashboard.spelling import Spelling
from callweave.reading import Questions
from callweave.settings import MisconfiguredError, Settings
from callweave.standing import Standing, look
from sinks.sink import QueryLimits

LIMITS: Final = QueryLimits(rows_max=2_000, seconds_max=15.0)
LETTERS_MAX: Final = 50
_COMPLETENESS: Final = (
    "hour",
    "sdk_app_id",
    "sessions_known_to_api",
    "sessions_in_warehouse",
    "sessions_without_cdr",
    "api_rows_unusable",
    "recordings_expected",
    "recordings_received",
    "recordings_missing",
    "share",
    "is_final",
    "asked_at",
)


def pipeline_panel(questions: Questions, words: Spelling, filters: Filters) -> Panel:
    """Completeness by hour and dead letters by reason, of a span."""
    return Panel(
        {
            "completeness": _completeness(questions, words, filters),
            "dead_letters": _letters_by_reason(questions, words, filters),
            "letters": _letters(questions, words, filters),
        },
        {"as_of": as_of(questions)},
    )


def as_of(questions: Questions) -> Any:
    """The latest commit."""
    return questions.ask("SELECT MAX(updated_at) AS as_of FROM callweave_offsets", LIMITS).rows[0][0]


def watermark(questions: Questions) -> str:
    """Where the loader stands: another text after every commit, and not before."""
    answer = questions.ask("SELECT topic, partition, next_offset FROM callweave_offsets ORDER BY 1, 2", LIMITS)
    return "|".join(f"{topic}:{partition}:{offset}" for topic, partition, offset in answer.rows)


def standing_panel(settings: Settings) -> Panel:
    """Roles, lag, spool and freshness, as `callweave status` has them."""
    try:
        standing = look(settings)
    except MisconfiguredError as exc:
        # A page beside a warehouse alone: there is no Kafka to ask, and that is no fault.
        return Panel(
            {"roles": Table(_ROLES, []), "lags": Table(_LAGS, [])}, {"kafka_problem": str(exc), "healthy": None}
        )
    lags = sorted(standing.observed.lags, key=lambda lag: (-lag.seconds, -lag.records, lag.topic, lag.partition))
    return Panel(
        {
            "roles": Table(_ROLES, [[role.role, role.ready, role.reason] for role in standing.roles]),
            "lags": Table(_LAGS, [[lag.reader, lag.topic, lag.partition, lag.records, lag.seconds] for lag in lags]),
        },
        _facts(standing),
    )


_ROLES: Final = ("role", "ready", "reason")
_LAGS: Final = ("reader", "topic", "partition", "records", "seconds")


def _facts(standing: Standing) -> dict[str, Any]:
    return {
        "healthy": standing.is_healthy,
        "worker_lag": standing.worker_lag,
        "loader_lag": standing.loader_lag,
        "spool_entries": standing.spool.entries,
        "spool_oldest_age_seconds": standing.spool.oldest_age_seconds,
        "spool_problem": standing.spool.problem,
        "kafka_problem": standing.kafka_problem,
        "warehouse_problem": standing.warehouse_problem,
        "freshness_p50_seconds": standing.freshness_seconds.get("p50"),
        "freshness_p95_seconds": standing.freshness_seconds.get("p95"),
        "call_freshness_p95_seconds": standing.observed.call_freshness_seconds.get("p95"),
    }


def _completeness(questions: Questions, words: Spelling, filters: Filters) -> Table:
    account = "" if filters.account is None else f" AND sdk_app_id = {filters.account}"
    answer = questions.ask(
        words.statement(
            f"SELECT {', '.join(_COMPLETENESS)} FROM completeness "  # noqa: S608  (`spelling` makes every value)
            f"WHERE hour >= {words.moment(filters.since)} AND hour < {words.moment(filters.until)}{account} "
            f"ORDER BY hour DESC, sdk_app_id LIMIT {LIMITS.rows_max + 1}"
        ),
        LIMITS,
    )
    return Table(_COMPLETENESS, answer.rows, answer.truncated)


def _letters_by_reason(questions: Questions, words: Spelling, filters: Filters) -> Table:
    answer = questions.ask(
        words.statement(
            "SELECT reason, stage, action, COUNT(*) AS letters, CAST(SUM(seen_count) AS BIGINT) AS seen, "  # noqa: S608  (see above)
            "COUNT(replayed_at) AS replayed, MAX(last_seen_at) AS last_seen "
            f"FROM dead_letters WHERE {_seen_within(words, filters)} "
            "GROUP BY reason, stage, action ORDER BY letters DESC, reason, stage, action"
        ),
        LIMITS,
    )
    return Table(("reason", "stage", "action", "letters", "seen", "replayed", "last_seen_at"), answer.rows)


def _letters(questions: Questions, words: Spelling, filters: Filters) -> Table:
    columns = ("dead_letter_id", "last_seen_at", "reason", "stage", "action", "raw_bytes_count", "replay_outcome")
    answer = questions.ask(
        words.statement(
            f"SELECT {', '.join(columns)} FROM dead_letters WHERE {_seen_within(words, filters)} "  # noqa: S608  (see above)
            f"ORDER BY last_seen_at DESC, dead_letter_id LIMIT {LETTERS_MAX + 1}"
        ),
        QueryLimits(rows_max=LETTERS_MAX, seconds_max=LIMITS.seconds_max),
    )
    return Table(columns, answer.rows, answer.truncated)


def _seen_within(words: Spelling, filters: Filters) -> str:
    """A letter has no account, queue or agent: only the time counts."""
    return f"last_seen_at >= {words.moment(filters.since)} AND last_seen_at < {words.moment(filters.until)}"
