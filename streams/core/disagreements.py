"""Where a push and the API fill one field of a session differently: how drift of their schemas shows.

The one place that says what is no disagreement, with the reason. Each side is read by itself, as merging reads it: what
it says now. A field that only one of them fills is none: each knows fields that the other does not (protocol.md e.2).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas import jsontext
from schemas.canonical import Reading, fields_of, time_of
from schemas.endpoint import normalize_endpoint, same_person
from schemas.events import Source
from schemas.models import instant_text_of_ms
from schemas.wire import AgentObject, CdrPush, Kind, LegObject, WireModel
from streams.core.merge import MergedCdr, MergedLeg, merge_cdr
from streams.core.state import Report

Row = dict[str, Any]
"""A row of `field_disagreements` as JSON values; `schemas.session.FieldDisagreement` describes it."""

DISAGREEMENTS_MAX = 100
"""Of one session, by name: a payload may hold any number of fields that nobody knows."""
TEXT_MAX = 1_000

NEVER_DISAGREE = {
    "SdkAppId": "it is the key",
    "SessionId": "it is the key",
    "UserRemark": "people write it after the call, and the API knows it as Remark",
    "SkillGroupNameList": "it tells which groups the agent is in when somebody asks, and in no order",
    "AsrStatus": "a transcript is made after the call",
}
"""Fields whose difference says nothing about a schema."""

PEOPLE = frozenset({"Caller", "Callee", "Mail", "Phone", "TransferFrom", "TransferTo"})
"""Numbers and mails: 0086138… and 138… are one person, as where recordings meet their names."""

_NESTED = frozenset({"SeatUser", "ServeParticipants"})
_PERSON_FIELDS = ("UserId", "Mail", "Phone")


def list_disagreements(cdrs: Sequence[Report]) -> list[Row]:
    """Rows of a session's disagreements; `cdrs`: its CDR reports, deciding ones first."""
    pushed = [report for report in cdrs if report.source is Source.PUSH]
    told = [report for report in cdrs if report.source is Source.API]
    if not pushed or not told:
        return []
    mine, theirs = (merge_cdr([report.payload for report in reports]) for reports in (pushed, told))
    found = sorted(_differences(mine, theirs), key=lambda difference: difference[0])
    return [
        {
            "field": field,
            "pushed_value": pushed_value[:TEXT_MAX],
            "api_value": api_value[:TEXT_MAX],
            "pushed_at": instant_text_of_ms(pushed[0].first_ms),
            "api_asked_at": instant_text_of_ms(told[0].first_ms),
        }
        for field, pushed_value, api_value in found[:DISAGREEMENTS_MAX]
    ]


@dataclass(frozen=True, slots=True)
class Sides:
    """What a person may want to know beside the disagreements: what differs and does not count, what one side has."""

    excused: list[tuple[str, str, str, str]]
    """(field, pushed value, the API's value, why it does not count)."""
    only_pushed: list[str]
    only_api: list[str]


def compare_sides(cdrs: Sequence[Report]) -> Sides | None:
    """Compare the roots of what was pushed and told, deciding reports first; None where one of them says nothing."""
    pushed = [report.payload for report in cdrs if report.source is Source.PUSH]
    told = [report.payload for report in cdrs if report.source is Source.API]
    if not pushed or not told:
        return None
    mine, theirs = merge_cdr(pushed).root, merge_cdr(told).root
    ours, other = _filled(mine), _filled(theirs)
    return Sides(
        excused=[
            (name, _text(CdrPush, name, mine), _text(CdrPush, name, theirs), why)
            for name, why in NEVER_DISAGREE.items()
            if name in ours and name in other and not _agree(name, ours[name], other[name])
        ],
        only_pushed=sorted(ours.keys() - other.keys()),
        only_api=sorted(other.keys() - ours.keys()),
    )


_Difference = tuple[str, str, str]


def _differences(mine: MergedCdr, theirs: MergedCdr) -> Iterator[_Difference]:
    yield from _of_object(CdrPush, "", mine.root, theirs.root)
    yield from _of_person(AgentObject, "SeatUser", mine.agent, theirs.agent)
    yield from _of_legs(mine.legs, theirs.legs)


def _of_legs(mine: Sequence[MergedLeg], theirs: Sequence[MergedLeg]) -> Iterator[_Difference]:
    if not mine or not theirs:
        return
    pushed = {leg.sequence: leg.reading for leg in mine}
    told = {leg.sequence: leg.reading for leg in theirs}
    if pushed.keys() != told.keys():
        yield "ServeParticipants", _sequences(pushed), _sequences(told)
    for sequence in pushed.keys() & told.keys():
        yield from _of_person(LegObject, f"ServeParticipants[{sequence}]", pushed[sequence], told[sequence])


def _sequences(legs: Mapping[int, Reading]) -> str:
    return "legs " + ", ".join(map(str, sorted(legs)))


def _of_person(model: type[WireModel], path: str, mine: Reading, theirs: Reading) -> Iterator[_Difference]:
    """Of two people nothing is compared but who they are."""
    pushed, told = _filled(mine), _filled(theirs)
    if same_person(pushed, told):
        yield from _of_object(model, f"{path}.", mine, theirs)
    else:
        yield path, _person(pushed), _person(told)


def _person(values: Mapping[str, Any]) -> str:
    return ", ".join(str(values[name]) for name in _PERSON_FIELDS if name in values)


def _of_object(model: type[WireModel], prefix: str, mine: Reading, theirs: Reading) -> Iterator[_Difference]:
    pushed, told = _filled(mine), _filled(theirs)
    for name in pushed.keys() & told.keys() - NEVER_DISAGREE.keys() - _NESTED:
        if not _agree(name, pushed[name], told[name]):
            yield f"{prefix}{name}", _text(model, name, mine), _text(model, name, theirs)


def _filled(reading: Reading) -> dict[str, Any]:
    """All fields of an object that say something: one that no column can hold is compared as it came."""
    return reading.rest | reading.values


def _agree(name: str, one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        # Old editions spell the members of key presses in lower case, and the API tells more of each.
        ours, theirs = ({str(key).casefold(): value for key, value in side.items()} for side in (one, other))
        return all(_agree(key, ours[key], theirs[key]) for key in ours.keys() & theirs.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_agree(name, *pair) for pair in zip(one, other, strict=True))
    if name.casefold().endswith("timestamp"):
        return _second(one) == _second(other)
    if name in PEOPLE:
        return normalize_endpoint(_plain(one)) == normalize_endpoint(_plain(other))
    # A number as text is that number; so the canonical form has it for the fields that are documented.
    return _plain(one) == _plain(other)


def _second(value: Any) -> int | str:
    """A time in whole seconds, whether it came in seconds or in milliseconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        milliseconds, _ = time_of(value)
        return value if milliseconds is None else milliseconds // 1000
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (value if isinstance(value, str) else jsontext.encode(value).decode()).strip()


def _text(model: type[WireModel], name: str, reading: Reading) -> str:
    wire = fields_of(model).get(name)
    if wire is not None and wire.kind is Kind.TIME and name in reading.values:
        return instant_text_of_ms(reading.values[name])
    return _plain(_filled(reading)[name])
