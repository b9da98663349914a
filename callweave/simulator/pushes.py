"""What goes over the wire, as values: a push, what became of it, and the order in which all are sent."""

from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["answered", "uncertain", "refused", "withheld", "unsent"]
"""What became of a push.

answered: ErrCode 0 came. uncertain: given up, and it may have arrived. refused: given up, each answer a clear no.
withheld: never sent, on purpose. unsent: never sent, because the run was cut short.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push to be sent."""

    push_uuid: str
    content: str  # "cdr:0", "record:2", "voicemail:0"; of a useless push, what is wrong with it
    query: str
    raw: bytes
    content_encoding: str | None = None
    with_header: bool = True
    owner: int | None = None  # place of its session in the scenario; None for a useless push
    withheld: bool = False
    redeliveries: int = 0  # after it was answered, under the same UUID
    leaves_letter: bool = False  # a usable push with a field that no column can hold


@dataclass(slots=True, kw_only=True)
class Sent:
    """What became of a push so far."""

    push: Push
    outcome: Outcome
    deliveries: int = 0
    answered_deliveries: int = 0
    sent_at: float | None = None
    delivered_at: list[float] = field(default_factory=list)  # when each delivery began
    answered_at: float | None = None  # of the first ErrCode 0
    settled_order: int | None = None  # the place in which its outcome became known


@dataclass(frozen=True, slots=True)
class Slot:
    """One turn: a push is sent, or (redelivery) sent again after it was answered."""

    place: int
    is_redelivery: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All pushes, the turns in which they are sent, and which waits for which."""

    pushes: tuple[Push, ...]
    slots: tuple[Slot, ...]
    waits_for: dict[int, int] = field(default_factory=dict)  # place to place: conflicting contents of one session
