"""`status --watch`: the same picture again and again; in place on a terminal, block after block elsewhere."""

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from callweave.standing import Standing


def watch_standing(look: Callable[[], Standing], seconds: float, *, as_json: bool) -> NoReturn:
    """Look and show until Ctrl-C, which is how it ends well. With JSON: one object a line, for programs."""
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                standing = look()
                print(json.dumps(standing.as_json()) if as_json else "\n".join(_lines(standing)), flush=True)
                time.sleep(seconds)
        console = Console()
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while True:
                live.update(_picture(look()), refresh=True)
                time.sleep(seconds)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _lines(standing: Standing) -> list[str]:
    return [f"--- {datetime.now().astimezone():%H:%M:%S}", *standing.lines()]


def _picture(standing: Standing) -> Group:
    head = f"{datetime.now().astimezone():%H:%M:%S}  {'all is well' if standing.is_healthy else 'not well'}"
    style = "bold green" if standing.is_healthy else "bold red"
    return Group(Text(head, style=style), *(Text(line) for line in standing.lines()))
