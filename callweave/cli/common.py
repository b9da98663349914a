"""What all commands share: where settings come from, how an end is worded, tables for people and JSON for programs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from callweave.logs import configure_logs
from callweave.settings import Settings, load_settings

WRONG = 1
"""The work itself found something wrong."""
MISUSED = 2
"""Wrong usage or settings."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file (default: callweave.toml here, if there is one).")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data directory: all state, and runtime.json (default ./callweave-data).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


def settings_of(config: Path | None, data: Path | None, *, role: str = "cli") -> Settings:
    """Read the settings and set up the logs."""
    settings = load_settings(config, data_dir=data)
    configure_logs(settings.log, role)
    return settings


def say(message: str) -> None:
    """Tell a person, on standard error, so that standard output stays a program's."""
    err.print(message, markup=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    out.print(json.dumps(value, ensure_ascii=False, default=str, indent=2 if out.is_terminal else None), markup=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """A table on a terminal, tab-separated lines otherwise."""
    if not out.is_terminal:
        print("\t".join(columns))
        for row in rows:
            print("\t".join("" if cell is None else str(cell) for cell in row))
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    out.print(table)
