"""The worker under `bench.restore`. With `stock`, changelog records take Faust's way: one event, four tasks each."""

import sys
import time
from typing import Any

from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver
from prometheus_client import Gauge

from callweave.logs import configure_logs
from callweave.roles.worker import worker_role
from callweave.settings import load_settings
from streams.engine.bulk_restore import BulkRestore
from streams.engine.delivery import DeliversInSlices
from streams.engine.table import SessionTable

RESTORING_SECONDS = Gauge("bench_restoring_seconds", "From the start of restoring to its last absorbed record.")
CPU_SECONDS = Gauge("bench_restoring_cpu_seconds", "The worker's own processor time of it.")
RECORDS = Gauge("bench_restored_records", "Records absorbed.")


def main() -> int:
    settings = load_settings()
    configure_logs(settings.log, "worker")
    if sys.argv[1:] == ["stock"]:
        BulkRestore._slurp_changelogs = Recovery._slurp_changelogs  # noqa: SLF001  (the way it was)
        BulkRestore._set_recovery_started = Recovery._set_recovery_started  # noqa: SLF001  (likewise)
        DeliversInSlices.getmany = driver.Consumer.getmany
    measure()
    return worker_role(settings, supervised=False)


def measure() -> None:
    """The same clocks around either way."""
    start, absorb = BulkRestore._set_recovery_started, SessionTable.apply_changelog_batch  # noqa: SLF001
    started = [(0.0, 0.0)]

    def starting(self: BulkRestore) -> None:
        start(self)
        started[0] = time.perf_counter(), time.process_time()

    def absorbing(self: SessionTable, batch: Any) -> None:
        events = list(batch)
        absorb(self, events)
        if events:
            RECORDS.inc(len(events))
            RESTORING_SECONDS.set(time.perf_counter() - started[0][0])
            CPU_SECONDS.set(time.process_time() - started[0][1])

    BulkRestore._set_recovery_started = starting  # noqa: SLF001
    SessionTable.apply_changelog_batch = absorbing  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
