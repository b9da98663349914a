"""The people of a scenario as the API lists them: staff, skill groups, and what each agent was doing when.

All is read off the calls, so that any ledger has a directory, whatever invented it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from callweave.simulator.api.life import latest_call
from callweave.simulator.facts import SeatUser, Session

AFTER_CALL_SECONDS = 20
_DAY_SECONDS = 86_400
_Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StatusChange:
    """An agent's status since a moment."""

    at: int
    status: str
    session_id: str = ""


@dataclass(slots=True)
class Directory:
    """Staff and skill groups of one application."""

    seats: dict[str, SeatUser] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    groups_of: dict[str, set[int]] = field(default_factory=dict)
    changes_of: dict[str, list[StatusChange]] = field(default_factory=dict)
    known_since: int = 0

    @classmethod
    def of(cls, sessions: Iterable[Session]) -> "Directory":
        """Read the people off the calls."""
        directory = cls()
        talks: dict[str, list[tuple[int, int, str]]] = {}
        for session in sessions:
            # As it was told first: a correction may name somebody who never worked here.
            call, last = session.calls[0], latest_call(session)
            directory.known_since = min(directory.known_since or call.started, call.started)
            if call.seat_user is not None:
                directory.seats.setdefault(call.seat_user.mail, call.seat_user)
            if call.skill_group_id:
                directory.groups.setdefault(call.skill_group_id, call.skill_group_name)
            for leg in call.legs:
                if leg.skill_group_id:
                    directory.groups.setdefault(leg.skill_group_id, leg.skill_group_name)
                if leg.mail:
                    directory.seats.setdefault(leg.mail, SeatUser(leg.mail, phone=leg.phone, user_id=leg.mail))
                    directory.groups_of.setdefault(leg.mail, set()).update({leg.skill_group_id} - {0})
                if leg.mail and leg.answered:
                    talks.setdefault(leg.mail, []).append(
                        (leg.answered, min(leg.ended, last.ended), session.session_id)
                    )
        directory.changes_of = {mail: _changes(sorted(of_one)) for mail, of_one in talks.items()}
        return directory

    def staff(self) -> list[_Json]:
        """List the staff as DescribeStaffInfoList does."""
        return [self._member(seat) for _, seat in sorted(self.seats.items())]

    def skill_groups(self) -> list[_Json]:
        """List the skill groups as DescribeSkillGroupInfoList does."""
        return [
            {
                "SkillGroupId": group_id,
                "SkillGroupName": name,
                "Type": "tel",
                "RoutePolicy": "0",
                "UsingLastSeat": 0,
                "MaxConcurrency": 1,
                "LastModifyTimestamp": self.known_since,
                "SkillGroupType": 0,
                "Alias": "",
                "RingAll": False,
            }
            for group_id, name in sorted(self.groups.items())
        ]

    def _member(self, seat: SeatUser) -> _Json:
        return {
            "Name": seat.name or seat.mail.partition("@")[0],
            "Mail": seat.mail,
            "Phone": seat.phone,
            "Nick": seat.nick,
            "StaffNumber": seat.staff_number,
            "RoleId": 3,
            "RoleIdList": [3],
            "RoleList": [3],
            "SkillGroupList": [
                {"SkillGroupId": group, "SkillGroupName": self.groups[group], "Priority": 1, "Type": "tel"}
                for group in sorted(self.groups_of.get(seat.mail, ()))
            ],
            "LastModifyTimestamp": self.known_since,
            "ExtensionNumber": "",
            "ForwardingConfig": {"Enabled": False, "Condition": "", "Target": None},
        }


def _changes(talks: list[tuple[int, int, str]]) -> list[StatusChange]:
    """Free from the first hour of a day's work, busy while talking, after-call work, free again, offline at night."""
    changes: list[StatusChange] = []
    for place, (start, end, session_id) in enumerate(talks):
        is_first_of_day = place == 0 or talks[place - 1][0] // _DAY_SECONDS != start // _DAY_SECONDS
        if is_first_of_day:
            changes.append(StatusChange(start - start % 3_600, "free"))
        next_start = talks[place + 1][0] if place + 1 < len(talks) else end + _DAY_SECONDS
        changes.append(StatusChange(start, "busy", session_id))
        if end <= next_start:
            changes.append(StatusChange(end, "afterCallWork", session_id))
        if end + AFTER_CALL_SECONDS <= next_start:
            changes.append(StatusChange(end + AFTER_CALL_SECONDS, "free"))
        if next_start // _DAY_SECONDS != start // _DAY_SECONDS:
            changes.append(StatusChange(max(end + AFTER_CALL_SECONDS, end - end % 3_600 + 3_600), "offline"))
    return sorted(changes, key=lambda change: change.at)
