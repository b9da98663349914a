"""One object of an API's answer as the columns of a record, by the declarations of `schemas.wire_api`.

The rule is that of pushes: empties are NULL, numbers may be texts, and what has no column, or no usable value, stays in
`extra`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.reconcile.failure import ApiError
from schemas import jsontext
from schemas.canonical import TooDeepError, canonical, fields_of, read
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.models import instant_of_ms
from schemas.wire import Kind, WireModel

_DEFECTS_NAMED_MAX = 20


@dataclass(frozen=True, slots=True)
class Cells:
    """What an object says: by column, and the rest; and what of it is unusable."""

    columns: Mapping[str, Any]
    extra: dict[str, Any] | None
    problem: str | None


def cells_of(model: type[WireModel], item: Any) -> Cells:
    """Read one object."""
    if not isinstance(item, Mapping):
        return Cells({}, None, "an item is no object")
    try:
        whole = canonical(model, item)
    except TooDeepError as exc:
        return Cells({}, None, str(exc))
    reading = read(model, whole)
    columns = {
        wire.column: instant_of_ms(reading.values[name]) if wire.kind is Kind.TIME else reading.values[name]
        for name, wire in fields_of(model).items()
        if wire.column is not None and name in reading.values
    }
    defects = [f"{defect.path} {defect.problem}" for defect in reading.defects[:_DEFECTS_NAMED_MAX]]
    return Cells(columns, reading.rest or None, "; ".join(defects) or None)


def items_of(answer: Mapping[str, Any], name: str) -> Sequence[Any]:
    """The items of an answer; none where the list is null."""
    items = answer.get(name) or []
    if not isinstance(items, list):
        raise ApiError("UnreadableAnswer", f"{name} is no list")
    return items


def letter_about(item: Any, problem: str, *, action: str, asked_at: datetime) -> DeadLetter:
    """A letter about an item, or a part of one, that could not be used; its bytes are the item as JSON."""
    raw = jsontext.encode(item if _is_encodable(item) else {"item": type(item).__name__})
    detail = f"{action}: {problem}"
    return DeadLetter.of(Stage.RECONCILE, Reason.SCHEMA_VIOLATION, detail, raw=raw, occurred_at=asked_at)


def _is_encodable(item: Any) -> bool:
    try:
        jsontext.encode(item)
    except (TypeError, ValueError, RecursionError):  # a lone surrogate, or deeper than any writer goes
        return False
    return True
