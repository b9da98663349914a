"""One run of the simulator: invent or read back, push, and leave the ledger, also when cut short.

This is where its clock and its dice are set; everything below is told.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callweave.simulator.chance import chance
from callweave.simulator.facts import Session
from callweave.simulator.faults import Dice, FaultError, check_faults
from callweave.simulator.ledger import LedgerPush, facts_of, note_push, note_session, read_ledger, write_ledger
from callweave.simulator.oauth import TokenRequest
from callweave.simulator.plan import plan_pushes
from callweave.simulator.pushes import Plan, Sent
from callweave.simulator.repeat import plan_again
from callweave.simulator.scenario import make_sessions
from callweave.simulator.sender import Tally, Target, send_all


class SimulationError(ValueError):
    """The options make no sense together; the message is one sentence for the person who gave them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """What to simulate, how badly, and against what.

    url: the push address; `action` and `version` are appended to it; may hold user:password@.
    sessions, days, seed, now: what is invented: so many sessions of the last `days` days before `now` (UNIX seconds;
        None: the clock's), from a seed (None: drawn, and told in the report).
    faults: fault name to rate, 0 to 1, see `faults.FAULTS`.
    ledger: where to leave the ledger, if anywhere.
    again: push what this ledger holds instead, in another order, under new UUIDs; of the faults, only `retry` applies.
    rate: pushes a second at most (None: as fast as answers come). concurrency: pushes under way at a time.
    retries_max, retry_pause_seconds: what follows when no ErrCode 0 comes. timeout_seconds: how long to wait for one.
    user, password: basic auth; they win over those in the address. token: OAuth 2.0 instead.
    verify_tls: False takes any certificate.
    """

    url: str
    sessions: int = 200
    days: int = 3
    seed: int | None = None
    now: int | None = None
    faults: Mapping[str, float] = field(default_factory=dict)
    ledger: Path | None = None
    again: Path | None = None
    rate: float | None = None
    concurrency: int = 16
    retries_max: int = 3
    retry_pause_seconds: float = 1.0
    timeout_seconds: float = 10.0
    user: str | None = None
    password: str | None = None
    token: TokenRequest | None = None
    verify_tls: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    pushes_total: int
    pushes_settled: int
    deliveries: int
    given_up: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationReport:
    """What a run did; `answers` counts the deliveries by the answer that they got."""

    seed: int
    now: int
    sessions: int
    pushes: int
    useless: int
    withheld: int
    deliveries: int
    retries: int
    redeliveries: int
    answered: int
    given_up: int
    uncertain: int
    answers: dict[str, int]
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    elapsed_seconds: float
    was_interrupted: bool
    ledger: Path | None


async def simulate(
    options: SimulationOptions, on_progress: Callable[[Progress], None] | None = None
) -> SimulationReport:
    """Push a scenario, or a ledger again, and leave the ledger.

    When cancelled (Ctrl-C), the ledger tells of what was sent so far, and the cancellation goes on.
    Raise SimulationError, FaultError or LedgerError before anything is pushed when the options make no sense.
    """
    run = await asyncio.to_thread(_prepare, options)
    started = time.monotonic()
    tally = Tally(pushes_total=sum(not push.withheld for push in run.plan.pushes))
    sent = [Sent(push=push, outcome="withheld" if push.withheld else "unsent") for push in run.plan.pushes]

    def tell(tally: Tally) -> None:
        if on_progress is not None:
            on_progress(_progress(tally))

    was_interrupted = True
    try:
        await send_all(run.plan, _target(options), sent, tally, on_settled=tell)
        was_interrupted = False
    finally:
        # Not in a thread: after a cancellation nothing may be awaited that could be cancelled again.
        report = _report(
            options, run, sent, tally, elapsed_seconds=time.monotonic() - started, was_interrupted=was_interrupted
        )
        if options.ledger is not None:
            _write(options.ledger, run, sent, report)
    return report


@dataclass(frozen=True, slots=True)
class _Run:
    seed: int
    now: int
    started_at: datetime
    header: dict[str, Any]
    sessions: Sequence[Session]
    plan: Plan
    earlier: Sequence[Sequence[LedgerPush]]  # of each session, from the ledger that is pushed again
    earlier_useless: Sequence[LedgerPush]
    first_order: int


