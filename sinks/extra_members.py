"""SELECT of every member of `extra` that no documentation knows, as each warehouse takes JSON apart.

The rule: one row a member, with its table, its name, its JSON type, and its session's key.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sinks.extra_places import EXTRA_PLACES, JSON_TYPES, ExtraPlace

Taking = Callable[[ExtraPlace], tuple[str, str, str]]
"""FROM, the member's name, and its type, of one place."""


def extra_members(dialect: str) -> str:
    """One SELECT over all places; `dialect` is duckdb, postgres or clickhouse."""
    return "\n    UNION ALL\n".join(_selects(_TAKING[dialect]))


def _selects(taking: Taking) -> Iterator[str]:
    for place in EXTRA_PLACES:
        source, name, kind = taking(place)
        prefix = f"'{place.member}.' || " if place.member else ""
        known = ", ".join(map(_text, place.documented))
        named = " ".join(f"WHEN {_text(theirs)} THEN {_text(ours)}" for theirs, ours in JSON_TYPES.items())
        yield (
            "    SELECT\n"
            f"        '{place.table}' AS table_name,\n"
            f"        {prefix}{name} AS field,\n"
            f"        CASE {kind} {named} ELSE 'other' END AS value_type,\n"
            "        t.sdk_app_id AS sdk_app_id,\n"
            "        t.session_id AS session_id\n"
            f"    FROM {source}\n"
            f"    WHERE {name} NOT IN ({known})"
        )


def _duckdb(place: ExtraPlace) -> tuple[str, str, str]:
    holder = f"t.extra -> {_text(place.member)}" if place.member else "t.extra"
    return f"{place.table} AS t, json_each({holder}) AS e", "e.key", "e.type"


def _postgres(place: ExtraPlace) -> tuple[str, str, str]:
    holder = f"t.extra -> {_text(place.member)}" if place.member else "t.extra"
    # Of anything but an object it would raise.
    only = f"CASE WHEN jsonb_typeof({holder}) = 'object' THEN {holder} END"
    kind = "CASE WHEN e.value::text ~ '^-?[0-9]+$' THEN 'Int64' ELSE jsonb_typeof(e.value) END"
    return f"{place.table} AS t CROSS JOIN LATERAL jsonb_each({only}) AS e (key, value)", "e.key", kind


def _clickhouse(place: ExtraPlace) -> tuple[str, str, str]:
    holder = "ifNull(extra, '')"
    if place.member:
        holder = f"JSONExtractRaw({holder}, {_text(place.member)})"
    pairs = f"arrayJoin(JSONExtractKeysAndValuesRaw({holder}))"
    source = f"(SELECT sdk_app_id, session_id, {pairs} AS pair FROM {place.table}) AS t"  # noqa: S608 - our own
    return source, "t.pair.1", "toString(JSONType(t.pair.2))"


def _text(name: str) -> str:
    """A literal of a name of TCCC's, or a type's, in which there is nothing to escape."""
    return f"'{name}'"


_TAKING: Final[Mapping[str, Taking]] = {"duckdb": _duckdb, "postgres": _postgres, "clickhouse": _clickhouse}
