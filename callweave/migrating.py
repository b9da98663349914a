"""`callweave warehouse apply | check`: what the warehouse lacks, and bringing it there, with or without a loader."""

from contextlib import closing

from callweave.kpi_settings import kpi_rules
from callweave.reading import LoaderQuestions, open_questions
from callweave.runtime import Runtime
from callweave.settings import Settings
from callweave.warehouses import sink_of
from sinks.ddl import MIGRATIONS
from sinks.duckdb_tables import duckdb_migration
from sinks.sink import Migration, QueryRefusedError, SinkUnavailableError


def pending_migration(settings: Settings) -> Migration:
    """What `apply` would do. Changes nothing, and makes no warehouse where none is."""
    loader = Runtime(settings.data_dir).role("loader")
    if settings.warehouse_url.startswith("duckdb:") and loader is not None and loader.admin_url is not None:
        # The file is the loader's, and it answers questions about it.
        questions = LoaderQuestions(loader)
        return duckdb_migration(
            lambda sql: questions.ask(sql).rows,
            recording_deadline_seconds=settings.warehouse.recording_deadline_seconds,
            kpi_rules=kpi_rules(settings.kpi),
        )
    with closing(sink_of(settings)) as sink:
        return sink.pending()


def apply_migration(settings: Settings) -> Migration:
    """Bring the warehouse to this program's layout; what was done."""
    with closing(sink_of(settings)) as sink:
        return sink.migrate()


def last_migration(settings: Settings) -> tuple[str, str] | None:
    """When the warehouse's layout was last changed, and by which callweave; None where nobody noted it."""
    try:
        with open_questions(settings) as questions:
            rows = questions.ask(
                f"SELECT applied_at, program_version FROM {MIGRATIONS.name} "  # noqa: S608 - a name of our own
                "ORDER BY applied_at DESC LIMIT 1"
            ).rows
    except (QueryRefusedError, SinkUnavailableError):
        return None
    return (str(rows[0][0]), str(rows[0][1])) if rows else None
