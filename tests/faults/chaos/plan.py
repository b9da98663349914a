"""Which fault strikes whom, when and for how long: a pure function of the seed, so that a run can be had again."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

STARTS_AFTER_SECONDS = 4.0
LONGER_THAN_THE_SESSION_SECONDS = 14.0
"""The worker's session times out after 10 s: whoever sleeps so long has lost its partitions when it wakes."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault. `seconds` is how long it lasts, where it lasts; `amount` what it says, where it says something."""

    at: float
    fault: str
    target: str
    seconds: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        """As a line of the plan."""
        lasts = f" for {self.seconds:.0f} s" if self.seconds else ""
        amount = f" by {self.amount:+g} s" if self.amount else ""
        return f"{self.fault} {self.target}{amount}{lasts}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: whom it can strike, how long it lasts (least, most), and its amounts."""

    fault: str
    meaning: str
    targets: tuple[str, ...]
    seconds: tuple[float, float] = (0.0, 0.0)
    amounts: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, slots=True)
class Playground:
    """What there is to strike."""

    roles: tuple[str, ...]
    loaders: tuple[str, ...]
    links: tuple[str, ...]
    has_postgres: bool = False
    has_spool_disk: bool = False


def kinds(playground: Playground) -> tuple[Kind, ...]:
    """Every kind of fault that this playground offers."""
    postgres = ("postgres",) if playground.has_postgres else ()
    spool = ("spool",) if playground.has_spool_disk else ()
    offered = (
        Kind("kill", "SIGKILL, then started again", (*playground.roles, "broker", *postgres), (0.5, 4)),
        Kind("terminate", "SIGTERM, then started again", (*playground.roles, "broker"), (0.5, 2)),
        Kind(
            "pause",
            "SIGSTOP for longer than the session timeout, then SIGCONT",
            (*playground.roles, "broker"),
            (LONGER_THAN_THE_SESSION_SECONDS, LONGER_THAN_THE_SESSION_SECONDS + 3),
        ),
        Kind("cut", "connections to Kafka are reset, new ones refused", playground.links, (3, 9)),
        Kind("delay", "every byte to and from Kafka is late", playground.links, (5, 10), (0.15, 0.3, 0.6)),
        Kind("stall", "connections to Kafka stay open and nothing passes", playground.links, (6, 14)),
        Kind("stop", "the warehouse is shut down, then started again", postgres, (5, 12)),
        Kind("clock", "the role's clock is stepped, and back", playground.roles, (4, 9), (-7200, -30, 30, 1800, 7200)),
        Kind("stale batch", "records of a worker that slept land in the session topic", ("sessions",)),
        Kind("second loader", "another loader is started by mistake", playground.loaders, (5, 8)),
        Kind("full", "the spool's disk has no room while Kafka is away", spool, (4, 8)),
    )
    return tuple(kind for kind in offered if kind.targets)


def draw_plan(seed: int, seconds: float, offered: Sequence[Kind], *, pace_seconds: float = 5.0) -> list[Strike]:
    """Strikes over `seconds`, one every `pace_seconds` on average. Faults overlap; nobody is struck while struck."""
    chance = random.Random(f"chaos:{seed}")
    deck = _deck(chance, offered)
    busy_until: dict[str, float] = {}
    plan: list[Strike] = []
    at = STARTS_AFTER_SECONDS
    while at < seconds:
        kind, target = next(deck)
        lasts = round(chance.uniform(*kind.seconds), 1)
        amount = chance.choice(kind.amounts)
        # A full spool is of no account while Kafka is there, so its link is struck with it.
        struck = ("spool", "door") if target in {"spool", "door"} else (target,)
        begins = round(max([at, *(busy_until.get(one, 0.0) for one in struck)]), 1)
        if begins + lasts > seconds:
            at += 1.0  # nothing of this length fits here; a shorter one may
            continue
        plan.append(Strike(begins, kind.fault, target, lasts, amount))
        busy_until |= dict.fromkeys(struck, begins + lasts + 3.0)
        at += chance.uniform(0.3, 1.7) * pace_seconds
    return sorted(plan, key=lambda strike: strike.at)


def _deck(chance: random.Random, offered: Sequence[Kind]) -> Iterator[tuple[Kind, str]]:
    """Every kind at every target once, in any order, before any comes again; kinds with one target come as often."""
    while True:
        hands = [chance.sample([(kind, target) for target in kind.targets], len(kind.targets)) for kind in offered]
        # Interleaved, so that a short plan has one of each kind and not all kills.
        rounds = max(len(hand) for hand in hands)
        for number in range(rounds):
            of_round = [hand[number] for hand in hands if number < len(hand)]
            yield from chance.sample(of_round, len(of_round))
