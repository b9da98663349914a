"""`callweave dashboard`: the page people look at."""

import typer

from callweave.cli.common import ConfigOption, DataOption, settings_of
from callweave.cli.running import SupervisedOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dashboard)


def dashboard(config: ConfigOption = None, data: DataOption = None, supervised: SupervisedOption = False) -> None:
    """Serve the page: today's calls, the pipeline's health, and any one call; read-only, beside everything else."""
    from callweave.roles.dashboard import dashboard_role

    raise typer.Exit(dashboard_role(settings_of(config, data, role="dashboard"), supervised=supervised))
