"""The root command, and how errors end: one sentence on standard error, and the status of contract.md part 2."""

import sys
from typing import Annotated

import typer

from callweave import __version__
from callweave.cli import (
    archiving,
    completing,
    contracts,
    dashboard,
    erasing,
    exporting,
    letters,
    login_tokens,
    looking,
    operating,
    rebuilding,
    reconciling,
    reporting,
    running,
    simulating_api,
    trying,
    warehousing,
)
from callweave.cli.common import MISUSED, WRONG, say

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
dashboard.register(app)
operating.register(app)
letters.register(app)
looking.register(app)
completing.register(app)
trying.register(app)
simulating_api.register(app)
contracts.register(app)
warehousing.register(app)
rebuilding.register(app)
reporting.register(app)
erasing.register(app)
exporting.register(app)


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


_ENDINGS = (
    ("callweave.settings", "MisconfiguredError", MISUSED),
    ("sinks.sink", "MisconfiguredError", MISUSED),
    ("callweave.simulator.faults", "FaultError", MISUSED),
    ("callweave.simulator.run", "SimulationError", MISUSED),
    ("callweave.simulator.ledger", "LedgerError", MISUSED),
    ("sinks.sink", "SinkUnavailableError", WRONG),
    ("sinks.sink", "QueryRefusedError", WRONG),
    ("callweave.broker.jars", "BrokerUnavailable", WRONG),
    ("callweave.contracts.registry", "RegistryError", WRONG),
    ("aiokafka.errors", "KafkaError", WRONG),
)
"""Errors that end in a sentence, by name: what nobody imported nobody raises, and a role imports only what it needs."""


def main() -> None:
    """Run the command line."""
    try:
        app(standalone_mode=True)
    except Exception as exc:
        ending = _ending_of(exc)
        if ending is None:
            raise
        _end(*ending)


def _ending_of(error: Exception) -> tuple[str, int] | None:
    for module, name, status in _ENDINGS:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            if name == "KafkaError":
                advice = "check CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS, or `callweave doctor`"
                return f"Kafka does not answer: {error}; {advice}", status
            return str(error), status
    return None


def _end(sentence: str, status: int) -> None:
    say(f"callweave: {sentence}")
    sys.exit(status)
