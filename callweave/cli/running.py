"""Commands that run: `up`, and one role for one container each. What they need is imported when they are called."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from callweave.cli.common import ConfigOption, DataOption, say, settings_of

SupervisedOption = Annotated[bool, typer.Option("--supervised", hidden=True)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(receiver)
    app.command()(worker)
    app.command()(loader)


def up(config: ConfigOption = None, data: DataOption = None) -> None:
    """Run everything on this machine: broker (unless one is set), topics, and each role that is set up.

    Receiver, worker, loader, and the page unless it is switched off; reconcile, login-tokens and archiver once their
    settings are there.
    Prints one line `ready <push URL>` on standard output once pushes are welcome. Ctrl-C or SIGTERM drains and stops.
    """
    from callweave.supervisor import Supervisor

    settings = settings_of(config, data, role="up")
    supervisor = Supervisor(settings, config=config, say=say, ready=lambda url: print(f"ready {url}", flush=True))
    raise typer.Exit(asyncio.run(supervisor.run()))


def receiver(
    config: ConfigOption = None,
    data: DataOption = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Keep pushes here for later study: numbers, mails, names masked; at most 256 MiB."),
    ] = None,
    supervised: SupervisedOption = False,
) -> None:
    """Run the receiver: takes TCCC's pushes and answers ErrCode 0 once Kafka, or its spool, has them."""
    from callweave.roles.receiver import receiver_role

    settings = settings_of(config, data, role="receiver")
    raise typer.Exit(receiver_role(settings, supervised=supervised, record=record))


def worker(config: ConfigOption = None, data: DataOption = None, supervised: SupervisedOption = False) -> None:
    """Run the worker: joins events into sessions."""
    from callweave.roles.worker import worker_role

    raise typer.Exit(worker_role(settings_of(config, data, role="worker"), supervised=supervised))


def loader(config: ConfigOption = None, data: DataOption = None, supervised: SupervisedOption = False) -> None:
    """Run the loader: writes sessions and dead letters into the warehouse."""
    from callweave.roles.loader import loader_role

    raise typer.Exit(loader_role(settings_of(config, data, role="loader"), supervised=supervised))
