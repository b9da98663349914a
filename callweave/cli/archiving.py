"""`callweave archiver`, the role, and `callweave archive`: how the archive stands, whether it is whole, legal holds."""

import asyncio
from typing import Annotated, Any

import typer
from rich.progress import track

from callweave.cli.common import (
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
from callweave.cli.running import SupervisedOption

archive_app = typer.Typer(help="Recordings and voicemails that are kept.", no_args_is_help=True)

_STANDING = """
SELECT f.status, f.file_kind, count(*) AS files, sum(f.size_bytes) AS bytes, sum(f.duration_seconds) / 3600 AS hours
FROM recording_files AS f GROUP BY f.status, f.file_kind ORDER BY f.status, f.file_kind
"""
_STORED = """
SELECT sdk_app_id, session_id, file_kind, recording_id, path, sha256, size_bytes FROM recording_files
WHERE status = 'stored' ORDER BY sdk_app_id, session_id, file_kind, recording_id
"""
_ROWS_MAX = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(archiver)
    app.add_typer(archive_app, name="archive")


def archiver(config: ConfigOption = None, data: DataOption = None, supervised: SupervisedOption = False) -> None:
    """Run the archiver: fetches recordings and voicemails as they come, before TCCC deletes them."""
    from callweave.roles.archiver import archiver_role

    raise typer.Exit(archiver_role(settings_of(config, data, role="archiver"), supervised=supervised))


@archive_app.command("status")
def archive_status(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show how many files are kept, waited for and lost."""
    from callweave.reading import open_questions

    with open_questions(settings_of(config, data)) as questions:
        rows = questions.ask(_STANDING).dicts()
    if as_json:
        print_json(rows)
    else:
        print_table(["status", "kind", "files", "bytes", "hours"], [list(row.values()) for row in rows])


@archive_app.command("verify")
def archive_verify(
    config: ConfigOption = None,
    data: DataOption = None,
    contents: Annotated[bool, typer.Option("--contents", help="Read every file and compare its SHA-256.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what the warehouse says is kept with the files that are there; exit 1 on any difference."""
    from callweave.archiving import archive_of
    from callweave.reading import open_questions
    from sinks.sink import QueryLimits

    settings = settings_of(config, data)
    archive = archive_of(settings)
    with open_questions(settings) as questions:
        answer = questions.ask(_STORED, QueryLimits(rows_max=_ROWS_MAX, seconds_max=600))
    wrong: list[dict[str, Any]] = []
    for row in track(answer.dicts(), "comparing", console=err, disable=not err.is_terminal):
        size = archive.size_of(row["path"])
        problem = None
        if size is None:
            problem = "is not there"
        elif size != int(row["size_bytes"]):
            problem = f"has {size} bytes instead of {row['size_bytes']}"
        elif contents and archive.digest_of(row["path"]) != row["sha256"]:
            problem = "has another content"
        if problem is not None:
            wrong.append({**row, "problem": problem})
    if as_json:
        print_json(wrong)
    else:
        for row in wrong:
            print(f"{row['sdk_app_id']} {row['session_id']} {row['recording_id']}: {row['path']} {row['problem']}")
    if answer.truncated:
        say(f"only the first {_ROWS_MAX} files were compared")
    say(f"{len(answer.rows)} files compared, {len(wrong)} differ")
    if wrong:
        raise typer.Exit(WRONG)


@archive_app.command("hold")
def archive_hold(
    sdk_app_id: Annotated[int, typer.Argument(help="TCCC's application id.")],
    session_id: Annotated[list[str], typer.Argument(help="The sessions.")],
    config: ConfigOption = None,
    data: DataOption = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever asks later.")] = None,
    release: Annotated[bool, typer.Option("--release", help="They may be deleted again.")] = False,
) -> None:
    """Keep the files of these sessions, however old they get, until they are released. Erasing a person goes before."""
    from callweave.archiving import publish_holds
    from callweave.roles.hosting import utc_now
    from schemas.archive import LegalHold
    from schemas.models import instant_ms, instant_of_ms

    now = instant_of_ms(instant_ms(utc_now()))
    holds = [
        LegalHold(sdk_app_id=sdk_app_id, asked_at=now, session_id=one, is_held=not release, reason=reason)
        for one in session_id
    ]
    asyncio.run(publish_holds(settings_of(config, data), holds))
    say(f"{'released' if release else 'held'}: {len(holds)} sessions")
