"""A push in its canonical form (empties removed, known numbers as numbers, keys sorted), its digest, and its reading.

Two pushes with the same canonical form say the same thing and are one report (architecture.md law 2). `read` splits a
canonical object into the values that have a column and the rest, which becomes `extra`. The rules: contract.md part 5.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from schemas import jsontext
from schemas.wire import Kind, Wire, WireModel

REPLACEMENT = "\ufffd"
"""What NUL and lone surrogates become: no warehouse stores them."""

INT64_MAX = 2**63 - 1
_MILLISECONDS_ABOVE = 10**11
"""A time beyond this is in milliseconds (protocol.md g.10); as seconds it would be past the year 5000."""
_LAST_MILLISECOND = 253_402_300_799_999
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_UNKNOWN = Kind.OPEN
"""What a field that nobody documents is: of any shape."""
_TEXT, _TIME, _PLAIN_NUMBER, _SECONDS, _OBJECT, _OBJECTS, _OTHER = range(7)
"""How `read` takes a field; small numbers, because comparing them is what costs least."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.0*)?", re.ASCII)
_DIGITS_MAX = 10**40


class TooDeepError(ValueError):
    """A push nests deeper than jsontext.DEPTH_MAX."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A field with a column whose value no warehouse can hold: NULL there, kept in `extra`, told in a letter."""

    path: str
    problem: str


@dataclass(slots=True)
class Reading:
    """A canonical object, read: usable values by TCCC's name, the rest as it came, and what was wrong with it.

    A time is in milliseconds since 1970.
    """

    values: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)


