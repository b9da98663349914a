"""Agents and skill groups as slowly changing tables: what the API lists now against what stands in Kafka. Pure.

The rule: what is new is opened before what it replaces is closed, so a death between the two leaves two open states,
and the next comparison closes the older one where the newer begins. Nothing that is unchanged is written again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ingest.enrich.reading import cells_of, letter_about
from schemas.dead_letter import DeadLetter
from schemas.enrichment import Agent, SkillGroup
from schemas.keyed import KEY_CHARACTERS_MAX
from schemas.models import instant_ms, instant_of_ms
from schemas.wire import WireModel
from schemas.wire_api import SkillGroupObject, StaffObject

State = Agent | SkillGroup
_ABOUT_THE_RECORD: Final = frozenset({"schema_version", "asked_at", "valid_from", "valid_to"})


@dataclass(frozen=True, slots=True)
class Listing:
    """One of the two lists: what of the API gives it, and what each item becomes."""

    action: str
    list_name: str
    page_size: int
    wire: type[WireModel]
    record: type[Agent] | type[SkillGroup]
    identity: str


AGENTS: Final = Listing("DescribeStaffInfoList", "StaffList", 500, StaffObject, Agent, "agent_mail")
SKILL_GROUPS: Final = Listing(
    "DescribeSkillGroupInfoList", "SkillGroupList", 100, SkillGroupObject, SkillGroup, "skill_group_id"
)
LISTINGS: Final = (AGENTS, SKILL_GROUPS)


@dataclass(slots=True)
class States:
    """Every state of one listing of one application that Kafka holds, by who it is of and since when."""

    known: dict[Any, dict[datetime, State]] = field(default_factory=dict)

    def take(self, listing: Listing, state: State) -> None:
        """Note a record; the one that was asked for later counts."""
        of_one = self.known.setdefault(getattr(state, listing.identity), {})
        rival = of_one.get(state.valid_from)
        if rival is None or state.asked_at > rival.asked_at:
            of_one[state.valid_from] = state

    def open_ones(self) -> list[Any]:
        """Who is listed now, as far as it is known."""
        return [identity for identity, states in self.known.items() if any(s.valid_to is None for s in states.values())]


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be published, in this order."""

    states: tuple[State, ...]
    letters: tuple[DeadLetter, ...]


def changes(listing: Listing, known: States, items: Sequence[Any], *, sdk_app_id: int, asked_at: datetime) -> Changes:
    """Compare a whole listing with what is known."""
    listed, letters = _read(listing, items, asked_at)
    found: list[State] = []
    for identity, (said, modified_at) in listed.items():
        states = known.known.get(identity, {})
        newest = max(states.values(), key=lambda state: state.valid_from, default=None)
        if newest is not None and newest.valid_to is None and _content(newest) == said:
            found += _closed(states.values(), newest.valid_from, asked_at)
            continue
        earliest = None if newest is None else newest.valid_to or newest.valid_from + _MILLISECOND
        valid_from = _since(modified_at, earliest, asked_at)
        values = {**said, "sdk_app_id": sdk_app_id, "asked_at": asked_at, "valid_from": valid_from, "valid_to": None}
        found.append(listing.record(**values))
        found += _closed(states.values(), valid_from, asked_at)
    for identity in known.open_ones():
        if identity not in listed:
            found += _closed(known.known[identity].values(), None, asked_at)
    return Changes(tuple(found), tuple(letters))


def _read(
    listing: Listing, items: Sequence[Any], asked_at: datetime
) -> tuple[dict[Any, tuple[dict[str, Any], datetime | None]], list[DeadLetter]]:
    listed: dict[Any, tuple[dict[str, Any], datetime | None]] = {}
    letters: list[DeadLetter] = []
    for item in items:
        cells = cells_of(listing.wire, item)
        identity = cells.columns.get(listing.identity)
        if isinstance(identity, str) and len(identity) > KEY_CHARACTERS_MAX:
            identity = None
        problem = cells.problem or (None if identity is not None else f"it has no {listing.identity} that can be a key")
        if problem is not None:
            letters.append(letter_about(item, problem, action=listing.action, asked_at=asked_at))
        if identity is None:
            continue
        fields = [name for name in listing.record.model_fields if name not in _ABOUT_THE_RECORD | {"sdk_app_id"}]
        columns = {**cells.columns, "extra": cells.extra, "skill_group_ids": _group_ids(item)}
        said = {name: columns.get(name) for name in fields}
        listed[identity] = (said, cells.columns.get("modified_at"))
    return listed, letters


def _content(state: State) -> dict[str, Any]:
    return state.model_dump(exclude={*_ABOUT_THE_RECORD, "sdk_app_id"})


def _closed(states: Iterable[State], at: datetime | None, asked_at: datetime) -> list[State]:
    """The open states that began before `at` (None: all of them), each closed where the next one begins."""
    ordered = sorted(states, key=lambda state: state.valid_from)
    closed: list[State] = []
    for place, state in enumerate(ordered):
        if state.valid_to is not None or (at is not None and state.valid_from >= at):
            continue
        begins_next = ordered[place + 1].valid_from if place + 1 < len(ordered) else at
        ends_at = begins_next or max(asked_at, state.valid_from)
        closed.append(state.model_copy(update={"valid_to": ends_at, "asked_at": _after(asked_at, state.asked_at)}))
    return closed


def _since(modified_at: datetime | None, earliest: datetime | None, asked_at: datetime) -> datetime:
    """When a state began: when TCCC says that it was modified, if that can be; else when it was seen."""
    if modified_at is not None and modified_at <= asked_at and (earliest is None or modified_at >= earliest):
        return modified_at
    return asked_at if earliest is None else max(asked_at, earliest)


def _after(asked_at: datetime, than: datetime) -> datetime:
    """The moment that was asked at, or where this clock went back, the next after what stands there."""
    return asked_at if asked_at > than else than + _MILLISECOND


_MILLISECOND: Final = instant_of_ms(1) - instant_of_ms(0)
assert instant_ms(instant_of_ms(1)) == 1


def _group_ids(item: Any) -> str | None:
    groups = item.get("SkillGroupList") if isinstance(item, Mapping) else None
    ids = {group.get("SkillGroupId") for group in groups if isinstance(group, Mapping)} if groups else set()
    return ",".join(map(str, sorted(one for one in ids if isinstance(one, int)))) or None
