"""Commands for operators: topics, doctor."""

import asyncio
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from callweave.cli.common import (
    WRONG,
    ConfigOption,
    DataOption,
    JsonOption,
    print_json,
    print_table,
    say,
    settings_of,
)
from callweave.cli.progress import shown_progress
from callweave.settings import Settings

topics_app = typer.Typer(help="The topics on the broker.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topics_app, name="topics")
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


@topics_app.command("copy")
def topics_copy(
    from_prefix: Annotated[str, typer.Argument(help="The prefix of the topics to read: tccc.")],
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Copy what topics of another prefix hold into this one's, for another number of partitions (docs/scaling.md)."""
    from callweave.moving import copy_topics

    with shown_progress() as progress:
        copied = asyncio.run(copy_topics(settings_of(config, data), from_prefix, progress))
    for name, count in copied.items():
        print(f"{name}: {count} records")


@topics_app.command("revive")
def topics_revive(
    state_dir: Annotated[Path, typer.Argument(help="A worker's state directory, from before the topic was lost.")],
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Publish what a worker's disk knows of every session, after Kafka lost the sessions topic (docs/scaling.md).

    All workers are stopped meanwhile. Several workers: once for each one's directory.
    """
    from callweave.reviving import revive_sessions

    with shown_progress() as progress:
        count = asyncio.run(revive_sessions(settings_of(config, data), state_dir, progress))
    print(f"{count} sessions revived; start the workers")


@topics_app.command("acls")
def topics_acls(
    config: ConfigOption = None,
    data: DataOption = None,
    principal_prefix: Annotated[
        str, typer.Option(help="Each role's principal is this and the role's name: with TLS, for example User:CN=.")
    ] = "User:callweave-",
    apply: Annotated[bool, typer.Option("--apply", help="Give them; else they are only shown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what each role may do in Kafka and nothing more, as calls of kafka-acls.sh; or give it.

    The calls read the variables BOOTSTRAP (the brokers) and CONFIG (a file with the credentials of a Kafka admin).
    """
    from callweave.acls import acls_of, apply_acls

    settings = settings_of(config, data)
    acls = acls_of(settings)
    if apply:
        asyncio.run(apply_acls(settings, acls, principal_prefix))
        say(f"{len(acls)} permissions are given")
    elif as_json:
        print_json(
            [
                {
                    "principal": f"{principal_prefix}{acl.client}",
                    "resource": acl.resource.name,
                    "name": acl.name,
                    "operation": acl.operation.name,
                }
                for acl in acls
            ]
        )
    else:
        for acl in acls:
            print(acl.command(principal_prefix))


def doctor(
    config: ConfigOption = None,
    data: DataOption = None,
    await_push: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="MINUTES", help="Wait for the first push and show what it tells of TCCC."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check broker, topics, partition counts, warehouse, clock, disk and credentials; exit status 1 on any fault."""
    from callweave.doctor import examine

    if await_push is not None:
        _show_first_push(settings_of(config, data), await_push, as_json=as_json)
    findings = examine(settings_of(config, data))
    if as_json:
        print_json([{"check": f.check, "ok": f.is_ok, "finding": f.finding} for f in findings])
    else:
        for finding in findings:
            mark = "ok   " if finding.is_ok else "FAULT"
            print(f"{mark} {finding.check}: {finding.finding}")
    raise typer.Exit(0 if all(finding.is_ok for finding in findings) else WRONG)


def _show_first_push(settings: Settings, minutes: float, *, as_json: bool) -> NoReturn:
    from callweave.await_push import await_push

    awaited = await_push(settings, minutes * 60, tell=say)
    if as_json:
        print_json(awaited.as_json())
    else:
        for line in awaited.lines():
            print(line)
    raise typer.Exit(WRONG if awaited.push is None else 0)
