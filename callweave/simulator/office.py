"""The people and numbers of a simulated contact centre: skill groups, agents, lines, customers."""

import random
from dataclasses import dataclass, field

from callweave.simulator.chance import chance
from callweave.simulator.facts import SeatUser, TelLocation

SDK_APP_IDS = (1_400_000_001, 1_400_000_002)

_GROUPS = ("sales", "orders", "after-sales", "billing", "技术支持", "complaints")
_NAMES = ("Ann", "Bo", "Chen Wei", "Dana", "李娜", "Eli", "Fang", "Gus", "王芳", "Hana", "Ivo", "Jun", "Kai", "Lin")
_PLACES = (
    ("Guangdong", "Shenzhen", "755"),
    ("Guangdong", "Guangzhou", "20"),
    ("Shanghai", "Shanghai", "21"),
    ("Guizhou", "Anshun", "851"),
    ("Sichuan", "Chengdu", "28"),
)
_OPERATORS = ("mobile", "unicom", "telecom")


@dataclass(frozen=True, slots=True)
class SkillGroup:
    """A queue that calls wait in."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Agent:
    """A human, with the seat that TCCC reports for them."""

    seat: SeatUser
    type: str
    groups: tuple[SkillGroup, ...]


@dataclass(slots=True)
class Office:
    """One SdkAppId's centre; remembers until when each agent is busy."""

    sdk_app_id: int
    groups: tuple[SkillGroup, ...]
    agents: tuple[Agent, ...]
    lines: tuple[str, ...]
    _busy_until: dict[str, int] = field(default_factory=dict)

    def pick_agent(self, stream: random.Random, *, group: SkillGroup, at: int, other_than: str = "") -> Agent:
        """Choose an agent of the group who is free at that time, else any of them."""
        candidates = [agent for agent in self.agents if group in agent.groups and agent.seat.mail != other_than]
        free = [agent for agent in candidates if self._busy_until.get(agent.seat.mail, 0) <= at]
        return stream.choice(free or candidates)

    def occupy(self, mail: str, *, until: int) -> None:
        """Note that an agent talks until then."""
        self._busy_until[mail] = max(until, self._busy_until.get(mail, 0))


def open_offices(seed: int) -> tuple[Office, ...]:
    """Staff one office for each SdkAppId."""
    return tuple(_open_office(chance(seed, "office", app), number, app) for number, app in enumerate(SDK_APP_IDS))


def draw_customer(stream: random.Random) -> tuple[str, TelLocation]:
    """Draw a customer's number, mostly a mobile one, and where it is at home."""
    province, city, area_code = stream.choice(_PLACES)
    if stream.random() < 0.85:
        number = f"00861{stream.choice((35, 38, 39, 50, 86))}{stream.randrange(10**8):08d}"
        operator = stream.choice(_OPERATORS)
    else:
        number = f"0086{area_code}{stream.randrange(2, 9)}{stream.randrange(10**7):07d}"
        operator = ""
    return number, TelLocation(number, "China", province, city, operator)


def _open_office(stream: random.Random, number: int, app: int) -> Office:
    groups = tuple(SkillGroup(2700 + 100 * number + place, name) for place, name in enumerate(_GROUPS[: 4 + number]))
    agents = []
    for place, name in enumerate(_NAMES):
        belongs = {groups[place % len(groups)], stream.choice(groups)}
        mail = f"agent{place:02d}@office{number}.example.com"
        kind = stream.choices(("staffSeat", "staffPhoneSeat", "miniProgramSeat", "staffExtensionSeat"), (75, 12, 8, 5))[
            0
        ]
        phone = f"0086137{number}{place:07d}" if kind == "staffPhoneSeat" else ""
        own_groups = tuple(sorted(belongs, key=lambda group: group.id))
        seat = SeatUser(
            mail=mail,
            name=name,
            nick=name.split()[0] if stream.random() < 0.7 else "",
            phone=phone,
            user_id=mail,
            staff_number=f"{1000 * (number + 1) + place:05d}" if stream.random() < 0.9 else "",
            skill_group_names=tuple(group.name for group in own_groups),
        )
        agents.append(Agent(seat, kind, own_groups))
    lines = tuple(f"00860215550{number}{place:02d}" for place in range(3))
    return Office(app, groups, tuple(agents), lines)
