"""A simulated day in all five warehouses, in one run: every row of every table and view must be the same everywhere.

`python -m tests.contract.same_day --sessions 10000` (`make same-day`); exit status 1 on any difference. Each warehouse
gets every version of every document in an order and in batches of its own, by what the loader itself uses.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from callweave.simulator.faults import Dice
from callweave.simulator.plan import plan_pushes
from callweave.simulator.scenario import make_sessions
from schemas.columns import TABLES
from schemas.session import document_digest
from sinks.ddl import VIEWS
from sinks.intake import take_in
from sinks.letters import sighting, tally
from sinks.log import Record
from sinks.rows import lay_out
from sinks.sink import Batch, LogPartition, QueryLimits, Sink
from sinks.warehouse import open_sink
from tests.support import clickhouse, postgres
from tests.support.harness import Harness
from tests.support.lakes import DUCKLAKE, PARQUET
from tests.support.loading import DUCKDB

NOW = 1_795_000_000
LOADED_AT = datetime.fromtimestamp(NOW + 3_600.5, UTC)
DOCUMENTS, LETTERS = LogPartition("tccc.sessions", 0), LogPartition("tccc.dead_letters", 0)
TROUBLE = {
    "withhold": 0.05,
    "withhold_cdr": 0.03,
    "withhold_voicemail": 0.05,
    "unpushed": 0.01,
    "never_recorded": 0.02,
    "useless": 0.02,
    "numbers_as_text": 0.05,
    "unknown_fields": 0.05,
    "epoch_record_id": 0.05,
    "gzip": 0.05,
}
EACH_ITS_OWN = frozenset(
    {
        *("loaded_at", "as_of", "committed_after_seconds"),
        *(f"committed_after_{which}_seconds" for which in ("p50", "p90", "p95", "max")),
    }
)
"""When it was committed."""
OF_THE_CLOCK = frozenset(
    {
        *("age_seconds", "overdue_seconds", "kept_days_left_min", "is_provisional", "fcr_is_provisional"),
        *("provisional_count", "provisional_share", "fcr_provisional_count"),
        *("leg_provisional_count", "leg_provisional_share"),
    }
)
"""Counted from the moment of the query."""
EVERYTHING = QueryLimits(rows_max=10**7, seconds_max=600)
Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Day:
    """What the pure pipeline makes of the pushes of a day: the sessions topic, the letters, and the tables at rest."""

    records: list[tuple[bytes, bytes]]
    letters: list[Any]
    at_rest: list[dict[str, Any]]


def simulated_day(sessions: int, seed: int) -> Day:
    """Invent a day, push it with faults, and join it."""
    invented = make_sessions(seed=seed, count=sessions, now=NOW, days=1)
    _, plan = plan_pushes(invented, Dice(seed, TROUBLE), seed=seed, now=NOW)
    harness = Harness()
    for place, slot in enumerate(plan.slots):
        push = plan.pushes[slot.place]
        if push.withheld:
            continue
        headers = {"Content-Encoding": push.content_encoding} if push.content_encoding else {}
        action = push.content.partition(":")[0]
        harness.pipe_push(push.raw, action=action, headers=headers, at_ms=1_000 * NOW + 10 * place)
    return Day(harness.sessions_topic, harness.letters, harness.tables())


def load(sink: Sink, day: Day, seed: int) -> None:
    """Every record once, in an order of its own; letters in their own, which tells which of them was first."""
    chance = random.Random(seed)
    records = [Record(DOCUMENTS, at, key, value) for at, (key, value) in enumerate(day.records)]
    chance.shuffle(records)
    done = {DOCUMENTS: 0, LETTERS: 0}
    while done[DOCUMENTS] < len(records) or done[LETTERS] < len(day.letters):
        ends = {part: done[part] + chance.randrange(1, 4_000) for part in done}
        intake = take_in(records[done[DOCUMENTS] : ends[DOCUMENTS]], letters_topic=LETTERS.topic)
        rows, unfit = lay_out(intake.documents[at] for at in intake.best().values())
        assert not unfit
        first = done[LETTERS]
        letters = tally(
            sighting(letter, (*LETTERS, first + at)) for at, letter in enumerate(day.letters[first : ends[LETTERS]])
        )
        sink.write(Batch(rows, letters, ends, {part: offset or None for part, offset in done.items()}))
        done = ends


def everything(sink: Sink) -> Rows:
    """Every table and view, as values that can be compared, sorted."""
    found: Rows = {}
    for name in (*(table.name for table in TABLES), *VIEWS):
        result = sink.query(f"SELECT * FROM {name}", EVERYTHING)
        assert not result.truncated
        kept = [at for at, column in enumerate(result.columns) if column not in EACH_ITS_OWN | OF_THE_CLOCK]
        head = tuple(result.columns[at] for at in kept)
        order = sorted(range(len(head)), key=lambda at: head[at])
        rows = [tuple(comparable(row[kept[at]]) for at in order) for row in result.rows]
        found[name] = [tuple(head[at] for at in order), *sorted(rows, key=repr)]
    return found


def comparable(value: Any) -> Any:
    """One value, whatever a driver made of it."""
    match value:
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal() | float():
            return round(float(value), 9)
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case str() if value.startswith("{"):
            try:
                return json.dumps(json.loads(value), sort_keys=True)
            except ValueError:
                return value
        case _:
            return value


@contextmanager
def all_five() -> Iterator[dict[str, str]]:
    """The address of an empty warehouse of each kind."""
    with ExitStack() as stack:
        postgres_server = stack.enter_context(postgres.session_postgres())
        clickhouse_server = stack.enter_context(clickhouse.session_clickhouse())
        yield {
            "duckdb": DUCKDB,
            "postgres": stack.enter_context(postgres.fresh_database(postgres_server)),
            "clickhouse": stack.enter_context(clickhouse.fresh_database(clickhouse_server)),
            "ducklake": DUCKLAKE,
            "parquet": PARQUET,
        }


def same_everywhere(urls: Mapping[str, str], folder: Path, day: Day, *, tell: Any = lambda _: None) -> list[str]:
    """Load the day into each; one line for each difference between them, or to what the pipeline says."""
    differences: list[str] = []
    first: Rows = {}
    for seed, (name, url) in enumerate(urls.items()):
        begun = time.process_time(), time.perf_counter()
        sink: Any = open_sink(url, data_dir=folder, recording_deadline_seconds=3600)
        sink._clock = lambda: LOADED_AT  # some numbers count from a session's receipt to its commit
        with closing(sink):
            sink.open()
            load(sink, day, seed)
            spent = time.process_time() - begun[0], time.perf_counter() - begun[1]
            found = everything(sink)
        counts = ", ".join(f"{len(rows) - 1} {table}" for table, rows in found.items() if len(rows) > 1)
        tell(f"{name}: loaded in {spent[1]:.1f} s ({spent[0]:.1f} s of this process): {counts}")
        if not first:
            first = found
            differences += _against_the_pipeline(found, day)
        differences += [f"{name}: {line}" for line in _between(first, found)]
    return differences


def _against_the_pipeline(found: Rows, day: Day) -> Iterator[str]:
    head, *rows = found["sessions"]
    told = [head.index(column) for column in ("sdk_app_id", "session_id", "document_digest")]
    here = {tuple(row[at] for at in told) for row in rows}
    due = {(doc["sdk_app_id"], doc["session_id"], document_digest(doc)) for doc in day.at_rest}
    if here != due:
        yield f"{len(here ^ due)} sessions are not those of the pipeline"
    for child in ("legs", "recordings", "voicemails"):
        count = sum(len(document[child]) for document in day.at_rest)
        if len(found[child]) - 1 != count:
            yield f"{len(found[child]) - 1} {child} instead of {count}"


def _between(one: Rows, other: Rows) -> Iterator[str]:
    for table, rows in one.items():
        if rows != other[table]:
            more, less = set(other[table]) - set(rows), set(rows) - set(other[table])
            shown = f"{next(iter(less), None)} and {next(iter(more), None)}"
            yield f"{table}: {len(less)} rows are missing, {len(more)} are others; for one, {shown}"


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--sessions", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    day = simulated_day(asked.sessions, asked.seed)
    print(
        f"{asked.sessions} sessions invented; {len(day.records)} documents of {len(day.at_rest)} sessions arrived, "
        f"{len(day.letters)} dead letters",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="callweave-day-") as folder, all_five() as urls:
        differences = same_everywhere(urls, Path(folder), day, tell=lambda line: print(line, flush=True))
    for line in differences:
        print(f"DIFFERENT {line}")
    print("the same rows everywhere" if not differences else f"{len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
