"""`callweave rebuild`: what the log says, compared with the warehouse and laid down where it differs."""

from typing import TYPE_CHECKING, Annotated

import typer

from callweave.cli.common import WRONG, ConfigOption, DataOption, JsonOption, print_json, print_table, say, settings_of
from callweave.cli.progress import shown_progress
from callweave.rebuild.origin import Origin

if TYPE_CHECKING:
    from callweave.rebuild.run import Rebuilt

_MEANINGS = {
    "equal": "as the log has it",
    "absent": "not in the warehouse",
    "behind": "the warehouse has an older version",
    "different": "same version, other rows",
    "ahead": "the warehouse knows more: left as it is",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rebuild)


def rebuild(
    config: ConfigOption = None,
    data: DataOption = None,
    origin: Annotated[
        Origin,
        typer.Option("--from", help="sessions: the states in the sessions topic; raw: the events, folded anew."),
    ] = Origin.SESSIONS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference, change nothing; exit status 1 where there is one.")
    ] = False,
    list_max: Annotated[int, typer.Option("--list", min=0, help="Name at most so many sessions of each kind.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Fold the log anew, compare it with the warehouse, and replace the sessions that differ. Never drops a row.

    Works beside the running loader. Sessions that the log does not hold stay as they are, and are counted. Whatever
    stops it, run it again.
    """
    from callweave.discretion import discretion_of
    from callweave.rebuild.run import rebuild as run_rebuild
    from callweave.roles.hosting import utc_now

    settings = settings_of(config, data)
    with shown_progress(quiet=as_json) as progress:
        rebuilt = run_rebuild(
            settings,
            origin,
            dry_run=dry_run,
            told_max=list_max,
            now=utc_now,
            progress=progress,
            discretion=discretion_of(settings),
        )
    if as_json:
        print_json(rebuilt.as_json())
    else:
        _show(rebuilt)
    raise typer.Exit(0 if rebuilt.is_well else WRONG)


def _show(rebuilt: "Rebuilt") -> None:
    print_table(
        ["sessions", "finding", "meaning"],
        [[rebuilt.counts[found], found.value, _MEANINGS[found.value]] for found in rebuilt.columns],
    )
    columns = [
        [found.value, column, count]
        for found, counted in rebuilt.columns.items()
        for column, count in counted.most_common()
    ]
    if columns:
        print_table(["finding", "column", "sessions"], columns)
    if rebuilt.told:
        print_table(
            ["sdk_app_id", "session_id", "finding", "columns"],
            [[*told.key, told.finding.value, " ".join(sorted(told.columns))] for told in rebuilt.told],
        )
    if rebuilt.uncovered_told:
        print_table(["sdk_app_id", "session_id not covered by the log"], rebuilt.uncovered_told)
    for key, reason in rebuilt.refused.items():
        say(f"refused: session {key.session_id} of {key.sdk_app_id}: {reason}")
    unusable = rebuilt.read.unusable_count
    if unusable:
        say(f"{unusable} records of the log were of no use: see `callweave dead-letters list`")
    say(
        f"{rebuilt.uncovered_count} sessions of the warehouse are not in the {rebuilt.origin.value} topics any more: "
        "they stay as they are"
    )
    if rebuilt.is_dry:
        say(f"{rebuilt.differing_count} sessions would be replaced; nothing was changed")
        return
    overtaken = f"; the loader was faster at {rebuilt.overtaken_count}" if rebuilt.overtaken_count else ""
    say(f"{rebuilt.replaced_count} of {rebuilt.differing_count} sessions replaced{overtaken}")
