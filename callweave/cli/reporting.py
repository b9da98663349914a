"""`callweave report`: days as a manager wants to read them, in the terminal or as one HTML file."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callweave.cli.common import (
    MISUSED,
    ConfigOption,
    DataOption,
    JsonOption,
    print_json,
    print_table,
    say,
    settings_of,
)

if TYPE_CHECKING:
    from callweave.report.facts import Account, Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="2026-11-24 (default: the last day that has calls).")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Included (default: the same day).")] = None,
    sdk_app_id: Annotated[
        list[int] | None, typer.Option("--app", metavar="SDK_APP_ID", help="Only these accounts.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained HTML file here.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened on a day, or in a span of days: calls, service level, waits, queues, agents, outbound results.

    Days are those of each account's zone (KPI__TIME_ZONE). What the numbers mean: docs/kpis.md.
    """
    from callweave.reading import open_questions
    from callweave.report.facts import Span, latest_day, read_report
    from callweave.report.page import page_of

    begin, end = _day(first, "--from"), _day(last, "--to")
    with open_questions(settings_of(config, data)) as questions:
        begin = begin or end or latest_day(questions)
        if begin is None:
            say("the warehouse has no calls yet")
            raise typer.Exit(0)
        span = Span(begin, end or begin)
        if span.last < span.first:
            say(f"callweave: --to {span.last} is before --from {span.first}: exchange them")
            raise typer.Exit(MISUSED)
        told = read_report(questions, span, sdk_app_id or ())
    if html is not None:
        html.write_text(page_of(told), encoding="utf-8")
        say(f"written: {html}")
    elif as_json:
        print_json(told.as_json())
    else:
        _show(told)


def _day(text: str | None, option: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        say(f"callweave: {option} {text!r} is no day: write 2026-11-24")
        raise typer.Exit(MISUSED) from None


def _show(told: "Report") -> None:
    span = told.span
    print(f"calls of {span.first}" + (f" to {span.last}" if span.last != span.first else "") + f", as of {told.as_of}")
    for account in told.accounts:
        _show_account(account)
    if not told.accounts:
        say("no call of these days is in the warehouse")


def _show_account(account: "Account") -> None:
    from callweave.report.facts import ratios
    from callweave.report.words import duration, percent, whole

    calls, told = account.calls, ratios(account.calls)
    print(f"\naccount {account.sdk_app_id}, days of {account.time_zone}")
    print_table(
        [
            "offered",
            "queued",
            "answered",
            "abandoned",
            "service level",
            "speed",
            "handle time",
            "outbound",
            "connected",
        ],
        [
            [
                *(whole(calls[f"{name}_count"]) for name in ("offered", "queued", "answered", "abandoned")),
                percent(told["service_level_connect"]),
                duration(told["asa_seconds"]),
                duration(told["aht_without_acw_seconds"]),
                whole(calls["outbound_count"]),
                percent(told["outbound_connect_rate"]),
            ]
        ],
    )
    queues = [
        [
            row["skill_group_name"] or row["skill_group_id"],
            *(whole(row[f"{name}_count"]) for name in ("queued", "answered", "abandoned")),
            percent(ratios(row)["service_level_connect"]),
            duration(ratios(row)["asa_seconds"]),
        ]
        for row in account.queues
    ]
    print_table(["queue", "queued", "answered", "abandoned", "service level", "speed"], queues)
    agents = [
        [
            row["agent"],
            whole(row["leg_answered_count"]),
            whole(row["ring_no_answer_count"]),
            duration(row["all_talk_seconds_sum"]),
        ]
        for row in account.agents
    ]
    print_table(["agent", "answered", "not answered", "talk"], agents)
    recordings = account.recordings
    print(
        f"recordings: {whole(recordings.get('received', 0))} came, {whole(recordings.get('missing', 0))} missing; "
        f"calls that may still change: {whole(calls['provisional_count'])}"
    )
