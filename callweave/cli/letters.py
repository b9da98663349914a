"""`callweave dead-letters`: what could not be used, kept whole: list it, look at it, try it again."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from callweave.cli.common import (
    MISUSED,
    WRONG,
    ConfigOption,
    DataOption,
    JsonOption,
    err,
    print_json,
    print_table,
    say,
    settings_of,
)
from callweave.settings import Settings
from schemas.dead_letter import Reason, Stage

if TYPE_CHECKING:
    from callweave.letters import LetterFilter, SeenLetter
    from callweave.replay import Replay

letters_app = typer.Typer(help="What could not be used, kept whole.", no_args_is_help=True)

ReasonOption = Annotated[Reason | None, typer.Option(help="Only letters with this reason.", case_sensitive=False)]
StageOption = Annotated[Stage | None, typer.Option(help="Only letters of this stage.", case_sensitive=False)]
TopicOption = Annotated[str | None, typer.Option(help="Only about records of this topic, with or without prefix.")]
ActionOption = Annotated[str | None, typer.Option(help="Only pushes with this action.")]
SinceOption = Annotated[str | None, typer.Option(help="Only seen since: 2026-11-24T03:55Z, or 90m, 12h, 7d ago.")]
UntilOption = Annotated[str | None, typer.Option(help="Only seen until: likewise.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(letters_app, name="dead-letters")


@letters_app.command("list")
def letters_list(
    config: ConfigOption = None,
    data: DataOption = None,
    reason: ReasonOption = None,
    stage: StageOption = None,
    topic: TopicOption = None,
    action: ActionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    counts: Annotated[bool, typer.Option("--counts", help="How many of each reason, instead of the letters.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, the newest last."""
    from callweave.letters import counts_by_reason

    wanted = _filter(reason, stage, topic, action, since, until)
    letters = [seen for seen in _read(settings_of(config, data)) if wanted.takes(seen)]
    if counts:
        rows = counts_by_reason(letters)
        if as_json:
            print_json(rows)
        else:
            print_table(["reason", "stage", "action", "letters", "seen"], [list(row.values()) for row in rows])
        return
    shown = [seen.summary() for seen in letters[-limit:]]
    if as_json:
        print_json(shown)
        return
    columns = ["dead_letter_id", "last_seen_at", "seen_count", "stage", "reason", "action", "replay_outcome", "detail"]
    print_table(columns, [[line[column] for column in columns] for line in shown])
    if len(shown) < len(letters):
        say(f"the newest {len(shown)} of {len(letters)}; --limit shows more")


@letters_app.command("show")
def letters_show(
    dead_letter_id: Annotated[str, typer.Argument(help="The id, or its first characters.")],
    config: ConfigOption = None,
    data: DataOption = None,
    raw: Annotated[bool, typer.Option("--raw", help="Nothing but the bytes, as they are, for a pipe.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one letter whole: its bytes, its headers, why it could not be used, and what to do."""
    from callweave.letters import hex_lines, text_of

    if raw and as_json:
        say("callweave: --raw and --json exclude each other: choose one")
        raise typer.Exit(MISUSED)
    seen = _one(_read(settings_of(config, data)), dead_letter_id)
    body = seen.letter.raw
    if raw:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    whole = seen.whole()
    if as_json:
        print_json(whole)
        return
    for name in ("headers", "raw", "raw_base64", "advice"):
        del whole[name]
    for name, value in whole.items():
        if value is not None:
            print(f"{name}: {value}")
    print(f"what to do: {seen.advice}")
    for name, value in seen.letter.headers.items():
        print(f"header {name}: {value}")
    text = text_of(body)
    kept = f"the first {len(body)} of {seen.letter.raw_bytes_count} bytes" if seen.letter.is_cut else "the bytes"
    print(f"{kept}, {'as text' if text is not None else 'in hex'}:")
    print(text if text is not None else "\n".join(hex_lines(body)))


@letters_app.command("replay")
def letters_replay(
    dead_letter_ids: Annotated[list[str] | None, typer.Argument(help="Ids, or their first characters.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    reason: ReasonOption = None,
    stage: StageOption = None,
    topic: TopicOption = None,
    action: ActionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen now, and do nothing.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the loader's answer (stage load).")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Put letters through the same code again; exit status 1 if any failed again. Twice is as good as once."""
    from callweave.letters import LetterFilter
    from callweave.replay import replay_letters
    from callweave.roles.hosting import utc_now
    from ingest.push_log import LogUnavailable

    wanted = _filter(reason, stage, topic, action, since, until)
    if not dead_letter_ids and wanted == LetterFilter():
        say("callweave: which letters? Name ids, or a --reason; see `callweave dead-letters list --counts`")
        raise typer.Exit(MISUSED)
    settings = settings_of(config, data)
    letters = _read(settings)
    chosen = [_one(letters, wished) for wished in dict.fromkeys(dead_letter_ids)] if dead_letter_ids else letters
    chosen = [seen for seen in chosen if wanted.takes(seen)]
    with _progress() as progress:
        try:
            replays = asyncio.run(
                replay_letters(settings, chosen, now=utc_now(), dry_run=dry_run, answer_seconds=wait, progress=progress)
            )
        except LogUnavailable as exc:
            say(f"callweave: {exc}; replay again when Kafka is back: what was replayed already changes nothing")
            raise typer.Exit(WRONG) from exc
    failed = [replay for replay in replays if replay.failed or (replay.outcome is None and not dry_run)]
    if as_json:
        print_json([replay.summary(dry_run=dry_run) for replay in replays])
    else:
        rows = [list(replay.summary(dry_run=dry_run).values()) for replay in replays]
        print_table(["dead_letter_id", "stage", "reason", "outcome"], rows)
    say(_summary(replays, dry_run=dry_run))
    raise typer.Exit(WRONG if failed else 0)


def _summary(replays: "Sequence[Replay]", *, dry_run: bool) -> str:
    if not replays:
        return "no such letters"
    counts = Counter("ASKED" if replay.outcome is None else replay.outcome.value for replay in replays)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    if dry_run:
        return f"{len(replays)} letters, nothing was done: {told}"
    unanswered = " (the loader has not answered yet: see replay_outcome in the table)" if counts["ASKED"] else ""
    return f"{len(replays)} letters: {told}{unanswered}"


def _filter(
    reason: Reason | None,
    stage: Stage | None,
    topic: str | None,
    action: str | None,
    since: str | None,
    until: str | None,
) -> "LetterFilter":
    from callweave.letters import LetterFilter, moment_of
    from callweave.roles.hosting import utc_now

    return LetterFilter(
        reason=reason,
        stage=stage,
        topic=topic,
        action=action,
        since=None if since is None else moment_of(since, "--since", utc_now()),
        until=None if until is None else moment_of(until, "--until", utc_now()),
    )


def _read(settings: Settings) -> "list[SeenLetter]":
    from callweave.letters import read_letters

    with _progress() as progress:
        return asyncio.run(read_letters(settings, lambda done, total: progress("reading letters", done, total)))


def _one(letters: "Sequence[SeenLetter]", wished: str) -> "SeenLetter":
    found = [seen for seen in letters if seen.letter.dead_letter_id.startswith(wished)]
    if len(found) != 1:
        say(f"callweave: {len(found)} dead letters begin with {wished!r}: see `callweave dead-letters list`")
        raise typer.Exit(WRONG if not found else MISUSED)
    return found[0]


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal; nothing otherwise: the summary says it, and nothing here takes hours."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
