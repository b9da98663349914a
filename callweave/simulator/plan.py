"""Decides what is pushed, how often, and in which order: the faults of delivery and encoding.

Contents of one session that contradict each other are never under way together, so that what follows is well defined.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from callweave.simulator.bend import bend
from callweave.simulator.chance import chance, draw_uuid
from callweave.simulator.facts import Session
from callweave.simulator.faults import Dice
from callweave.simulator.pushes import Plan, Push, Slot
from callweave.simulator.useless import make_im_push, make_useless
from callweave.simulator.wire import LASTING_QUIRKS, PASSING_QUIRKS, action_of, query_of, write_body


def plan_pushes(sessions: Sequence[Session], dice: Dice, *, seed: int, now: int) -> tuple[tuple[Session, ...], Plan]:
    """Bend the sessions by the faults, and give them with the pushes that tell of them."""
    bent = tuple(bend(session, dice) for session in sessions)
    desk = _Desk(dice, chance(seed, "order"), chance(seed, "push ids", now, len(sessions)))
    timed: list[tuple[float, Push]] = []
    for owner, session in enumerate(bent):
        timed += _session_pushes(desk, owner, session)
    timed += _useless_pushes(desk, bent, timed)
    timed.sort(key=lambda item: item[0])
    pushes = tuple(push for _, push in timed)
    order = _shuffle(desk, len(pushes))
    return bent, Plan(pushes=pushes, slots=take_turns(dice, pushes, order), waits_for=chain(pushes, order))


def chain(pushes: Sequence[Push], order: Iterable[int]) -> dict[int, int]:
    """Let each CDR push of a session that has contradicting ones wait for the one before it."""
    contents: dict[int, set[str]] = {}
    for push in pushes:
        if push.owner is not None and push.content.startswith("cdr:") and not push.withheld:
            contents.setdefault(push.owner, set()).add(push.content)
    waits_for: dict[int, int] = {}
    last_of: dict[int, int] = {}
    for place in order:
        push = pushes[place]
        if push.owner is None or push.withheld or not push.content.startswith("cdr:"):
            continue
        if len(contents[push.owner]) > 1:
            if push.owner in last_of:
                waits_for[place] = last_of[push.owner]
            last_of[push.owner] = place
    return waits_for


def redeliveries(dice: Dice) -> int:
    """Decide how often an answered push is delivered again."""
    return dice.stream("retry").choice((1, 1, 2, 3)) if dice.strikes("retry") else 0


def take_turns(dice: Dice, pushes: Sequence[Push], order: Sequence[int]) -> tuple[Slot, ...]:
    """Give the turns; a redelivery comes soon after its push, or much later."""
    stream = dice.stream("retry")
    keyed: list[tuple[float, int, Slot]] = []
    for turn, place in enumerate(order):
        if pushes[place].withheld:
            continue
        keyed.append((float(turn), len(keyed), Slot(place)))
        for _ in range(pushes[place].redeliveries):
            later = turn + stream.choice((0.5, stream.uniform(1, 50), stream.uniform(0, len(order))))
            keyed.append((later, len(keyed), Slot(place, is_redelivery=True)))
    return tuple(slot for _, _, slot in sorted(keyed, key=lambda item: item[:2]))


@dataclass(frozen=True, slots=True)
class _Desk:
    dice: Dice
    stream: random.Random
    ids: random.Random


def _session_pushes(desk: _Desk, owner: int, session: Session) -> list[tuple[float, Push]]:
    is_unpushed = desk.dice.strikes("unpushed")
    cdr_withheld = desk.dice.strikes("withhold_cdr") or is_unpushed
    cdr_at = float(session.calls[0].ended + desk.stream.randint(1, 5))
    if desk.dice.strikes("record_first"):
        others = [track.timestamp for track in session.recordings] + [mail.timestamp for mail in session.voicemails]
        cdr_at = max([cdr_at, *(made_at + 400.0 for made_at in others)])
    timed: list[tuple[float, Push]] = []
    for place in range(len(session.calls)):
        at = cdr_at + (desk.stream.randint(600, 3_600) if place else 0)
        timed += _pushes_of(desk, owner, session, f"cdr:{place}", at=at, withheld=cdr_withheld)
    for place, track in enumerate(session.recordings):
        at = track.timestamp + desk.stream.randint(2, 300)
        withheld = desk.dice.strikes("withhold") or is_unpushed
        timed += _pushes_of(desk, owner, session, f"record:{place}", at=at, withheld=withheld)
    for place, mail in enumerate(session.voicemails):
        at = mail.timestamp + desk.stream.randint(2, 60)
        withheld = desk.dice.strikes("withhold_voicemail") or is_unpushed
        timed += _pushes_of(desk, owner, session, f"voicemail:{place}", at=at, withheld=withheld)
    return timed


def _pushes_of(
    desk: _Desk, owner: int, session: Session, content: str, *, at: float, withheld: bool
) -> list[tuple[float, Push]]:
    """Give the push of a content, and sometimes another one of the same content."""
    # Milliseconds may count as another content, so both pushes of one are written in the same unit.
    lasting = {fault for fault in LASTING_QUIRKS if desk.dice.strikes(fault)}
    if content.startswith("cdr:") and "\ufffd" in session.calls[int(content.partition(":")[2])].user_remark:
        lasting.add("control_text")
    first = _push(desk, owner, session, content, lasting)
    timed = [(at, replace(first, withheld=withheld))]
    if desk.dice.strikes("repush") and not withheld:
        later = at + desk.dice.stream("repush").randint(1, 3_600)
        timed.append((later, _push(desk, owner, session, content, lasting, is_repush=True)))
    return timed


def _push(
    desk: _Desk,
    owner: int,
    session: Session,
    content: str,
    lasting: set[str],
    *,
    is_repush: bool = False,
) -> Push:
    dice = desk.dice
    action = action_of(content)
    place = int(content.partition(":")[2])
    quirks = lasting | {fault for fault in PASSING_QUIRKS if dice.strikes(fault)}
    body = write_body(session, content, quirks, members_reversed=is_repush)
    # Without action and RecordId a recording cannot be told from a voicemail.
    nameless = action == "record" and not session.recordings[place].record_id
    with_action = not dice.strikes("no_action") or nameless
    with_version = dice.strikes("voicemail_version") if action == "voicemail" else True
    return Push(
        push_uuid=draw_uuid(desk.ids),
        content=content,
        query=query_of(action, with_action=with_action, with_version=with_version),
        raw=body.raw,
        content_encoding=body.content_encoding,
        with_header=not dice.strikes("missing_header"),
        owner=owner,
        redeliveries=redeliveries(dice),
        leaves_letter=action == "cdr" and bool(session.calls[place].unholdable),
    )


def _useless_pushes(
    desk: _Desk, sessions: Sequence[Session], timed: Sequence[tuple[float, Push]]
) -> list[tuple[float, Push]]:
    added: list[tuple[float, Push]] = []
    for at, push in timed:
        if push.owner is not None and desk.dice.strikes("useless"):
            added.append((at + 1, _useless(desk, make_useless(desk.dice.stream("useless"), sessions[push.owner]))))
    for session in sessions:
        if desk.dice.strikes("im_actions"):
            made = make_im_push(desk.dice.stream("im_actions"), session)
            added.append((session.calls[0].ended + 1.0, _useless(desk, made)))
    return added


def _useless(desk: _Desk, made: tuple[str, str, bytes]) -> Push:
    kind, query, raw = made
    return Push(
        push_uuid=draw_uuid(desk.ids),
        content=kind,
        query=query,
        raw=raw,
        with_header=not desk.dice.strikes("missing_header"),
        redeliveries=redeliveries(desk.dice),
    )


def _shuffle(desk: _Desk, count: int) -> list[int]:
    stream = desk.dice.stream("shuffle")
    keys = [stream.uniform(0, count) if desk.dice.strikes("shuffle") else float(place) for place in range(count)]
    return sorted(range(count), key=keys.__getitem__)
