"""How far long work is: a bar on a terminal, a line now and then otherwise."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from callweave.cli.common import err, say

LINE_SECONDS = 10.0


@contextmanager
def shown_progress(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """What is being done, how much of it is done, of how much: on standard error."""
    if not err.is_terminal:
        yield (lambda _what, _done, _total: None) if quiet else _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _lines() -> Callable[[str, int, int], None]:
    told_at: dict[str, float] = {}

    def line(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        # Its beginning and its end always; in between so rarely that a log stays readable.
        if what in told_at and done < total and now - told_at[what] < LINE_SECONDS:
            return
        told_at[what] = now
        say(f"{what}: {done:,} of {total:,}")

    return line
