"""The data dictionary: what every column means, where it comes from, and what it says of a person."""

from collections.abc import Iterator

from schemas.columns import TABLES, Column, Table
from schemas.models import Privacy
from sinks.ddl import DESCRIBED_VIEWS

_PREFACE = """\
# Data dictionary

Generated from the models that the tables are made of (`make contracts`); the same words stand as comments in the
warehouse. Times are UTC. *TCCC's field* is the one that fills the column as it was sent; where it is empty, callweave
derives the value. *Personal data* is what a value says of a person: masking, erasing and access rules go by it.
"""


def data_dictionary() -> str:
    """The page, as Markdown."""
    return (
        "\n".join([_PREFACE, *(line for table in (*TABLES, *DESCRIBED_VIEWS) for line in _section(table))]).rstrip()
        + "\n"
    )


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.name}"
    yield ""
    yield f"{table.purpose}. Key: {', '.join(f'`{name}`' for name in table.key)}."
    yield ""
    yield "| column | type | NULL | unit | meaning | TCCC's field | personal data |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for column in table.columns:
        yield f"| {' | '.join(_cells(column))} |"
    yield ""


def _cells(column: Column) -> Iterator[str]:
    yield f"`{column.name}`"
    yield column.type.value
    yield "yes" if column.nullable else "no"
    yield column.unit or ""
    yield column.description.replace("|", "\\|")
    yield f"`{column.source_field}`" if column.source_field else ""
    yield "" if column.privacy is Privacy.NONE else column.privacy.value
