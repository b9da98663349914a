"""`callweave erase`: a person's calls, everywhere that callweave can reach; and a receipt that names nobody."""

from typing import Annotated

import typer

from callweave.cli.common import MISUSED, WRONG, ConfigOption, DataOption, JsonOption, print_json, say, settings_of
from callweave.cli.progress import shown_progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(erase)


def erase(
    number: Annotated[list[str] | None, typer.Option(help="A phone number, in any spelling.")] = None,
    mail: Annotated[list[str] | None, typer.Option(help="A mail address: an agent's, for instance.")] = None,
    session: Annotated[
        list[str] | None, typer.Option(metavar="SDK_APP_ID:SESSION_ID", help="One call, whoever it names.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    pseudonymise: Annotated[
        bool,
        typer.Option(
            "--pseudonymise/--remove", help="Keep the calls, without saying whose; or remove them (the default)."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what names them.")] = False,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long worker and loader may take.")] = 120.0,
    as_json: JsonOption = False,
) -> None:
    """Erase a person: from the warehouse, the sessions topic, the worker's state, dead letters and the archive.

    Needs CALLWEAVE_PRIVACY__KEY. What comes later (a retry, the API, a rebuild) stays erased. The raw topics forget by
    their retention; the receipt, in <data>/erasures, says when. Exit status 1 where something is left: run it again.
    """
    from callweave.erasing import Request, receipt_file
    from callweave.erasing import erase as run_erase
    from callweave.roles.hosting import utc_now
    from schemas.suppression import Erasure

    settings = settings_of(config, data)
    request = Request(
        tuple(number or ()),
        tuple(mail or ()),
        tuple(_place(one) for one in session or ()),
        Erasure.PSEUDONYMISED if pseudonymise else Erasure.REMOVED,
    )
    with shown_progress(quiet=as_json) as progress:
        receipt = run_erase(settings, request, dry_run=dry_run, wait_seconds=wait, now=utc_now, progress=progress)
    if as_json:
        print_json(receipt.as_json())
    else:
        for name, value in receipt.as_json().items():
            print(f"{name}: {value}")
    if dry_run:
        say("nothing was changed")
    else:
        say(f"receipt: {receipt_file(settings, receipt)}")
    raise typer.Exit(0 if receipt.is_done else WRONG)


def _place(text: str) -> tuple[int, str]:
    app, colon, session = text.partition(":")
    if not colon or not app.isdigit() or not session:
        say(f"callweave: --session {text!r} is no call: write SDK_APP_ID:SESSION_ID")
        raise typer.Exit(MISUSED)
    return int(app), session