def _prepare(options: SimulationOptions) -> _Run:
    _check(options)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    now = int(time.time()) if options.now is None else options.now
    faults = check_faults(options.faults)
    asked = {"faults": faults, "sessions": options.sessions, "days": options.days}
    dice = Dice(seed, faults)
    started_at = datetime.now(UTC)
    if options.again is None:
        invented = make_sessions(seed=seed, count=options.sessions, now=now, days=options.days)
        sessions, plan = plan_pushes(invented, dice, seed=seed, now=now)
        return _Run(seed, now, started_at, asked, sessions, plan, [()] * len(sessions), (), 0)
    if others := sorted(name for name, rate in faults.items() if rate and name != "retry"):
        raise FaultError(f"What is pushed again can't be changed: leave {', '.join(others)} out (only retry applies).")
    ledger = read_ledger(options.again)
    plan = plan_again(ledger, dice, order=chance(seed, "again"))
    orders = [push.order for session in ledger.sessions for push in session.pushes if push.order is not None]
    return _Run(
        seed,
        now,
        started_at,
        ledger.header.get("options", {}) | {"again": str(options.again)},
        [facts_of(session) for session in ledger.sessions],
        plan,
        [session.pushes for session in ledger.sessions],
        ledger.useless,
        1 + max(orders, default=-1),
    )


def _check(options: SimulationOptions) -> None:
    if not options.url.startswith(("http://", "https://")):
        raise SimulationError(f"The push address is {options.url!r}: it must start with http:// or https://.")
    if options.sessions < 0 or options.days < 1:
        raise SimulationError("Ask for no less than 0 sessions of no less than 1 day.")
    if options.rate is not None and options.rate <= 0:
        raise SimulationError(f"The rate is {options.rate}: it must be more than 0 pushes a second.")
    if options.concurrency < 1 or options.retries_max < 0 or options.retry_pause_seconds < 0:
        raise SimulationError("Concurrency must be at least 1, retries and their pause at least 0.")
    if options.token is not None and options.user is not None:
        raise SimulationError("Push with a user and password or with a token, not with both.")
    if options.timeout_seconds <= 0:
        raise SimulationError(f"The time to wait for an answer is {options.timeout_seconds} s: it must be more than 0.")


def _target(options: SimulationOptions) -> Target:
    return Target(
        url=options.url,
        user=options.user,
        password=options.password,
        token=options.token,
        concurrency=options.concurrency,
        rate=options.rate,
        retries_max=options.retries_max,
        retry_pause_seconds=options.retry_pause_seconds,
        timeout_seconds=options.timeout_seconds,
        verify_tls=options.verify_tls,
    )


def _progress(tally: Tally) -> Progress:
    return Progress(
        pushes_total=tally.pushes_total,
        pushes_settled=tally.pushes_settled,
        deliveries=tally.deliveries,
        given_up=tally.given_up,
    )


def _report(
    options: SimulationOptions,
    run: _Run,
    sent: Sequence[Sent],
    tally: Tally,
    *,
    elapsed_seconds: float,
    was_interrupted: bool,
) -> SimulationReport:
    latencies = sorted(tally.latencies)
    return SimulationReport(
        seed=run.seed,
        now=run.now,
        sessions=len(run.sessions),
        pushes=sum(one.deliveries > 0 for one in sent),
        useless=sum(one.push.owner is None for one in sent),
        withheld=sum(one.outcome == "withheld" for one in sent),
        deliveries=tally.deliveries,
        retries=tally.retries,
        redeliveries=tally.redeliveries,
        answered=sum(one.outcome == "answered" for one in sent),
        given_up=tally.given_up,
        uncertain=sum(one.outcome == "uncertain" for one in sent),
        answers=dict(tally.answers.most_common()),
        latency_p50_ms=_percentile_ms(latencies, 0.50),
        latency_p95_ms=_percentile_ms(latencies, 0.95),
        latency_p99_ms=_percentile_ms(latencies, 0.99),
        elapsed_seconds=round(elapsed_seconds, 3),
        was_interrupted=was_interrupted,
        ledger=options.ledger,
    )


def _percentile_ms(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def _write(path: Path, run: _Run, sent: Sequence[Sent], report: SimulationReport) -> None:
    of_owner: dict[int, list[LedgerPush]] = {}
    useless = list(run.earlier_useless)
    for one in sent:
        noted = note_push(one, first_order=run.first_order)
        if one.push.owner is None:
            useless.append(noted)
        else:
            of_owner.setdefault(one.push.owner, []).append(noted)
    header = {
        "seed": run.seed,
        "now": run.now,
        "options": run.header,
        "counts": {
            "sessions": report.sessions,
            "pushes": report.pushes,
            "useless": len(useless),
            "withheld": report.withheld,
            "answered": report.answered,
            "given_up": report.given_up,
            "uncertain": report.uncertain,
            "deliveries": report.deliveries,
        },
        "was_interrupted": report.was_interrupted,
        "started_at": run.started_at.isoformat(timespec="milliseconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    sessions = (
        note_session(session, [*run.earlier[owner], *of_owner.get(owner, [])])
        for owner, session in enumerate(run.sessions)
    )
    write_ledger(path, header, sessions, useless)
