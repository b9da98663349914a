"""What brings a warehouse to this program's layout: SQL that can be printed, handed to a DBA, run, and recorded.

The rule: forward only, and only added to. What a newer callweave has laid out stays as it is, so an older one can run
beside it; both find their own columns, and whatever there is more is not touched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from sinks import ddl
from sinks.ddl import META, MIGRATIONS, Catalogue, literal, names
from sinks.sink import Migration, MisconfiguredError, script_of

PROGRAM_VERSION: Final = version("callweave")
LAYOUT_DIGEST: Final = "layout_digest"
LAYOUT_VERSION: Final = "layout_version"
LAID_OUT_BY: Final = "program_version"
_BEFORE_ALL: Final = Version("0.dev0")

Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Answers one SELECT."""


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a warehouse: its tables and views, and what callweave noted there."""

    catalogue: Catalogue
    meta: Mapping[str, str]

    @property
    def is_ahead(self) -> bool:
        """Whether a newer callweave has laid it out."""
        return _order(self.meta.get(LAID_OUT_BY, "")) > _order(PROGRAM_VERSION)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a warehouse has to look like. `notes` are `layout_notes`, as the warehouse writes them."""

    tables: Sequence[str]
    """Statements that create and add what lacks; none where nothing does."""
    views: Mapping[str, str]
    """Statements that make each view anew."""
    comments: Sequence[str]
    digest: str
    """Identifies all of it, whether it stands there or not."""


def plan(found: Found, wanted: Wanted) -> tuple[str, ...]:
    """The statements, none where the warehouse is as it must be. Raises MisconfiguredError where it is not ours."""
    ddl.check_layout_version(found.meta.get(LAYOUT_VERSION))
    lacking = [statement for name, statement in wanted.views.items() if name not in found.catalogue]
    if found.is_ahead:
        # Its views know more columns than ours, and its comments are newer.
        return (*wanted.tables, *lacking)
    if not wanted.tables and not lacking and found.meta.get(LAYOUT_DIGEST) == wanted.digest:
        # Replacing a view waits for everybody who reads it, so it is done only when something changed.
        return ()
    return (*wanted.tables, *wanted.views.values(), *wanted.comments)


def layout_notes(found: Found, wanted: Wanted) -> dict[str, str]:
    """What to note about the layout, by key of `callweave_meta`."""
    if found.is_ahead:
        return {}
    return {
        LAYOUT_VERSION: str(ddl.LAYOUT_VERSION),
        LAYOUT_DIGEST: wanted.digest,
        LAID_OUT_BY: PROGRAM_VERSION,
    }


def record(statements: Sequence[str], digest: str, *, now: str, literal: Callable[[str], str] = ddl.literal) -> str:
    """INSERT of the migration's own row; `now` is the warehouse's word for it, `literal` how it quotes."""
    columns = names(MIGRATIONS.column_names)
    values = [
        literal(migration_id(digest)),
        now,
        literal(PROGRAM_VERSION),
        str(len(statements)),
        literal(script_of(statements)),
    ]
    return f"INSERT INTO {MIGRATIONS.name} ({columns}) VALUES ({', '.join(values)})"  # noqa: S608 - quoted


def migration_id(digest: str) -> str:
    """Sorts by time."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}-{digest[:12]}"


def replaced_notes(notes: Mapping[str, str]) -> list[str]:
    """Statements that write notes where a key may stand already, in a transaction."""
    statements: list[str] = []
    for key, value in notes.items():
        statements += [
            f'DELETE FROM {META.name} WHERE "key" = {literal(key)}',  # noqa: S608 - quoted
            inserted_note(key, value),
        ]
    return statements


def inserted_note(key: str, value: str) -> str:
    """INSERT of one note."""
    columns = names(META.column_names)
    return f"INSERT INTO {META.name} ({columns}) VALUES ({literal(key)}, {literal(value)})"  # noqa: S608 - quoted


def refuse_to_begin(migration: Migration, where: object) -> None:
    """Raise MisconfiguredError where something would have to be done first."""
    if migration.is_needed:
        raise MisconfiguredError(
            f"{where} is not laid out as callweave {PROGRAM_VERSION} needs it (an upgrade {migration.summary}), and "
            "WAREHOUSE__MIGRATE is refuse: let an account that may change tables run `callweave warehouse apply`, or "
            "hand a DBA what `callweave warehouse apply --dry-run` prints"
        )


def _order(program_version: str) -> Version:
    """Versions in their order, as Python's packages have it; what is none comes before all."""
    try:
        return Version(program_version)
    except InvalidVersion:
        return _BEFORE_ALL
