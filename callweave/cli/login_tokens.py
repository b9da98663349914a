"""`callweave login-tokens`: the backend that TCCC's agent SDKs need."""

import typer

from callweave.cli.common import ConfigOption, DataOption, settings_of
from callweave.cli.running import SupervisedOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(login_tokens)


def login_tokens(config: ConfigOption = None, data: DataOption = None, supervised: SupervisedOption = False) -> None:
    """Give TCCC's agent SDKs their login tokens (`POST /loginTCCC`), to callers who may have them."""
    from callweave.roles.login_tokens import login_tokens_role

    raise typer.Exit(login_tokens_role(settings_of(config, data, role="login-tokens"), supervised=supervised))
