"""The columns of the numbers' views that are not numbers by themselves, and what a column of theirs is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.columns import Column, ColumnType, Table
from schemas.models import Privacy
from sinks.kpi.definitions import Definition


@dataclass(frozen=True, slots=True)
class KpiColumn(Column):
    """A column of a view, with the SQL that fills it and the unit that its definition states."""

    sql: str = ""
    counted_in: str | None = None

    @property
    def unit(self) -> str | None:
        """What it counts in."""
        return self.counted_in or ("UTC" if self.type is ColumnType.INSTANT else None)


@dataclass(frozen=True, slots=True)
class KpiView:
    """A view: its columns, and the text of its SELECT, in which `$name` is spelled by each warehouse in its own way."""

    table: Table
    text: str
    definitions: Sequence[Definition] = ()

    @property
    def name(self) -> str:
        """The view's."""
        return self.table.name


def of_definition(definition: Definition) -> KpiColumn:
    """The column of a number."""
    meaning = f"{definition.name}: {definition.formula}"
    if definition.source != "callweave":
        meaning += f" (after {definition.source})"
    return KpiColumn(
        definition.id,
        definition.type,
        definition.nullable,
        meaning,
        sql=ratio(definition.numerator, definition.denominator) if definition.numerator else definition.sql or "",
        counted_in=definition.unit.partition(",")[0],
    )


def ratio(numerator: str | None, denominator: str | None) -> str:
    """The quotient of two columns of `n`; NULL where there is nothing to divide by."""
    return f"CAST(n.{numerator} AS DOUBLE PRECISION) / NULLIF(n.{denominator}, 0)"


def text(
    name: str, description: str, sql: str = "", *, nullable: bool = True, privacy: Privacy = Privacy.NONE
) -> KpiColumn:
    """A text."""
    return KpiColumn(name, ColumnType.TEXT, nullable, description, privacy, sql=sql)


def whole(name: str, description: str, sql: str = "", *, unit: str | None = None, nullable: bool = True) -> KpiColumn:
    """An integer."""
    return KpiColumn(name, ColumnType.INTEGER, nullable, description, sql=sql, counted_in=unit)


def part(name: str, description: str, sql: str = "", *, unit: str = "0 to 1") -> KpiColumn:
    """A fraction."""
    return KpiColumn(name, ColumnType.FRACTION, True, description, sql=sql, counted_in=unit)


def truth(name: str, description: str, sql: str = "", *, nullable: bool = False) -> KpiColumn:
    """A boolean."""
    return KpiColumn(name, ColumnType.BOOLEAN, nullable, description, sql=f"CAST({sql} AS BOOLEAN)" if sql else "")


def instant(name: str, description: str, sql: str = "", *, nullable: bool = True) -> KpiColumn:
    """A moment."""
    return KpiColumn(name, ColumnType.INSTANT, nullable, description, sql=sql)


def date(name: str, description: str, sql: str = "", *, nullable: bool = True) -> KpiColumn:
    """A day of the account's zone."""
    return KpiColumn(name, ColumnType.DATE, nullable, description, sql=f"CAST({sql} AS DATE)" if sql else "")


APP: Final = whole("sdk_app_id", "TCCC's application id", nullable=False)
ZONE: Final = text("time_zone", "The zone of day and hour (kpi_settings)", nullable=False)
AS_OF: Final = instant("as_of", "The latest commit that the numbers count", nullable=False)
DEFINITIONS: Final = whole(
    "definitions_version", "Which definitions the numbers follow: kpi_definitions tells them", nullable=False
)
COMPLETENESS: Final = (
    part(
        "completeness",
        "What is here, of what is due, of all the account's calls that ended then (the view completeness); "
        "NULL where the API was never asked",
    ),
    truth(
        "completeness_is_final",
        "The API was asked for all of it after every deadline; NULL where it was never asked",
        nullable=True,
    ),
)
