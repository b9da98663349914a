"""What a part of the page shows: named tables and facts, as JSON for the page and as CSV for a spreadsheet.

The rule: both are written from the same cells, masked by the same rule, so that a download says what the screen says.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from callweave.dashboard.personal import shown
from schemas.models import Privacy

_FORMULA: Final = ("=", "@", "\t", "\r", "+", "-")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of JSON values. `personal`: columns that only some may see, and what they hold."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    truncated: bool = False
    personal: Mapping[str, Privacy] = field(default_factory=dict)

    def rows_for(self, *, sees_personal: bool) -> list[list[Any]]:
        """The rows as a viewer may see them."""
        if sees_personal or not self.personal:
            return [list(row) for row in self.rows]
        kinds = [self.personal.get(column, Privacy.NONE) for column in self.columns]
        return [[shown(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in self.rows]

    def dicts(self) -> list[dict[str, Any]]:
        """Rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Panel:
    """Tables by name, and what else the page says. `personal_facts` are for those who may see them."""

    tables: Mapping[str, Table]
    facts: Mapping[str, Any] = field(default_factory=dict)
    personal_facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self, *, sees_personal: bool) -> bytes:
        """For the page."""
        tables = {
            name: {
                "columns": table.columns,
                "rows": table.rows_for(sees_personal=sees_personal),
                "truncated": table.truncated,
            }
            for name, table in self.tables.items()
        }
        facts = {**self.facts, **(self.personal_facts if sees_personal else {})}
        return orjson.dumps({"tables": tables, "facts": facts}, option=orjson.OPT_NON_STR_KEYS)


def csv_of(table: Table, *, sees_personal: bool) -> bytes:
    """UTF-8 with a mark, so that spreadsheets read Chinese; no cell begins a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(table.columns)
    for row in table.rows_for(sees_personal=sees_personal):
        writer.writerow(_plain(cell) for cell in row)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _plain(cell: Any) -> Any:
    if isinstance(cell, dict | list):
        return orjson.dumps(cell).decode()
    if isinstance(cell, str) and cell.startswith(_FORMULA) and not _is_number(cell):
        return f"'{cell}"
    return cell


def _is_number(text: str) -> bool:
    return text[1:].replace(" ", "").replace(".", "", 1).isdigit()
