"""`callweave warehouse …`: what people do to a warehouse by hand."""

from typing import Annotated

import typer

from callweave.cli.common import WRONG, ConfigOption, DataOption, JsonOption, print_json, say, settings_of

warehouse_app = typer.Typer(help="The warehouse itself.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(warehouse_app, name="warehouse")


@warehouse_app.command("compact")
def warehouse_compact(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Merge small files of a DuckLake or Parquet warehouse now; the loader does so by itself when nothing arrives."""
    from callweave.housekeeping import compact_warehouse

    done = compact_warehouse(settings_of(config, data))
    if as_json:
        print_json({"merged": done.merged_count, "made": done.files_made, "removed": done.removed_count})
    else:
        say(f"merged {done.merged_count} files into {done.files_made}; removed {done.removed_count} replaced earlier")


@warehouse_app.command("apply")
def warehouse_apply(
    config: ConfigOption = None,
    data: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the exact statements, for a DBA's own client, and change nothing.")
    ] = False,
) -> None:
    """Create and upgrade tables, views and comments; only adds. The loader does so by itself (WAREHOUSE__MIGRATE)."""
    from callweave.migrating import apply_migration, pending_migration

    settings = settings_of(config, data)
    migration = pending_migration(settings) if dry_run else apply_migration(settings)
    if dry_run:
        print(migration.script, end="")
    if not migration.is_needed:
        say("the warehouse is as it must be: nothing to do")
    elif dry_run:
        say(f"nothing was changed; without --dry-run this {migration.summary}, and is noted in callweave_migrations")
    else:
        say(f"done: this {migration.summary}")


@warehouse_app.command("check")
def warehouse_check(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Compare the warehouse's tables and views with what this callweave needs; exit status 1 where it lacks any."""
    from callweave.migrating import last_migration, pending_migration

    settings = settings_of(config, data)
    migration = pending_migration(settings)
    last = last_migration(settings)
    if as_json:
        at, by = last or (None, None)
        print_json({"pending": list(migration.statements), "last_applied_at": at, "last_program_version": by})
    elif migration.is_needed:
        say(f"an upgrade is due, which {migration.summary}: `callweave warehouse apply` does it (--dry-run shows it)")
    else:
        since = f"; last changed {last[0]} by callweave {last[1]}" if last else ""
        say(f"the warehouse is as it must be{since}")
    raise typer.Exit(WRONG if migration.is_needed else 0)
