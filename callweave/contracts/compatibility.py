"""Whether one JSON Schema may take the place of another: what readers of the older one would stumble over.

The rule (style.md 24): members are added, never renamed, removed or given another type; new meaning is a new
schema_version.
"""

from collections.abc import Iterator
from typing import Any

from callweave.contracts.json_schemas import inlined

_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf")


def breaking_changes(older: dict[str, Any], newer: dict[str, Any]) -> list[str]:
    """One sentence for each thing that a reader of `older` relies on and `newer` does not give."""
    return list(_differences("", inlined(older), inlined(newer)))


def _differences(path: str, older: Any, newer: Any) -> Iterator[str]:
    where = path or "the record"
    lost = sorted(_types(older) - _types(newer))
    gained = sorted(_types(newer) - _types(older))
    if gained and _types(older):
        yield f"{where} may be {', '.join(gained)} now, and was {', '.join(sorted(_types(older)))}"
    elif lost and not _types(newer) & _types(older):
        yield f"{where} is no longer {', '.join(lost)}"
    for name, theirs in _members(older).items():
        mine = _members(newer).get(name)
        if mine is None:
            yield f"{path}{name} is gone"
        else:
            yield from _differences(f"{path}{name}.", theirs, mine)
    for name in sorted(set(_required(older)) - set(_required(newer))):
        if name in _members(newer):
            yield f"{path}{name} may be missing now"
    more = sorted(map(str, set(_values(newer)) - set(_values(older))))
    if _values(older) and more and "const" in older:
        yield f"{where} may be {', '.join(more)} now"
    if "items" in _branch(older, "array"):
        yield from _differences(
            f"{path}[].", _branch(older, "array")["items"], _branch(newer, "array").get("items", {})
        )


def _types(schema: Any) -> set[str]:
    kinds: set[str] = set()
    named = schema.get("type")
    kinds |= {named} if isinstance(named, str) else set(named or ())
    for key in _LISTS_OF_SCHEMAS:
        for option in schema.get(key, ()):
            kinds |= _types(option)
    return kinds


def _branch(schema: Any, kind: str) -> dict[str, Any]:
    """The part of a schema that speaks of one type."""
    if schema.get("type") == kind:
        return dict(schema)
    for key in _LISTS_OF_SCHEMAS:
        for option in schema.get(key, ()):
            if kind in _types(option):
                return _branch(option, kind)
    return {}


def _members(schema: Any) -> dict[str, Any]:
    return dict(_branch(schema, "object").get("properties", {}))


def _required(schema: Any) -> list[str]:
    return list(_branch(schema, "object").get("required", ()))


def _values(schema: Any) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))
