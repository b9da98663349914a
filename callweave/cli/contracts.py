"""Commands about the contracts with those who read what callweave writes."""

from pathlib import Path
from typing import Annotated

import typer

contracts_app = typer.Typer(help="The contracts, as files for people and programs.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(contracts_app, name="contracts")


@contracts_app.command("export")
def contracts_export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")],
) -> None:
    """Write JSON Schemas, AsyncAPI, OpenAPI, the data dictionary, and the pages of metrics and numbers."""
    from callweave.contracts.export import export_contracts

    if directory.exists() and not directory.is_dir():
        raise typer.BadParameter(f"{directory} is a file: name a directory", param_hint="DIR")
    for path in export_contracts(directory):
        print(path)
