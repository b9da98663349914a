"""CPU time of the pure parts on the way of a push, in microseconds for each thing; one JSON line.

Run by `bench.compare`, once for each tree and round: whatever it imports comes from the tree on PYTHONPATH.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bench.work import bodies
from ingest.normalize import ReceivedPush, normalize
from schemas.events import NormalizedEvent, decode_event
from sinks.rows import lay_out, read_document
from streams.core.fold import fold, restore

AT = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)
REPEATS = 3


def main(sessions: int) -> dict[str, float]:
    pushes = [
        ReceivedPush.of(body, headers={"X-TCCC-PUSH-UUID": f"p{number}"}, action=action, received_at=AT)
        for number, (action, body) in enumerate(bodies(sessions))
    ]
    events = [event for push in pushes if (event := normalize(push).event) is not None]
    raw = [(event.key, event.encoded()) for event in events]
    published = fold_all(events)
    documents = [read_document(*record) for record in published.items()]
    return {
        "normalize": best(lambda: [normalize(push) for push in pushes], len(pushes)),
        "decode": best(lambda: [decode_event(*record) for record in raw], len(raw)),
        "fold": best(lambda: fold_all(events), len(events)),
        "restore": best(lambda: [restore(None, record) for record in published.values()], len(published)),
        "read_document": best(lambda: [read_document(*record) for record in published.items()], len(published)),
        "lay_out": best(lambda: lay_out(documents), len(documents)),
    }


def fold_all(events: list[NormalizedEvent]) -> dict[bytes, bytes]:
    """Every event a batch of its own, its session read from what was stored of it; the last records."""
    stored: dict[bytes, bytes] = {}
    records: dict[bytes, bytes] = {}
    for event in events:
        folded = fold(event.key, stored.get(event.key), [event])
        if folded.stored is not None and folded.record is not None:
            stored[event.key], records[event.key] = folded.stored, folded.record
    return records


def best(job: Callable[[], object], count: int) -> float:
    """The least of a few: what else the machine does can only add."""
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        job()
        seconds.append(time.process_time() - begun)
    return min(seconds) / count * 1e6


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
