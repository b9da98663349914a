"""`callweave reconcile`: for ever, or once for a span of time or a session."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from callweave.cli.common import WRONG, ConfigOption, DataOption, JsonOption, err, print_json, say, settings_of
from callweave.cli.running import SupervisedOption
from callweave.cli.times import read_time
from callweave.settings import Settings
from ingest.reconcile.standing import Standing

PLAIN_PROGRESS_STEPS = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    first: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Read once, from here: 2026-11-24, …T08:00, or 30d.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to here (default: now).")] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="Read one session, now.")] = None,
    sdk_app_id: Annotated[
        list[int] | None, typer.Option("--app", metavar="SDK_APP_ID", help="With --session: ask only these.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="With --from: hours that are final, too.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
    supervised: SupervisedOption = False,
) -> None:
    """Ask TCCC's API what happened, and repair what pushes lost. Without --from or --session: for ever.

    A reading with --from that was interrupted goes on where it was when it is started again.
    """
    from callweave.roles.reconcile import reconcile_role, reconcile_session

    settings = settings_of(config, data, role="reconcile")
    if session is not None:
        if first or last or again:
            raise typer.BadParameter("--session asks for one call: leave --from, --to and --again out")
        found, standings = reconcile_session(settings, session, sdk_app_id or [])
        _end_session(session, found, standings, as_json=as_json)
    if sdk_app_id:
        raise typer.BadParameter("--app goes with --session", param_hint="--app")
    if first is None:
        if last or again:
            raise typer.BadParameter("say from where: --from 30d", param_hint="--from")
        raise typer.Exit(reconcile_role(settings, supervised=supervised))
    now = datetime.now(UTC)
    begin, end = read_time(first, now, "--from"), now if last is None else read_time(last, now, "--to")
    if begin >= end:
        raise typer.BadParameter("--from must be before --to", param_hint="--from")
    _read_span(settings, begin, end, again=again, as_json=as_json)


def _read_span(settings: Settings, begin: datetime, end: datetime, *, again: bool, as_json: bool) -> None:
    from callweave.roles.reconcile import reconcile_span

    if err.is_terminal:
        columns = (
            TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("hours"),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("reading", total=None)
            standings, is_all = reconcile_span(
                settings,
                begin,
                end,
                again=again,
                tell=lambda done, total: bar.update(task, completed=done, total=total),
            )
    else:
        standings, is_all = reconcile_span(settings, begin, end, again=again, tell=_plain_progress())
    if as_json:
        print_json({"complete": is_all, "applications": [_as_json(standing) for standing in standings]})
    else:
        for standing in standings:
            print(_line(standing))
            if standing.problem:
                say(standing.problem)
        if not is_all:
            say("interrupted: the same command goes on where it was")
    raise typer.Exit(0 if is_all and not any(s.hours_failed or s.problem for s in standings) else WRONG)


def _end_session(session: str, found: dict[int, int], standings: Sequence[Standing], *, as_json: bool) -> None:
    problems = [standing.problem for standing in standings if standing.problem]
    if as_json:
        print_json(
            {"session": session, "events": {str(app): count for app, count in found.items()}, "problems": problems}
        )
    else:
        for app, count in found.items():
            print(f"SdkAppId {app} knows it: {count} events published")
        for problem in problems:
            say(problem)
        if not found:
            say("no application knows the session, or its call is not over, or older than the API tells (180 days)")
    raise typer.Exit(0 if found else WRONG)


def _plain_progress() -> Callable[[int, int], None]:
    shown = -1

    def tell(done: int, total: int) -> None:
        nonlocal shown
        step = done * PLAIN_PROGRESS_STEPS // max(1, total)
        if step > shown:
            shown = step
            say(f"read {done} of {total} hours")

    return tell


def _line(standing: Standing) -> str:
    unsettled = f", {standing.hours_unsettled} whose count did not stand still" if standing.hours_unsettled else ""
    failed = f", {standing.hours_failed} failed" if standing.hours_failed else ""
    return (
        f"SdkAppId {standing.sdk_app_id}: {standing.hours_done} hours read{unsettled}{failed}; "
        f"{standing.rows} sessions, {standing.events_published} events published"
    )


def _as_json(standing: Standing) -> dict[str, object]:
    names = ("sdk_app_id", "hours_done", "hours_unsettled", "hours_failed", "rows", "events_published", "problem")
    return {name: getattr(standing, name) for name in names}
