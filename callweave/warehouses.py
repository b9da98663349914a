"""The warehouse that the settings name, to be written to."""

from callweave.kpi_settings import kpi_rules
from callweave.settings import Settings
from sinks.sink import Sink
from sinks.warehouse import open_sink


def sink_of(settings: Settings) -> Sink:
    """It, not yet connected. Opening upgrades it, or refuses to (WAREHOUSE__MIGRATE)."""
    return open_sink(
        settings.warehouse_url,
        data_dir=settings.data_dir,
        recording_deadline_seconds=settings.warehouse.recording_deadline_seconds,
        may_migrate=settings.warehouse.migrate == "apply",
        kpi_rules=kpi_rules(settings.kpi),
    )
