"""One call as a picture: a lane for the customer and one for each leg, with what happened on each from when to when.

Pure: rows in, lanes out. A stretch whose beginning or end is unknown, or that ends before it begins, is not drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas.models import instant_text

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stretch:
    """`kind`: ivr, queue, ring, talk."""

    kind: str
    since: str
    until: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Lane:
    """`leg_sequence` is None for the customer."""

    leg_sequence: int | None
    who: str | None
    end_status: str | None
    stretches: list[Stretch]


@dataclass(frozen=True, slots=True)
class Transfer:
    """From one leg to another, or to somebody who has no lane."""

    from_leg: int | None
    to_leg: int | None
    at: str
    to: str | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The picture; None where no time of the call is known."""

    since: str
    until: str
    lanes: list[Lane]
    transfers: list[Transfer]

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        return asdict(self)


def draw(session: Row, legs: Sequence[Row]) -> Timeline | None:
    """The picture of one call."""
    lanes = [Lane(None, session.get("customer_number"), session.get("end_status"), list(_of_customer(session)))]
    lanes += [Lane(leg["leg_sequence"], _who(leg), leg.get("end_status"), list(_of_leg(leg))) for leg in legs]
    moments = [_moment(session[name]) for name in ("started_at", "ended_at") if session.get(name)]
    moments += [_moment(text) for lane in lanes for part in lane.stretches for text in (part.since, part.until)]
    if not moments:
        return None
    return Timeline(instant_text(min(moments)), instant_text(max(moments)), lanes, list(_transfers(legs)))


def _of_customer(session: Row) -> Iterator[Stretch]:
    started, queued, rang, answered, ended = (
        session.get(f"{name}_at") for name in ("started", "queued", "rang", "answered", "ended")
    )
    if session.get("direction") == "outbound":
        yield from _stretch("ring", rang or started, answered or ended)
    else:
        yield from _stretch("ivr", started, _end_of_ivr(session))
        yield from _stretch("queue", queued, answered or ended)
    yield from _stretch("talk", answered, ended)


def _end_of_ivr(session: Row) -> str | None:
    """Where the queue begins; a call that never queued leaves the IVR when TCCC's IVRDuration has passed."""
    if session.get("queued_at"):
        return str(session["queued_at"])
    if session.get("answered_at"):
        return str(session["answered_at"])
    seconds, started = session.get("ivr_seconds"), session.get("started_at")
    if seconds is None or started is None:
        return None
    return instant_text(_moment(started) + timedelta(seconds=seconds))


def _of_leg(leg: Row) -> Iterator[Stretch]:
    yield from _stretch("ring", leg.get("rang_at"), leg.get("answered_at") or leg.get("ended_at"))
    yield from _stretch("talk", leg.get("answered_at"), leg.get("ended_at"))


def _stretch(kind: str, since: str | None, until: str | None) -> Iterator[Stretch]:
    if since is None or until is None:
        return
    begin, end = _moment(since), _moment(until)
    if end >= begin:
        yield Stretch(kind, instant_text(begin), instant_text(end), int((end - begin).total_seconds()))


def _transfers(legs: Sequence[Row]) -> Iterator[Transfer]:
    """A leg that says whom the call went to, and the next leg that says whom it came from, are one transfer."""
    for place, leg in enumerate(legs):
        if not leg.get("transfer_to"):
            continue
        later = [
            other for other in legs[place + 1 :] if other.get("transfer_from") or _who(other) == leg["transfer_to"]
        ]
        to_leg = later[0]["leg_sequence"] if later else None
        at = leg.get("ended_at") or (later[0].get("started_at") if later else None)
        if at is not None:
            yield Transfer(leg["leg_sequence"], to_leg, instant_text(_moment(at)), leg["transfer_to"])


def _who(leg: Row) -> str | None:
    return leg.get("agent_mail") or leg.get("agent_phone")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
