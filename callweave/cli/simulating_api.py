"""The command `simulate-api`: TCCC's API on this machine, knowing all that a ledger's scenario holds."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callweave.cli.common import print_table, say
from callweave.simulator.api.access import DEFAULT_SECRET, Secret
from callweave.simulator.api.faults import API_FAULTS
from callweave.simulator.faults import parse_faults

if TYPE_CHECKING:
    from callweave.simulator.api.server import ApiOptions


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate-api")(simulate_api)


def simulate_api(
    ledger: Annotated[Path | None, typer.Option(help="The ledger of `simulate`: the scenario that is served.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one, which is printed.")] = 0,
    secret_id: Annotated[str, typer.Option(help="Who may ask for every SdkAppId.")] = DEFAULT_SECRET.secret_id,
    secret_key: Annotated[
        str, typer.Option(help="Its key.", envvar="SIMULATE_API_SECRET_KEY")
    ] = DEFAULT_SECRET.secret_key,
    secret: Annotated[
        list[str] | None, typer.Option(metavar="ID:KEY:APP[,APP…]", help="A secret that owns only these SdkAppIds.")
    ] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME=RATE", help="See --list-faults.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed: faults strike the same sessions.")] = 0,
    now: Annotated[float | None, typer.Option(help="UNIX seconds that it takes for now at its start.")] = None,
    clock_skew: Annotated[float, typer.Option(help="Seconds its clock is off where it judges signatures.")] = 0.0,
    visibility_delay: Annotated[float, typer.Option(min=0, help="Seconds after its end until a call is told.")] = 0.0,
    later_seconds: Annotated[float, typer.Option(min=0, help="How long after a call its late fields come.")] = 3_600.0,
    slow_seconds: Annotated[float, typer.Option(min=0, help="How long a slow answer takes.")] = 3.0,
    rate_limit: Annotated[float, typer.Option(min=1, help="Requests a second, for each secret and action.")] = 20.0,
    list_field: Annotated[str, typer.Option(help="Where rows stand: new (TelCdrList), old (TelCdrs), both.")] = "both",
    window_by: Annotated[str, typer.Option(help="Which time a window filters: start or end.")] = "start",
    revoke: Annotated[list[str] | None, typer.Option(help="A SecretId that was revoked.")] = None,
    deny: Annotated[list[int] | None, typer.Option(help="An SdkAppId that nobody is permitted to ask for.")] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Show every fault and exit.")] = False,
) -> None:
    """Serve TCCC's API for its own SDK: what `simulate` pushed, lost or never pushed, this knows."""
    from callweave.simulator.api.server import ApiOptions

    if list_faults:
        print_table(["fault", "what it does"], list(API_FAULTS.items()))
        return
    if ledger is None:
        raise typer.BadParameter("say which scenario to serve: the ledger of `simulate`", param_hint="--ledger")
    if list_field not in {"new", "old", "both"}:
        raise typer.BadParameter("write new, old or both", param_hint="--list-field")
    if window_by not in {"start", "end"}:
        raise typer.BadParameter("write start or end", param_hint="--window-by")
    options = ApiOptions(
        ledger=ledger,
        host=host,
        port=port,
        secrets=(Secret(secret_id, secret_key), *map(_secret, secret or [])),
        now=now,
        clock_skew_seconds=clock_skew,
        faults=parse_faults(fault or [], API_FAULTS),
        seed=seed,
        visibility_delay_seconds=visibility_delay,
        later_seconds=later_seconds,
        slow_seconds=slow_seconds,
        list_field=list_field,
        window_by="end" if window_by == "end" else "start",
        limit_per_second=rate_limit,
        revoked=frozenset(revoke or ()),
        denied=frozenset(deny or ()),
    )
    asyncio.run(_serve(options))


async def _serve(options: "ApiOptions") -> None:
    """Serve until Ctrl-C or SIGTERM; print `ready <endpoint>` once the SDK is welcome."""
    from callweave.simulator.api.server import serve_api

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve_api(options) as server:
        say(f"serving {', '.join(map(str, server.world.sdk_app_ids))} from {options.ledger}; counts at /stats")
        print(f"ready {server.endpoint}", flush=True)
        await stop.wait()


def _secret(text: str) -> Secret:
    secret_id, _, rest = text.partition(":")
    key, _, apps = rest.rpartition(":")
    if not secret_id or not key or not all(app.isdecimal() for app in apps.split(",")):
        raise typer.BadParameter(f"{text!r} is not ID:KEY:APP[,APP…]", param_hint="--secret")
    return Secret(secret_id, key, frozenset(map(int, apps.split(","))))
