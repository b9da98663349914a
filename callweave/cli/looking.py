"""Commands that look: `status`, `sql`, `session`, `snapshot`. They work while the loader runs, on DuckDB too."""

import asyncio
import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from callweave.cli.common import (
    MISUSED,
    WRONG,
    ConfigOption,
    DataOption,
    JsonOption,
    print_json,
    print_table,
    say,
    settings_of,
)
from callweave.settings import Settings

ASK_SECONDS_MAX = 30.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(sql)
    app.command()(session)
    app.command()(snapshot)


def status(
    config: ConfigOption = None,
    data: DataOption = None,
    wait_idle: Annotated[
        float | None,
        typer.Option(
            min=0, help="Wait up to so many seconds until all that is in spool and Kafka now is in the warehouse."
        ),
    ] = None,
    watch: Annotated[
        float | None, typer.Option(min=0.5, metavar="SECONDS", help="Show it again and again, until Ctrl-C.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show roles, lag, rows, freshness, completeness; exit status 1 where something is not well or not in time."""
    from callweave.standing import look
    from callweave.standing import wait_idle as wait

    settings = settings_of(config, data)
    if wait_idle is not None:
        pending = asyncio.run(wait(settings, wait_idle))
        if pending is not None:
            say(f"not idle within {wait_idle:g} s: {pending}")
            raise typer.Exit(WRONG)
        if not as_json:
            return
    if watch is not None:
        from callweave.cli.watching import watch_standing

        watch_standing(lambda: look(settings), watch, as_json=as_json)
    standing = look(settings)
    if as_json:
        print_json(standing.as_json())
    else:
        for line in standing.lines():
            print(line)
    raise typer.Exit(0 if standing.is_healthy else WRONG)


def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    rows_max: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 10_000,
    seconds_max: Annotated[float, typer.Option(min=0.1, help="Give up after so long.")] = 60.0,
) -> None:
    """Run a read-only query on the warehouse, whether or not the loader runs."""
    from callweave.reading import open_questions
    from sinks.sink import QueryLimits

    if as_json and as_csv:
        say("callweave: --json and --csv exclude each other: choose one")
        raise typer.Exit(MISUSED)
    with open_questions(settings_of(config, data)) as questions:
        answer = questions.ask(statement, QueryLimits(rows_max=rows_max, seconds_max=seconds_max))
    if as_json:
        print_json(answer.dicts())
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        print_table(answer.columns, answer.rows)
    if answer.truncated:
        say(f"the first {rows_max} rows; --rows-max shows more")


def session(
    sdk_app_id: Annotated[int, typer.Argument(help="TCCC's SdkAppId.")],
    session_id: Annotated[str, typer.Argument(help="TCCC's SessionId.")],
    ask_api: Annotated[
        bool,
        typer.Option("--ask-api", help="Ask TCCC's API about it first; what it says goes the way of every report."),
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything known of one call: pushes, retries, version, recordings, rows, what is missing.

    Where TCCC's API was asked, also what it says beside what was pushed, field by field where they differ.
    """
    from callweave.session_report import report_session

    settings = settings_of(config, data)
    if ask_api:
        _ask_api(settings, sdk_app_id, session_id)
    report = asyncio.run(report_session(settings, sdk_app_id, session_id))
    if as_json:
        print_json(report.as_json())
    else:
        for line in report.lines():
            print(line)
    raise typer.Exit(0 if report.is_known else WRONG)


def _ask_api(settings: Settings, sdk_app_id: int, session_id: str) -> None:
    from callweave.roles.reconcile import reconcile_session
    from callweave.standing import wait_idle

    found, standings = reconcile_session(settings, session_id, [sdk_app_id])
    for problem in filter(None, (standing.problem for standing in standings)):
        say(problem)
    if not found:
        say("the API does not know the session, or its call is not over, or older than the API tells (180 days)")
    elif (pending := asyncio.run(wait_idle(settings, ASK_SECONDS_MAX))) is not None:
        say(f"what the API said is not in the warehouse yet: {pending}")


def snapshot(
    config: ConfigOption = None,
    data: DataOption = None,
    to: Annotated[Path | None, typer.Option("--to", help="Also copy it here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a copy of the DuckDB warehouse now, for BI tools and notebooks: they open the copy, not the warehouse."""
    from callweave.snapshots import publish_snapshot

    published = publish_snapshot(settings_of(config, data), to)
    if as_json:
        print_json({"path": published.path, "bytes": published.bytes_count, "seconds": published.seconds})
    else:
        print(published.path)
        say(f"{published.bytes_count / 2**20:.1f} MiB in {published.seconds:.1f} s")
