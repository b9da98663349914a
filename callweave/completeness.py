"""How complete a span of time is: the view `completeness`, every hour of it, judged against a bound.

An hour that nobody asked the API for is no hour of which all is known: it stands among the others, with nothing in it,
so that a scheduler never takes silence for completeness.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from callweave.reading import Questions, instant_literal
from schemas.columns import COMPLETENESS, ColumnType
from schemas.models import instant_text
from sinks.sink import QueryLimits, QueryRefusedError

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
COUNTS: Final = tuple(
    column.name
    for column in COMPLETENESS.columns
    if column.type is ColumnType.INTEGER and not column.nullable and column.name not in COMPLETENESS.key
)
"""What adds up; days that are left do not."""
_LIMITS: Final = QueryLimits(rows_max=100_000, seconds_max=120.0)

By = Literal["hour", "day"]
State = Literal["final", "provisional", "not asked"]


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of one application."""

    sdk_app_id: int
    start: datetime
    counts: dict[str, int]
    asked_at: datetime | None = None
    read_to: datetime | None = None
    is_final: bool = False
    as_of: datetime | None = None

    @property
    def state(self) -> State:
        """Whether the API was asked for the whole of it, and whether for the last time."""
        if self.read_to is None or self.read_to < self.start + HOUR:
            return "not asked"
        return "final" if self.is_final else "provisional"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some hours of one application, summed."""

    sdk_app_id: int
    start: datetime
    hours: Sequence[Hour]

    @property
    def counts(self) -> dict[str, int]:
        """The sums."""
        return {name: sum(hour.counts[name] for hour in self.hours) for name in COUNTS}

    @property
    def share(self) -> float | None:
        """What is here of what is due, as the view has it; None where nothing is due."""
        return share_of(self.counts)

    @property
    def state(self) -> State:
        """The worst of its hours."""
        states = {hour.state for hour in self.hours}
        return next(state for state in ("not asked", "provisional", "final") if state in states)

    @property
    def asked_at(self) -> datetime | None:
        """When the API was asked for all of it: the earliest of the latest readings."""
        asked = [hour.asked_at for hour in self.hours]
        return None if None in asked else min(moment for moment in asked if moment is not None)

    @property
    def as_of(self) -> datetime | None:
        """The latest commit that it counts."""
        return max((hour.as_of for hour in self.hours if hour.as_of is not None), default=None)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        hours = {f"hours_{name}": 0 for name in ("final", "provisional", "not_asked")}
        for hour in self.hours:
            hours[f"hours_{hour.state.replace(' ', '_')}"] += 1
        return {
            "sdk_app_id": self.sdk_app_id,
            "start": instant_text(self.start),
            **self.counts,
            "share": self.share,
            "state": self.state,
            **hours,
            "asked_at": None if self.asked_at is None else instant_text(self.asked_at),
            "as_of": None if self.as_of is None else instant_text(self.as_of),
        }


def share_of(counts: dict[str, int]) -> float | None:
    """The formula of the view's `share`, over sums."""
    due = sum(counts[name] for name in _DUE)
    here = counts["sessions_in_warehouse"] + counts["recordings_expected"] - counts["recordings_missing"]
    return here / due if due else None


_DUE = ("sessions_in_warehouse", "sessions_without_cdr", "api_rows_unusable", "recordings_expected")


