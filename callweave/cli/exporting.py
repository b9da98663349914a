"""`callweave export`: days of the tables as files."""

from datetime import date, timedelta
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
from callweave.cli.progress import shown_progress
from callweave.export_format import Format

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from schemas.columns import Table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    config: ConfigOption = None,
    data: DataOption = None,
    day: Annotated[str | None, typer.Option("--date", help="One day: 2026-11-24, or yesterday.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="The first of several days.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last of them (included).")] = None,
    kind: Annotated[Format, typer.Option("--format", help="What the files are.")] = Format.PARQUET,
    out: Annotated[Path, typer.Option("--out", help="Where the days' folders go.")] = Path("callweave-export"),
    tables: Annotated[list[str] | None, typer.Option("--table", help="Only this table; may be repeated.")] = None,
    time_zone: Annotated[str, typer.Option("--time-zone", help="Whose days: UTC, Asia/Shanghai, …")] = "UTC",
    as_sent: Annotated[
        bool, typer.Option("--as-sent", help="CSV: leave cells alone that a spreadsheet takes for formulas.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a day of every table as Parquet or CSV, with a manifest of rows and digests; works while the loader runs.

    A session and all that is of it belong to the day on which it started. Times in the files are UTC.
    """
    from callweave.exporting import Wish, export_days
    from callweave.roles.hosting import utc_now

    settings = settings_of(config, data)
    today = utc_now().astimezone(_zone(time_zone)).date()
    days = _days(day, first, last, today)
    wish = Wish(_tables(tables), kind, time_zone, guards_formulas=not as_sent)
    with shown_progress(quiet=as_json) as progress:
        exported = export_days(settings, days, out, wish, now=utc_now, progress=progress)
    if as_json:
        print_json([str(done.folder) for done in exported])
        return
    print_table(
        ["day", "table", "rows", "bytes", "file"],
        [
            [done.day, file.table, file.rows_count, file.bytes_count, file.path]
            for done in exported
            for file in done.files
        ],
    )
    for done in exported:
        if not done.is_settled:
            say(
                f"{done.day}: its sessions changed at every reading; a session's rows may be of two of its versions: "
                "export it again when less arrives"
            )


def _days(day: str | None, first: str | None, last: str | None, today: date) -> list[date]:
    if (day is None) == (first is None and last is None):
        raise _misused("say which days: --date 2026-11-24, or --from and --to")
    if day is not None:
        return [_day(day, "--date", today)]
    begin = _day(first or "", "--from", today)
    end = today if last is None else _day(last, "--to", today)
    if end < begin:
        raise _misused(f"--to {end} is before --from {begin}: turn them round")
    return [begin + timedelta(days=number) for number in range((end - begin).days + 1)]


def _day(text: str, option: str, today: date) -> date:
    named = {"today": today, "yesterday": today - timedelta(days=1)}.get(text.strip())
    try:
        return named or date.fromisoformat(text)
    except ValueError:
        raise _misused(f"{option} {text!r} is no day: write 2026-11-24, today, or yesterday") from None


def _zone(name: str) -> "ZoneInfo":
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _misused(f"--time-zone {name!r} is not known here: write UTC, or a name such as Asia/Shanghai") from None


def _tables(wished: list[str] | None) -> "tuple[Table, ...]":
    from schemas.columns import TABLES

    known = {table.name: table for table in TABLES}
    unknown = [name for name in wished or () if name not in known]
    if unknown:
        raise _misused(f"there is no table {unknown[0]}: choose of {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(wished or known))


def _misused(sentence: str) -> typer.Exit:
    say(f"callweave: {sentence}")
    return typer.Exit(MISUSED)
