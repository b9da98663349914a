"""`callweave worker` with Faust's standby replicas, which it runs without: for the trials that ADR 0038 reports.

What the engine would need for them stands here and nowhere else: records of standby partitions are absorbed as those of
active ones are, and their offsets are noted.

    python -m tests.faults.standby_worker REPLICAS
"""

import sys
from typing import Any

from callweave.cli import app as cli
from streams import worker as shell
from streams.engine.bulk_restore import BulkRestore


def main() -> None:
    replicas = int(sys.argv[1])
    build_app, absorb_active = shell.SafeApp, BulkRestore._absorb

    def app_with_standbys(*args: Any, **settings: Any) -> shell.SafeApp:
        return build_app(*args, **{**settings, "table_standby_replicas": replicas})

    def absorb(self: BulkRestore, events: list[Any]) -> None:
        absorb_active(self, events)
        for event in events:
            tp, offset = event.message.tp, event.message.offset
            known = self.standby_offsets.get(tp)
            if tp in self.standby_tps and tp not in self.active_tps and (known is None or offset > known):
                self.standby_offsets[tp] = offset
                self.buffers[self.tp_to_table[tp]].append(event)
        self.flush_buffers()

    shell.SafeApp = app_with_standbys  # type: ignore[misc,assignment]
    BulkRestore._absorb = absorb  # type: ignore[method-assign]
    sys.argv[1:] = ["worker"]
    cli.main()


if __name__ == "__main__":
    main()
