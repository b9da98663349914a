"""Choose fields: several reports of one thing become one reading (architecture.md law 4, contract.md part 5).

Filled beats empty, field by field; between filled values the report first received later wins, then the larger digest.
An agent and a leg are filled only from reports that name the same person. A value that no warehouse can hold counts as
empty for its column, and is kept in the rest.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from schemas.canonical import Reading, read, usable_integer
from schemas.endpoint import same_person
from schemas.wire import AgentObject, CdrPush, LegObject, WireModel

_PERSON_FIELDS = ("UserId", "Mail", "Phone")


class MergedLeg(NamedTuple):
    """One leg, filled up."""

    sequence: int
    reading: Reading


class MergedCdr(NamedTuple):
    """All CDR reports of a session as one."""

    root: Reading
    agent: Reading
    legs: Sequence[MergedLeg] = ()


def merge_fields(readings: Iterable[Reading]) -> Reading:
    """One reading of several, the deciding one first: a field is taken from the first that fills it."""
    several = list(readings)
    if len(several) == 1:
        return several[0]
    merged = Reading()
    for reading in several:
        for name, value in reading.values.items():
            merged.values.setdefault(name, value)
        for name, value in reading.rest.items():
            merged.rest.setdefault(name, value)
    return merged


def merge_cdr(payloads: Sequence[dict[str, Any]]) -> MergedCdr:
    """Merge the canonical payloads of a session's CDR reports, the deciding one first."""
    readings = [read(CdrPush, payload) for payload in payloads]
    agents = [reading.values["SeatUser"] for reading in readings if "SeatUser" in reading.values]
    leg_lists = [reading.values["ServeParticipants"] for reading in readings if "ServeParticipants" in reading.values]
    return MergedCdr(
        root=merge_fields(readings),
        agent=_fill_person(AgentObject, agents),
        legs=_merge_legs([_by_sequence(legs) for legs in leg_lists]),
    )


def _merge_legs(leg_maps: list[dict[int, dict[str, Any]]]) -> list[MergedLeg]:
    """The set of legs is the deciding report's, each filled up from the others."""
    if not leg_maps:
        return []
    if len(leg_maps) == 1:
        return [MergedLeg(sequence, read(LegObject, leg)) for sequence, leg in sorted(leg_maps[0].items())]
    return [
        MergedLeg(sequence, _fill_person(LegObject, [leg_map[sequence] for leg_map in leg_maps if sequence in leg_map]))
        for sequence in sorted(leg_maps[0])
    ]


def _by_sequence(legs: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Legs by Sequence; where it is absent or repeated in any, all take their positions."""
    sequences = [usable_integer(leg.get("Sequence")) for leg in legs]
    if None in sequences or len(set(sequences)) < len(sequences):
        return dict(enumerate(legs))
    return {sequence: leg for sequence, leg in zip(sequences, legs, strict=True) if sequence is not None}


def _fill_person(model: type[WireModel], objects: Sequence[dict[str, Any]]) -> Reading:
    """The first object, filled from each further one that names its person; what is known of the person grows."""
    if len(objects) == 1:
        return read(model, objects[0])
    person: dict[str, object] = {}
    fitting: list[Reading] = []
    for item in objects:
        if not same_person(person, item):
            continue
        fitting.append(read(model, item))
        for name in _PERSON_FIELDS:
            if isinstance(item.get(name), str):
                person.setdefault(name, item[name])
    return merge_fields(fitting)
