"""`callweave completeness`: how complete yesterday is, as a number, and as an exit status for a scheduler."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from callweave.cli.common import WRONG, ConfigOption, DataOption, JsonOption, print_json, print_table, say, settings_of
from callweave.cli.times import read_time
from callweave.settings import Settings

if TYPE_CHECKING:
    from callweave.completeness import Stretch

WAIT_SECONDS = 60.0


class By(StrEnum):
    """What a line sums."""

    HOUR = "hour"
    DAY = "day"


_COLUMNS = {
    "sessions_known_to_api": "known to API",
    "sessions_in_warehouse": "here",
    "sessions_by_push": "pushed",
    "sessions_api_only": "API only",
    "sessions_push_only": "push only",
    "sessions_without_cdr": "no CDR",
    "api_rows_unusable": "unusable",
    "recordings_expected": "recordings",
    "recordings_received": "received",
    "recordings_recovered": "recovered",
    "recordings_absent": "absent",
    "recordings_missing": "missing",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(completeness)


def completeness(
    first: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From here: 2026-11-24, …T08:00, 30d (yesterday).")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Up to here (default: now; without --from: today).")
    ] = None,
    sdk_app_id: Annotated[
        list[int] | None, typer.Option("--app", metavar="SDK_APP_ID", help="Only these applications.")
    ] = None,
    by: Annotated[By, typer.Option(help="One line an hour, or one a UTC day.")] = By.DAY,
    share_min: Annotated[
        float | None, typer.Option("--min", min=0, max=1, help="The share below which the exit status is 1.")
    ] = None,
    must_be_final: Annotated[
        bool, typer.Option("--final", help="Exit status 1, too, while an hour may still change.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Wait up to so many seconds until what is in Kafka is in the warehouse; 0: do not."),
    ] = WAIT_SECONDS,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how complete a span is, by the hour or day in which calls ended (default: yesterday, UTC).

    Exit status 1 where an application has less than --min of what is due, where an hour was not asked of TCCC's API,
    and, with --final, while an hour is provisional: so a scheduler can hold the morning report back.
    """
    from callweave.accounts import api_accounts
    from callweave.completeness import problems_of, read_hours, stretches
    from callweave.reading import open_questions

    settings = settings_of(config, data)
    begin, end = _span(first, last, datetime.now(UTC))
    _wait(settings, wait)
    has_key = {app for account in api_accounts(settings) for app in account.sdk_app_ids}
    with open_questions(settings) as questions:
        hours = read_hours(questions, begin, end, applications=sdk_app_id or has_key, only=bool(sdk_app_id))
    if not hours:
        say("nothing is known of any application in that span, and no key of the API is set: see docs/completeness.md")
        raise typer.Exit(WRONG)
    bound = settings.completeness.share_min if share_min is None else share_min
    lines, totals = stretches(hours, by.value), stretches(hours, None)
    problems = list(problems_of(totals, share_min=bound, must_be_final=must_be_final, has_key=has_key))
    if as_json:
        print_json(
            {
                "from": begin.isoformat(),
                "to": end.isoformat(),
                "min": bound,
                "complete": not problems,
                "problems": [problem.as_json() for problem in problems],
                by.value + "s": [line.as_json() for line in lines],
                "totals": [total.as_json() for total in totals],
            }
        )
    else:
        names = ["SdkAppId", by.value, *_COLUMNS.values(), "share", "state"]
        print_table(names, [_cells(line, by) for line in lines])
        for problem in problems:
            say(problem.sentence)
    raise typer.Exit(WRONG if problems else 0)


def _span(first: str | None, last: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Whole hours that are over."""
    from callweave.completeness import HOUR

    begin = read_time(first or "yesterday", now, "--from")
    begin = begin.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    end = read_time(last or ("today" if first is None else "0m"), now, "--to")
    over = now.replace(minute=0, second=0, microsecond=0)
    end = min(over, end.astimezone(UTC).replace(minute=0, second=0, microsecond=0))
    if end - begin < HOUR:
        raise typer.BadParameter("the span holds no whole hour that is over", param_hint="--from")
    return begin, end


def _wait(settings: Settings, seconds: float) -> None:
    """What reconcile noted may be in the warehouse before the sessions that it told of: those are waited for."""
    from callweave.standing import wait_idle

    if not seconds:
        return
    pending = asyncio.run(wait_idle(settings, seconds))
    if pending is not None:
        say(f"the warehouse is behind Kafka after {seconds:g} s, so no number would be true: {pending}")
        raise typer.Exit(WRONG)


def _cells(line: "Stretch", by: By) -> list[object]:
    start = line.start.astimezone(UTC).strftime("%Y-%m-%d" if by is By.DAY else "%Y-%m-%dT%H:%M")
    counts, share = line.counts, line.share
    numbers = [counts[name] for name in _COLUMNS]
    return [line.sdk_app_id, start, *numbers, "" if share is None else f"{share:.4%}", line.state]