def read_hours(
    questions: Questions, first: datetime, last: datetime, *, applications: Collection[int], only: bool
) -> list[Hour]:
    """Every hour of a span, of these applications and (unless `only`) of any that the warehouse knows."""
    listed = ", ".join(map(str, sorted(applications))) or "NULL"
    answer = questions.ask(
        f"select * from completeness where hour >= {instant_literal(first)} "  # noqa: S608 - values of our own
        f"and hour < {instant_literal(last)}{f' and sdk_app_id in ({listed})' if only else ''}",
        _LIMITS,
    )
    if answer.truncated:
        raise QueryRefusedError(f"the span holds more than {_LIMITS.rows_max} hours: ask for less, or for one --app")
    known = {(hour.sdk_app_id, hour.start): hour for hour in map(_hour_of, answer.dicts())}
    apps = sorted({*applications, *(app for app, _ in known)})
    starts = [first + number * HOUR for number in range((last - first) // HOUR)]
    nothing = dict.fromkeys(COUNTS, 0)
    return [known.get((app, start)) or Hour(app, start, nothing) for app in apps for start in starts]


def _hour_of(row: dict[str, Any]) -> Hour:
    asked_at, read_to = _moment(row["asked_at"]), _moment(row["read_to"])
    return Hour(
        sdk_app_id=int(row["sdk_app_id"]),
        start=datetime.fromisoformat(row["hour"]),
        counts={name: int(row[name]) for name in COUNTS},
        asked_at=asked_at,
        read_to=read_to,
        is_final=bool(row["is_final"]),
        as_of=_moment(row["as_of"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def stretches(hours: Iterable[Hour], by: By | None) -> list[Stretch]:
    """Hours by themselves, by UTC day, or (None) all of an application's together."""
    groups: dict[tuple[int, datetime | None], list[Hour]] = {}
    for hour in hours:
        groups.setdefault((hour.sdk_app_id, _group(hour.start, by)), []).append(hour)
    return [Stretch(app, members[0].start, members) for (app, _), members in groups.items()]


def _group(start: datetime, by: By | None) -> datetime | None:
    match by:
        case None:
            return None
        case "hour":
            return start
        case "day":
            return start.astimezone(UTC).replace(hour=0)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a span of an application is not complete enough; the sentence says what to do."""

    sdk_app_id: int
    kind: Literal["not asked", "provisional", "share"]
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"sdk_app_id": self.sdk_app_id, "kind": self.kind, "sentence": self.sentence}


def problems_of(
    totals: Iterable[Stretch], *, share_min: float, must_be_final: bool, has_key: Collection[int]
) -> Iterator[Problem]:
    """Everything that keeps these applications from being complete; `has_key`: those that reconcile can read."""
    for total in totals:
        app = total.sdk_app_id
        unasked = [hour for hour in total.hours if hour.state == "not asked"]
        if unasked:
            span = _span(unasked)
            how = (
                f"run `callweave reconcile --from {_minute(unasked[0].start)} --to {_minute(unasked[-1].start + HOUR)}`"
                if app in has_key
                else "name it in CALLWEAVE_API__SDK_APP_IDS, beside the key that may read it"
            )
            yield Problem(app, "not asked", f"SdkAppId {app}: the API was not asked for the whole of {span}: {how}")
        provisional = [hour for hour in total.hours if hour.state == "provisional"]
        if provisional and must_be_final:
            yield Problem(
                app,
                "provisional",
                f"SdkAppId {app}: {_span(provisional)} may still change: recordings and remarks come late; an hour is "
                "final when it was read after the overlap and RECONCILE__ABSENT_AFTER_SECONDS, and so were the hours "
                "before it in which its calls began",
            )
        share = total.share
        if share is not None and share < share_min:
            counts = total.counts
            yield Problem(
                app,
                "share",
                f"SdkAppId {app}: {share:.4%} is here, and {share_min:.4%} is asked for: "
                f"{counts['sessions_without_cdr']} sessions without a CDR, {counts['recordings_missing']} recordings "
                f"missing, {counts['api_rows_unusable']} rows of the API unusable",
            )


def _span(hours: Sequence[Hour]) -> str:
    first, last = hours[0].start, hours[-1].start + HOUR
    many = f"{len(hours)} hours between" if len(hours) > 1 else "the hour from"
    return f"{many} {_minute(first)} {'and' if len(hours) > 1 else 'to'} {_minute(last)} UTC"


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