def canonical(model: type[WireModel], payload: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a decoded push to its canonical form. Idempotent: the canonical form of it is itself."""
    return _canonical_object(fields_of(model), payload, 1)


def digest(kind: str, source: str, fact: str | None, payload: Mapping[str, Any]) -> str:
    """Identify what a report says: 32 hexadecimal digits over its kind, source, fact and canonical payload."""
    identity = jsontext.encode([kind, source, fact, payload])
    return hashlib.blake2b(identity, digest_size=16).hexdigest()


def read(model: type[WireModel], payload: Mapping[str, Any]) -> Reading:
    """Split a canonical object into usable values and the rest. Nested objects stay canonical objects in `values`.

    A value with a column that is of a wrong type or size stays in the rest, and is named as a defect.
    """
    values = dict(payload)
    rest: dict[str, Any] = {}
    reading = Reading(values, rest, [])
    ways = _ways_of_columns(model)
    # This loop runs for every field of every report whenever a session is projected: the usual case is decided here,
    # and a value that is usable as it came is left where the copy has it.
    for name, value in payload.items():
        if name not in ways:
            rest[name] = values.pop(name)
            continue
        way = ways[name]
        if way is _TEXT and type(value) is str:
            continue
        if way is _TIME and type(value) is int and 0 <= value <= _MILLISECONDS_ABOVE:
            values[name] = value * 1000
        elif way is _OBJECT:
            _read_object(reading, name, value)
        elif way is _OBJECTS:
            _read_objects(reading, name, value)
        elif not _is_plain(way, value):
            usable, problem = _usable(fields_of(model)[name].kind, value)
            if problem is None:
                values[name] = usable
            else:
                _refuse(reading, name, problem)
    return reading


@cache
def _ways_of_columns(model: type[WireModel]) -> dict[str, int]:
    return {name: _way_of(wire.kind) for name, wire in fields_of(model).items() if wire.column is not None}


def _way_of(kind: Kind) -> int:
    if kind.is_text:
        return _TEXT
    if kind.is_plain_number:
        return _PLAIN_NUMBER
    ways = {Kind.TIME: _TIME, Kind.SECONDS: _SECONDS, Kind.OBJECT: _OBJECT, Kind.OBJECTS: _OBJECTS}
    return ways.get(kind, _OTHER)


class Survey(NamedTuple):
    """What is odd about a canonical object: its defects, and how many fields of it nobody has documented.

    Those of its nested objects are among them; a defect's path says where.
    """

    defects: list[Defect]
    unknown_count: int


def survey(model: type[WireModel], payload: Mapping[str, Any]) -> Survey:
    """Look over a canonical object; every push passes here."""
    own: list[Defect] = []
    nested: list[Defect] = []
    known, ways = fields_of(model), _ways_of_columns(model)
    unknown_count = 0
    for name, value in payload.items():
        if name not in ways:
            if name not in known:
                unknown_count += 1
            elif (of := known[name].of) is not None:  # nested and without a column: nothing of it can be a defect
                unknown_count += sum(survey(of, item).unknown_count for _, item in _members(value))
            continue
        way = ways[name]
        if not (way is _TEXT and type(value) is str) and not _is_plain(way, value):
            reading = read(model, {name: value})
            own += reading.defects
            of = known[name].of
            if of is None:
                continue
            for place, item in _members(reading.values.get(name, value)):
                found = survey(of, item)
                unknown_count += found.unknown_count
                if name in reading.values:
                    nested += [Defect(f"{name}{place}.{defect.path}", defect.problem) for defect in found.defects]
    return Survey(own + nested, unknown_count)


def defects_of(model: type[WireModel], payload: Mapping[str, Any]) -> list[Defect]:
    """All defects of a canonical object, those of its nested objects too, with their paths."""
    return survey(model, payload).defects


def _is_plain(way: int, value: Any) -> bool:
    """Whether `read` takes a value as it is."""
    if way == _TEXT:
        return type(value) is str
    if way == _TIME:
        return type(value) is int and 0 <= value <= _MILLISECONDS_ABOVE
    if way == _SECONDS:
        return type(value) is int and 0 <= value <= INT64_MAX
    return way == _PLAIN_NUMBER and type(value) is int and -INT64_MAX <= value <= INT64_MAX


def _members(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The objects in an object's place or an array, each with its place in a path."""
    if isinstance(value, dict):
        return [("", value)]
    items = value if isinstance(value, list) else []
    return [(f"[{position}]", item) for position, item in enumerate(items) if isinstance(item, dict)]


def usable_integer(value: Any) -> int | None:
    """A canonical number that fits a column, or None."""
    if type(value) is int and -INT64_MAX <= value <= INT64_MAX:  # the usual case
        return value
    usable, _ = _usable(Kind.NUMBER, value)
    return usable if isinstance(usable, int) else None


@cache
def fields_of(model: type[WireModel]) -> dict[str, Wire]:
    """The declarations of a wire model, by TCCC's name."""
    return {
        name: next(item for item in info.metadata if isinstance(item, Wire))
        for name, info in model.model_fields.items()
    }


def clean_text(text: str) -> str:
    """Replace what no warehouse stores (NUL, lone surrogates) by U+FFFD."""
    # Nearly every text is ASCII, which Python knows of it without looking.
    return text if text.isascii() and "\x00" not in text else _UNSTORABLE.sub(REPLACEMENT, text)


def _canonical_object(known: dict[str, Wire], payload: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > jsontext.DEPTH_MAX:
        raise TooDeepError(f"nested deeper than {jsontext.DEPTH_MAX} levels")
    result: dict[str, Any] = {}
    for key, value in payload.items():
        if value is None or value == "":
            continue
        wire = known.get(key)
        kind = _UNKNOWN if wire is None else wire.kind
        # The two usual cases, a text that is text and a number that is one, are decided here.
        if type(value) is str and kind.is_text:
            if value != "0" or not kind.zero_is_empty:
                result[key] = clean_text(value)
        elif type(value) is int and kind.is_number:
            if value or not kind.zero_is_empty:
                result[key] = value
        else:
            kept = _cleaned(value, depth + 1) if wire is None else _canonical_known(wire, value, depth + 1)
            if not (_is_empty(kept) or (kind.zero_is_empty and _is_zero(kept))):
                result[clean_text(key)] = kept  # of a name that is known there is nothing to clean
    return result


def _canonical_known(wire: Wire, value: Any, depth: int) -> Any:
    if wire.kind.is_number:
        return _as_number(value) if isinstance(value, (str, float)) else _cleaned(value, depth)
    if wire.kind.is_text and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(_as_number(value) if isinstance(value, float) else value)
    members = fields_of(wire.of) if wire.of else {}
    if wire.kind is Kind.OBJECT and isinstance(value, Mapping):
        return _canonical_object(members, value, depth)
    if wire.kind is Kind.OBJECTS and isinstance(value, list):
        items = [
            _canonical_object(members, item, depth + 1) if isinstance(item, Mapping) else _cleaned(item, depth + 1)
            for item in value
        ]
        return [item for item in items if not _is_empty(item)]
    return _cleaned(value, depth)


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return _canonical_object({}, value, depth)
    if isinstance(value, list):
        if depth > jsontext.DEPTH_MAX:
            raise TooDeepError(f"nested deeper than {jsontext.DEPTH_MAX} levels")
        items = [_cleaned(item, depth + 1) for item in value]
        return [item for item in items if not _is_empty(item)]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def _is_zero(value: Any) -> bool:
    return value == "0" or (value == 0 and not isinstance(value, bool))


def _as_number(value: str | float) -> Any:
    """A whole number from a text or a float, or the value itself where it is none."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _DIGITS_MAX else value
    text = clean_text(value)
    stripped = text.strip()
    return int(stripped.partition(".")[0]) if _NUMBER.fullmatch(stripped) else text


def _usable(kind: Kind, value: Any) -> tuple[Any, str | None]:
    """The value as its column holds it, or what is wrong with it."""
    if kind.is_text:
        return (value, None) if isinstance(value, str) else (None, f"is {_type_name(value)}, not text")
    if isinstance(value, float):
        return None, "is fractional"
    if not isinstance(value, int) or isinstance(value, bool):
        return None, f"is {_type_name(value)}, not a number"
    if kind is Kind.TIME:
        return time_of(value)
    if not -INT64_MAX - 1 <= value <= INT64_MAX:
        return None, "does not fit 64 bits"
    if kind is Kind.SECONDS and value < 0:
        return None, "is a negative duration"
    return value, None


def time_of(number: int) -> tuple[int | None, str | None]:
    """A UNIX time in seconds or milliseconds as milliseconds, or what is wrong with it."""
    if number < 0:
        return None, "is before 1970"
    milliseconds = number if number > _MILLISECONDS_ABOVE else number * 1000
    if milliseconds > _LAST_MILLISECOND:
        return None, "is past the year 9999"
    return milliseconds, None


def _refuse(reading: Reading, name: str, problem: str) -> None:
    """Move a value that has no place in its column to the rest."""
    reading.rest[name] = reading.values.pop(name)
    reading.defects.append(Defect(name, problem))


def _read_object(reading: Reading, name: str, value: Any) -> None:
    if not isinstance(value, dict):
        _refuse(reading, name, f"is {_type_name(value)}, not an object")


def _read_objects(reading: Reading, name: str, value: Any) -> None:
    if not isinstance(value, list):
        _refuse(reading, name, f"is {_type_name(value)}, not an array")
        return
    strangers = [item for item in value if not isinstance(item, dict)]
    if strangers:
        _refuse(reading, name, f"holds {len(strangers)} items that are no objects")
        reading.rest[name] = strangers
        reading.values[name] = [item for item in value if isinstance(item, dict)]
    if not reading.values[name]:
        del reading.values[name]


def _type_name(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "an array"
        case _:
            return "an object"
