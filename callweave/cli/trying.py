"""Commands to try it and to prove it: `simulate`, `verify`, `demo`."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from callweave.cli.common import WRONG, ConfigOption, DataOption, JsonOption, print_json, print_table, settings_of
from callweave.simulator.oauth import TokenAuth, TokenRequest


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(simulate)
    app.command()(verify)
    app.command()(demo)


def simulate(
    url: Annotated[str, typer.Option("--url", help="The push address, as in TCCC's console.")] = "",
    sessions: Annotated[int, typer.Option(min=1, help="How many sessions to invent.")] = 200,
    days: Annotated[int, typer.Option(min=1, help="Over how many days before now.")] = 3,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Pushes a second at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed invents the same sessions.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME=RATE", help="See --list-faults.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="Where to leave what was sent: the truth for `verify`.")] = None,
    again: Annotated[Path | None, typer.Option(help="Push this ledger again, shuffled, under new UUIDs.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Pushes under way at a time.")] = 16,
    retry_pause: Annotated[float, typer.Option(min=0, help="Seconds before an unanswered push comes again.")] = 1.0,
    user: Annotated[str | None, typer.Option(help="Basic auth: the user.")] = None,
    password: Annotated[str | None, typer.Option(help="Basic auth: the password.", envvar="SIMULATE_PASSWORD")] = None,
    token_url: Annotated[str | None, typer.Option(help="OAuth 2.0: where tokens are fetched.")] = None,
    client_id: Annotated[str | None, typer.Option(help="OAuth 2.0: the client id.")] = None,
    client_secret: Annotated[
        str | None, typer.Option(help="OAuth 2.0: the secret.", envvar="SIMULATE_CLIENT_SECRET")
    ] = None,
    client_auth: Annotated[TokenAuth, typer.Option(help="OAuth 2.0: how the client says who it is.")] = "form",
    insecure: Annotated[bool, typer.Option("--insecure", help="Take any TLS certificate.")] = False,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Show every fault and exit.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Push calls as TCCC would, with its retries and its faults. The ledger is what was sent, and the truth."""
    from callweave.cli.simulating import report_lines, simulate_visibly
    from callweave.simulator.faults import FAULTS, parse_faults
    from callweave.simulator.run import SimulationOptions, SimulationReport

    if list_faults:
        print_table(["fault", "what it does"], list(FAULTS.items()))
        return
    if not url:
        raise typer.BadParameter("say where to push: --url http://127.0.0.1:8080/tccc/push", param_hint="--url")
    options = SimulationOptions(
        url=url,
        sessions=sessions,
        days=days,
        seed=seed,
        faults=parse_faults(fault or []),
        ledger=ledger,
        again=again,
        rate=rate,
        concurrency=concurrency,
        retry_pause_seconds=retry_pause,
        user=user,
        password=password,
        token=_token_request(token_url, client_id, client_secret, client_auth),
        verify_tls=not insecure,
    )
    report = asyncio.run(simulate_visibly(options))
    if as_json:
        print_json({name: getattr(report, name) for name in SimulationReport.__dataclass_fields__})
    else:
        for line in report_lines(report):
            print(line)
    raise typer.Exit(WRONG if report.given_up else 0)


def _token_request(
    url: str | None, client_id: str | None, client_secret: str | None, auth: TokenAuth
) -> TokenRequest | None:
    if url is None and client_id is None:
        return None
    if not (url and client_id and client_secret):
        raise typer.BadParameter(
            "--token-url, --client-id and --client-secret (or SIMULATE_CLIENT_SECRET) go together: give all three"
        )
    return TokenRequest(url=url, client_id=client_id, client_secret=client_secret, auth=auth)


def verify(
    ledger: Annotated[Path, typer.Option(help="The ledger of `simulate`.", exists=True, dir_okay=False)],
    reconciled: Annotated[
        bool, typer.Option("--reconciled", help="Demand what the API of `simulate-api` knows too.")
    ] = False,
    absent_after_hours: Annotated[
        float, typer.Option(min=0, help="With --reconciled: when a recording without an address counts as absent.")
    ] = 24.0,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the warehouse with a ledger; print each difference, exit status 1 on any."""
    from callweave.reading import open_questions
    from callweave.simulator.reconciled import Reconciliation
    from callweave.verify import compare

    reconciliation = None
    if reconciled:
        reconciliation = Reconciliation(asked_at=datetime.now(UTC), absent_after=timedelta(hours=absent_after_hours))
    with open_questions(settings_of(config, data)) as questions:
        verification = compare(
            ledger, lambda statement: questions.ask(statement).dicts(), reconciliation=reconciliation
        )
    if as_json:
        differences = [
            {"kind": difference.kind, "key": difference.key, "message": difference.message}
            for difference in verification.differences
        ]
        print_json({"ok": verification.ok, "differences": differences})
    else:
        for line in verification.lines():
            print(line)
    raise typer.Exit(0 if verification.ok else WRONG)


def demo(
    sessions: Annotated[int, typer.Option(min=1, help="How many sessions to push.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed invents the same sessions.")] = 2020,
    rate: Annotated[float, typer.Option(min=0, help="Pushes a second; 0: as fast as they are answered.")] = 250,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Start everything, push calls with every kind of trouble, and prove that the warehouse has them all."""
    from callweave.demo import run_demo

    settings = settings_of(config, data or Path("callweave-demo"), role="demo")
    raise typer.Exit(asyncio.run(run_demo(settings, config=config, sessions=sessions, seed=seed, rate=rate or None)))
