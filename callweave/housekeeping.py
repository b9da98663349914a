"""`callweave warehouse compact`: merges the small files of a warehouse that is made of files, until none is due."""

from contextlib import closing

from callweave.settings import Settings
from callweave.warehouses import sink_of
from sinks.sink import Compacting, Compaction, MisconfiguredError
from sinks.warehouse import open_reader


def compact_warehouse(settings: Settings) -> Compaction:
    """Compact; what was done in all. SinkUnavailableError where a loader holds the warehouse, or there is none yet."""
    url, data_dir = settings.warehouse_url, settings.data_dir
    sink = sink_of(settings)
    if not isinstance(sink, Compacting):
        raise MisconfiguredError("this warehouse keeps house by itself: there is nothing to compact")
    open_reader(url, data_dir=data_dir).close()  # says so where there is no warehouse yet
    total = Compaction()
    with closing(sink):
        sink.open()
        while True:
            done = sink.compact()
            total = total.and_then(done)
            if not done.has_more:
                return total
