"""Pushes a ledger again: the same bodies under new UUIDs, in another order, and the truth stays the same.

Contradicting CDRs of a session keep their order, so that the result is the same in a warehouse that saw the first run
and in one that did not.
"""

import random
from collections.abc import Sequence

from callweave.simulator.chance import draw_uuid
from callweave.simulator.faults import Dice
from callweave.simulator.ledger import Ledger, LedgerPush, push_again
from callweave.simulator.plan import chain, redeliveries, take_turns
from callweave.simulator.pushes import Plan, Push


def plan_again(ledger: Ledger, dice: Dice, *, order: random.Random) -> Plan:
    """Plan all that a ledger sent: each distinct body once."""
    noted: list[tuple[int | None, LedgerPush]] = []
    for owner, session in enumerate(ledger.sessions):
        noted += [(owner, push) for push in _distinct(session.pushes)]
    noted += [(None, push) for push in _distinct(ledger.useless)]
    # The UUIDs must be new, whatever the seed: two repetitions of one ledger are four receipts, not three.
    fresh = random.SystemRandom()
    pushes = tuple(
        push_again(push, push_uuid=draw_uuid(fresh), owner=owner, redeliveries=redeliveries(dice))
        for owner, push in noted
    )
    places = list(range(len(pushes)))
    order.shuffle(places)
    places = _with_cdrs_in_their_order(places, pushes)
    return Plan(pushes=pushes, slots=take_turns(dice, pushes, places), waits_for=chain(pushes, places))


def _distinct(pushes: Sequence[LedgerPush]) -> list[LedgerPush]:
    """Give what was sent, each body once, in the order in which it was settled first."""
    was_sent = [push for push in pushes if push.outcome not in {"withheld", "unsent"}]
    was_sent.sort(key=lambda push: (push.order is None, push.order or 0))
    first_of = {(push.sha256, push.query): push for push in reversed(was_sent)}
    return sorted(first_of.values(), key=was_sent.index)


def _with_cdrs_in_their_order(places: Sequence[int], pushes: Sequence[Push]) -> list[int]:
    """Within each session, give the turns that CDRs have to its CDRs as they were settled before."""
    turns_of: dict[int, list[int]] = {}
    for turn, place in enumerate(places):
        owner = pushes[place].owner
        if owner is not None and pushes[place].content.startswith("cdr:"):
            turns_of.setdefault(owner, []).append(turn)
    arranged = list(places)
    for turns in turns_of.values():
        for turn, place in zip(turns, sorted(places[turn] for turn in turns), strict=True):
            arranged[turn] = place
    return arranged
