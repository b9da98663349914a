"""`callweave warehouse …`: what people do to a warehouse by hand."""

import typer

from callweave.cli.common import ConfigOption, DataOption, JsonOption, print_json, say, settings_of

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
