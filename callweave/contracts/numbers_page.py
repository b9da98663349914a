"""docs/kpis.md: what each number means, whose definition it follows, where it stands, and which cannot be given."""

from collections import Counter
from collections.abc import Iterator

from schemas.columns import Table
from sinks.kpi.definitions import ABSENT, DEFINITIONS_VERSION
from sinks.kpi.rules import KPI_SETTINGS
from sinks.kpi.views import KPI_VIEWS, places_of_definitions

_PREFACE = """\
# The numbers

Generated from their definitions (`sinks/kpi`, `make contracts`); the warehouse has the same list as
`kpi_definitions`. This is version {version}, which every row tells as `definitions_version`. The views are the same
SQL in every warehouse, and the models of the [dbt package](dbt.md) are that SQL too.

How to read them

- **Add up numerators and denominators, never ratios.** Each ratio stands beside the two columns that it divides.
  Percentiles come from the rows and cannot be added up: for another span or grain take them from `kpi_sessions`,
  which has one row a call with every flag and every duration.
- **The clock.** A call belongs to the hour and day of one moment, and all its numbers stand there: of its start in
  `kpi_daily` and `kpi_hourly_line`, of entering the queue in `kpi_hourly_skill_group`, of the first ring in
  `kpi_daily_agent`. `hour` is the moment at which the hour began, so the hour that comes twice when clocks go back is
  two rows; `day` and `local_hour` are the account's (`time_zone`).
- **Times have whole seconds**, so a wait of exactly `target_seconds` is in time. A duration that would be negative is
  NULL, and counts nowhere.
- **Answered is by the legs**: the earliest answer of an agent's leg, else the session's. Where the two differ,
  `answer_mismatch_count` tells.
- Every queued call is one of three: answered, abandoned, flow-out. One that was answered is never an abandon, however
  it ended.
- Internal calls are nobody's. Predictive calls have numbers of their own.
- **Beside the numbers** stand `as_of` (the latest commit that they count), `provisional_share` (calls that ended less
  than `provisional_seconds` ago: late reports may still change them; of legs, recordings, messages and stretches under
  their own names), `completeness` and `completeness_is_final` (of
  all the account's calls that *ended* in that hour or day, as the API told; NULL where it was never asked).
- First contact resolution and true containment look at the caller's *next* inbound call, by the number as TCCC sends
  it. An unknown caller has none: he is not in the base of the first, and counts as contained in the second. They
  change until the window has passed: `fcr_provisional_count`.
- **Ask for days** (`WHERE day = …`, `BETWEEN`): the filter comes before the work, except in `kpi_daily_agent`,
  `kpi_daily_transfer` and `kpi_concurrency`, whose days are not those of the calls' starts. Rows of calls are cheaper
  in `kpi_calls`, which is `kpi_sessions` without what the caller's next call tells
  ([ADR 0050](adr/0050-a-days-numbers-cost-a-day.md), with what it costs).
- **On Postgres add the time** where rows of calls are read (`kpi_calls`, `kpi_sessions`): `WHERE day = DATE
  '2026-05-26' AND started_at >= '2026-05-25' AND started_at < '2026-05-28'`, in which that day of every zone lies. It
  changes no row, and lets an index find them; by `day` alone every call's start is looked at.

What one day and all days cost to read, in seconds of CPU, where a million calls of a year stand (a day has 2,740;
on a busy machine, DuckDB the less of two runs, the others one; a dash was not measured; `make bench-numbers`):

| | DuckDB, day | all | Postgres, day | all | ClickHouse, day | all |
| --- | --- | --- | --- | --- | --- | --- |
| `kpi_calls` (counted) | 0.38 | 3.0 | 0.74 (0.02 with the time) | 0.40 | 1.7 | 2.2 |
| `kpi_sessions` (counted) | 1.1 | 4.4 | 0.81 (0.07 with the time) | 7.3 | 2.3 | 3.6 |
| `kpi_hourly_skill_group` | 1.3 | 4.5 | 2.7 | 26 | 7.3 | 11 |
| `kpi_hourly_line` | 1.3 | 8.3 | 2.6 | - | 7.1 | 15 |
| `kpi_daily` | 1.6 | 7.0 | 2.2 | 31 | 5.7 | 9.3 |
| `kpi_daily_agent` | 4.8 | 6.3 | 12 | - | 8.2 | 11 |
| `kpi_daily_transfer` | 1.9 | 1.8 | 5.7 | - | - | - |
| `kpi_concurrency` | 7.3 | 7.7 | - | - | - | - |
| `kpi_daily_end_reason` | 0.77 | 4.1 | 2.0 | - | - | - |
| `kpi_daily_recording` | 1.1 | 5.6 | 3.1 | - | - | - |
| `kpi_daily_pipeline` | 0.66 | 3.9 | - | - | - | - |
| `callweave report`, one day | 11 | | 20 | | - | |

So a day is not free anywhere. The start of every call is looked at, and completeness counts all hours. ClickHouse has
no lateral join: there a day costs half of all days, or more. The three views named above cost nearly all days for one.


What an account decides ([settings](settings.md), `KPI__…`) stands in `kpi_settings`, row 0 for everybody without one
of their own:

{settings}
"""


def numbers_page() -> str:
    """The page, as Markdown."""
    settings = "\n".join(
        f"- `{column.name}`: {column.description}" for column in KPI_SETTINGS.columns if column.name != "sdk_app_id"
    )
    lines = [_PREFACE.format(version=DEFINITIONS_VERSION, settings=settings), *_views(), *_definitions(), *_absent()]
    return "\n".join(lines).rstrip() + "\n"


def _views() -> Iterator[str]:
    yield "## Views"
    yield ""
    yield "| view | one row | its numbers |"
    yield "| --- | --- | --- |"
    counts = Counter(view for views in places_of_definitions().values() for view in views)
    for view in KPI_VIEWS:
        count = counts[view.name]
        yield f"| `{view.name}` | {_key(view)} | {view.purpose}{f' ({count})' if count else ''} |"
    yield ""


def _key(view: Table) -> str:
    return ", ".join(f"`{name}`" for name in view.key)


def _definitions() -> Iterator[str]:
    yield "## Definitions"
    yield ""
    yield "| number | name | formula | unit | after | version | in |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for one, views in places_of_definitions().items():
        shown = ", ".join(view.removeprefix("kpi_") for view in views)
        cells = (f"`{one.id}`", one.name, one.formula, one.unit, one.source, str(one.version), shown)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _absent() -> Iterator[str]:
    yield "## Numbers that are not given"
    yield ""
    yield "Absent by name rather than guessed; `kpi_definitions` has them with `is_given` false."
    yield ""
    yield "| number | name | asked for by | why |"
    yield "| --- | --- | --- | --- |"
    for one in ABSENT:
        yield f"| `{one.id}` | {one.name} | {one.source} | {one.why} |"
