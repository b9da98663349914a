"""Pushes as TCCC does for as long as faults strike, and writes the ledger: what was sent, how it was answered.

The contents of a session are spread over the whole run, so that no fault finds a session finished.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callweave.simulator.facts import Session
from callweave.simulator.faults import Dice
from callweave.simulator.ledger import LedgerPush, note_push, note_session, write_ledger
from callweave.simulator.plan import plan_pushes
from callweave.simulator.pushes import Plan, Sent
from callweave.simulator.scenario import make_sessions
from callweave.simulator.sender import Tally, Target, send_all

PUSHES_OF_A_SESSION = 2.8  # fewer than there are, so that the plan never ends before the run
TROUBLE = {
    "shuffle": 1.0,
    "retry": 0.10,
    "repush": 0.08,
    "withhold": 0.03,
    "correction": 0.10,
    "useless": 0.03,
    "bad_field": 0.02,
    "missing_header": 0.05,
    "no_action": 0.02,
    "epoch_record_id": 0.05,
    "endpoint_number": 0.05,
    "null_arrays": 0.05,
    "gzip": 0.03,
    "im_actions": 0.01,
}
CONCURRENCY = 48
TIMEOUT_SECONDS = 8.0
RETRY_PAUSE_SECONDS = 2.5
IN_A_SOCKET_SECONDS_MAX = 25.0
"""How long after it was sent a delivery may still be received: by a receiver that was paused meanwhile."""


@dataclass
class Driver:
    """One load, invented at once; `stop` ends it: what is under way is settled."""

    seed: int
    seconds: float
    rate: float
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Invent everything beforehand."""
        now = int(time.time())
        count = max(20, int(self.rate * self.seconds / PUSHES_OF_A_SESSION))
        dice = Dice(self.seed, TROUBLE)
        invented = make_sessions(seed=self.seed, count=count, now=now, days=1)
        self._now = now
        self._sessions: Sequence[Session]
        self._plan: Plan
        self._sessions, self._plan = plan_pushes(invented, dice, seed=self.seed, now=now)
        self.sent = [Sent(push=push, outcome="withheld" if push.withheld else "unsent") for push in self._plan.pushes]
        self.tally = Tally(pushes_total=len(self._plan.pushes))

    async def run(self, url: str) -> None:
        """Push until stopped."""
        target = Target(
            url=url,
            concurrency=CONCURRENCY,
            rate=self.rate,
            retry_pause_seconds=RETRY_PAUSE_SECONDS,
            timeout_seconds=TIMEOUT_SECONDS,
        )
        await send_all(self._plan, target, self.sent, self.tally, stop=self.stop)

    def answered(self) -> int:
        """Pushes that were answered ErrCode 0 so far."""
        return self.tally.pushes_settled - self.tally.given_up

    def write(self, path: Path, clock_steps: Sequence[tuple[float, float]]) -> None:
        """Leave the ledger. `clock_steps`: from when to when the receiver's clock was another (UNIX seconds)."""
        of_owner: dict[int, list[Sent]] = {}
        useless: list[LedgerPush] = []
        for one in self.sent:
            if one.push.owner is not None:
                of_owner.setdefault(one.push.owner, []).append(one)
            elif one.outcome != "unsent":
                useless.append(note_push(one))
        sessions = (
            note_session(
                self._sessions[owner],
                [note_push(one) for one in pushes],
                receipts_keep_order=not any(_may_be_misdated(one, clock_steps) for one in pushes),
            )
            for owner, pushes in of_owner.items()
            if any(one.outcome != "unsent" for one in pushes)
        )
        write_ledger(path, {"seed": self.seed, "now": self._now, "options": {"faults": TROUBLE}}, sessions, useless)


def _may_be_misdated(sent: Sent, clock_steps: Sequence[tuple[float, float]]) -> bool:
    return sent.push.content.startswith("cdr:") and any(
        began - IN_A_SOCKET_SECONDS_MAX <= moment <= ended + 1
        for moment in sent.delivered_at
        for began, ended in clock_steps
    )
