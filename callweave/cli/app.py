"""The root command, and how errors end: one sentence on standard error, and the status of contract.md part 2."""

import sys
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from callweave import __version__
from callweave.broker.jars import BrokerUnavailable
from callweave.cli import (
    archiving,
    completing,
    contracts,
    letters,
    login_tokens,
    looking,
    operating,
    reconciling,
    running,
    simulating_api,
    trying,
    warehousing,
)
from callweave.cli.common import MISUSED, WRONG, say
from callweave.settings import MisconfiguredError
from callweave.simulator.faults import FaultError
from callweave.simulator.ledger import LedgerError
from callweave.simulator.run import SimulationError
from sinks.sink import MisconfiguredError as SinkMisconfiguredError
from sinks.sink import QueryRefusedError, SinkUnavailableError

app = typer.Typer(
    name="callweave",
    help="Turns Tencent Cloud Contact Center data pushes into warehouse tables that people can trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
running.register(app)
reconciling.register(app)
login_tokens.register(app)
archiving.register(app)
operating.register(app)
letters.register(app)
looking.register(app)
completing.register(app)
trying.register(app)
simulating_api.register(app)
contracts.register(app)
warehousing.register(app)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"callweave {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Turn Tencent Cloud Contact Center data pushes into warehouse tables that people can trust."""


def main() -> None:
    """Run the command line."""
    try:
        app(standalone_mode=True)
    except (MisconfiguredError, SinkMisconfiguredError, FaultError, SimulationError, LedgerError) as exc:
        _end(str(exc), MISUSED)
    except (SinkUnavailableError, QueryRefusedError, BrokerUnavailable) as exc:
        _end(str(exc), WRONG)
    except KafkaError as exc:
        _end(f"Kafka does not answer: {exc}; check CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS, or `callweave doctor`", WRONG)


def _end(sentence: str, status: int) -> None:
    say(f"callweave: {sentence}")
    sys.exit(status)
