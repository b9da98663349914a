"""Commands about the contracts with those who read what callweave writes."""

from pathlib import Path
from typing import Annotated

import typer

from callweave.cli.common import WRONG, ConfigOption, DataOption, print_table, settings_of
from callweave.settings import MisconfiguredError

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


@contracts_app.command("register")
def contracts_register(
    registry: Annotated[
        str | None, typer.Option("--registry", metavar="URL", help="Where it is (default: REGISTRY__URL).")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what is there and what would not be taken.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Register the JSON Schemas in a Confluent-compatible schema registry; exit status 1 where one breaks readers."""
    from callweave.contracts import registry as registries

    settings = settings_of(config, data)
    chosen = registries.registry_of(settings, registry)
    if chosen is None:
        raise MisconfiguredError("no schema registry is named: give --registry URL, or set CALLWEAVE_REGISTRY__URL")
    prefix = settings.kafka.topic_prefix
    found = registries.check(chosen, prefix) if check else list(registries.register(chosen, prefix))
    rows = [[one.subject, one.version, one.problem or ("ok" if one.version else "not registered")] for one in found]
    print_table(["subject", "version", "standing"], rows)
    raise typer.Exit(WRONG if any(one.problem for one in found) else 0)
