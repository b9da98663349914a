"""Commands for operators: topics, doctor, dead letters."""

import asyncio
from typing import Annotated

import typer

from callweave.cli.common import (
    MISUSED,
    WRONG,
    ConfigOption,
    DataOption,
    JsonOption,
    print_json,
    print_table,
    say,
    settings_of,
)

topics_app = typer.Typer(help="The topics on the broker.", no_args_is_help=True)
letters_app = typer.Typer(help="What could not be used, kept whole.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topics_app, name="topics")
    app.add_typer(letters_app, name="dead-letters")
    app.command()(doctor)


@topics_app.command("apply")
def topics_apply(config: ConfigOption = None, data: DataOption = None) -> None:
    """Create the topics that are missing; existing ones are left as they are."""
    from callweave.topics import apply_topics

    created = asyncio.run(apply_topics(settings_of(config, data)))
    say(f"created {', '.join(created)}" if created else "all topics exist")


@topics_app.command("check")
def topics_check(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Compare every topic with what it must be; exit status 1 on any difference."""
    from callweave.topics import check_topics

    findings = asyncio.run(check_topics(settings_of(config, data)))
    if as_json:
        print_json([{"topic": f.name, "partitions": f.partitions, "problem": f.problem} for f in findings])
    else:
        print_table(["topic", "partitions", "problem"], [[f.name, f.partitions, f.problem or "ok"] for f in findings])
    raise typer.Exit(WRONG if any(finding.problem for finding in findings) else 0)


def doctor(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check broker, topics, partition counts, warehouse, clock, disk and credentials; exit status 1 on any fault."""
    from callweave.doctor import examine

    findings = examine(settings_of(config, data))
    if as_json:
        print_json([{"check": f.check, "ok": f.is_ok, "finding": f.finding} for f in findings])
    else:
        for finding in findings:
            mark = "ok   " if finding.is_ok else "FAULT"
            print(f"{mark} {finding.check}: {finding.finding}")
    raise typer.Exit(0 if all(finding.is_ok for finding in findings) else WRONG)


@letters_app.command("list")
def letters_list(
    config: ConfigOption = None,
    data: DataOption = None,
    reason: Annotated[str | None, typer.Option(help="Only letters with this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, the newest last."""
    from callweave.letters import read_letters

    letters = [
        seen for seen in asyncio.run(read_letters(settings_of(config, data))) if reason in (None, seen.letter.reason)
    ]
    shown = letters[-limit:]
    if as_json:
        print_json([seen.summary() for seen in shown])
        return
    print_table(
        ["dead_letter_id", "occurred_at", "seen", "stage", "reason", "action", "bytes", "detail"],
        [list(seen.summary().values()) for seen in shown],
    )
    if len(shown) < len(letters):
        say(f"the newest {len(shown)} of {len(letters)}; --limit shows more")


@letters_app.command("show")
def letters_show(
    dead_letter_id: Annotated[str, typer.Argument(help="The id, or its first characters.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one letter whole, with its bytes."""
    from callweave.letters import read_letters

    found = [
        seen
        for seen in asyncio.run(read_letters(settings_of(config, data)))
        if seen.letter.dead_letter_id.startswith(dead_letter_id)
    ]
    if len(found) != 1:
        say(f"callweave: {len(found)} dead letters begin with {dead_letter_id!r}: see `callweave dead-letters list`")
        raise typer.Exit(WRONG if not found else MISUSED)
    whole = found[0].whole()
    if as_json:
        print_json(whole)
        return
    for name, value in whole.items():
        print(f"{name}: {value}")
