"""`status --watch`: the same picture again and again; in place on a terminal, block after block elsewhere."""

import json
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from callweave.standing import Standing


def watch_standing(look: Callable[[], Standing], seconds: float, *, as_json: bool) -> NoReturn:
    """Look and show until Ctrl-C, which is how it ends well. With JSON: one object a line, for programs."""
    stop = threading.Event()
    # A handler of our own: asyncio's would cancel the look that is under way, and aiokafka swallows cancellations.
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    if as_json or not sys.stdout.isatty():
        while not stop.is_set():
            standing = look()
            print(json.dumps(standing.as_json()) if as_json else "\n".join(_lines(standing)), flush=True)
            stop.wait(seconds)
    else:
        with Live(auto_refresh=False) as live:
            while not stop.is_set():
                live.update(_picture(look()), refresh=True)
                stop.wait(seconds)
    raise typer.Exit(0)


def _lines(standing: Standing) -> list[str]:
    return [f"--- {datetime.now().astimezone():%H:%M:%S}", *standing.lines()]


def _picture(standing: Standing) -> Group:
    head = f"{datetime.now().astimezone():%H:%M:%S}  {'all is well' if standing.is_healthy else 'not well'}"
    style = "bold green" if standing.is_healthy else "bold red"
    return Group(Text(head, style=style), *(Text(line) for line in standing.lines()))
