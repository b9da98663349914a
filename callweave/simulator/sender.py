"""Pushes as TCCC does: JSON by POST, answered with ErrCode 0 or pushed again under the same X-TCCC-PUSH-UUID.

It writes what became of each push into the `Sent` values that it is given, so that a run cut short leaves the truth.
"""

import asyncio
import base64
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal, NamedTuple

import aiohttp
from yarl import URL

from callweave.simulator.oauth import NoTokenError, TokenRequest, TokenSource
from callweave.simulator.pushes import Plan, Push, Sent, Slot
from callweave.simulator.wire import CONTENT_TYPE

_AFTER_ANSWER_SECONDS = 0.005  # between contradicting contents, so that their receipts differ by milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where and how to push."""

    url: str  # may hold user:password@ and a query
    user: str | None = None
    password: str | None = None
    token: TokenRequest | None = None  # OAuth 2.0, instead of user and password
    concurrency: int = 16
    rate: float | None = None  # deliveries a second, at most
    retries_max: int = 3
    retry_pause_seconds: float = 1.0
    timeout_seconds: float = 10.0
    verify_tls: bool = True


@dataclass(slots=True)
class Tally:
    """Counts while pushing; `latencies` are of answered and refused deliveries, in seconds."""

    pushes_total: int
    pushes_settled: int = 0
    deliveries: int = 0
    retries: int = 0  # because no ErrCode 0 came
    redeliveries: int = 0  # although ErrCode 0 had come
    given_up: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)


class _Answer(NamedTuple):
    verdict: Literal["accepted", "refused", "unclear"]
    label: str


async def send_all(
    plan: Plan,
    target: Target,
    sent: list[Sent],
    tally: Tally,
    *,
    on_settled: Callable[[Tally], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Push the whole plan, or until `stop`: what is under way is then settled, and no further turn is taken.

    `sent` runs parallel to the plan's pushes.
    """
    async with _open_session(target) as http:
        sender = _Sender(plan, target, sent, tally, http)
        turns = iter(plan.slots) if stop is None else takewhile(lambda _: not stop.is_set(), plan.slots)
        async with asyncio.TaskGroup() as workers:
            for _ in range(max(1, min(target.concurrency, len(plan.slots)))):
                workers.create_task(sender.work(turns, on_settled or _ignore))


def _ignore(_tally: Tally) -> None:
    """Tell nobody."""


@asynccontextmanager
async def _open_session(target: Target) -> AsyncIterator[aiohttp.ClientSession]:
    url = URL(target.url)
    user = target.user if target.user is not None else url.user
    password = target.password if target.password is not None else url.password
    headers = {"Content-Type": CONTENT_TYPE}
    if user is not None:
        credentials = f"{user}:{password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=target.timeout_seconds),
        connector=aiohttp.TCPConnector(limit=target.concurrency, ssl=target.verify_tls),
        headers=headers,
    ) as http:
        yield http


class _Sender:
    """The workers' common ground: turns are taken in order, and a turn only ever waits for an earlier one."""

    def __init__(
        self,
        plan: Plan,
        target: Target,
        sent: list[Sent],
        tally: Tally,
        http: aiohttp.ClientSession,
    ) -> None:
        self._plan = plan
        self._target = target
        self._sent = sent
        self._tally = tally
        self._http = http
        self._tokens = None if target.token is None else TokenSource(target.token, http)
        self._address = _USER_INFO.sub("//", target.url, count=1)
        self._next_turn_at = time.monotonic()
        awaited = {slot.place for slot in plan.slots if slot.is_redelivery} | set(plan.waits_for.values())
        self._settled = {place: asyncio.Event() for place in awaited}

    async def work(self, turns: Iterator[Slot], on_settled: Callable[[Tally], None]) -> None:
        """Take turns until there are none."""
        for turn in turns:
            await self._pace()
            if turn.is_redelivery:
                await self._push_although_answered(turn.place)
            else:
                await self._push(turn.place)
                on_settled(self._tally)

    async def _pace(self) -> None:
        if self._target.rate:
            now = time.monotonic()
            at = max(now, self._next_turn_at)
            self._next_turn_at = at + 1 / self._target.rate
            await asyncio.sleep(at - now)

    async def _push(self, place: int) -> None:
        """Push until ErrCode 0 comes, or until TCCC would give up."""
        earlier = self._plan.waits_for.get(place)
        if earlier is not None:
            await self._settled[earlier].wait()
            await asyncio.sleep(_AFTER_ANSWER_SECONDS)
        sent = self._sent[place]
        sent.sent_at = time.time()
        sent.outcome = "uncertain"  # the truth from here on, also when the run is cut short
        verdicts = set()
        for attempt in range(1 + self._target.retries_max):
            if attempt:
                self._tally.retries += 1
                await asyncio.sleep(self._target.retry_pause_seconds)
            answer = await self._deliver(sent)
            verdicts.add(answer.verdict)
            if answer.verdict == "accepted":
                sent.outcome = "answered"
                sent.answered_at = time.time()
                break
        else:
            self._tally.given_up += 1
            sent.outcome = "refused" if verdicts == {"refused"} else "uncertain"
        sent.settled_order = self._tally.pushes_settled
        self._tally.pushes_settled += 1
        if place in self._settled:
            self._settled[place].set()

    async def _push_although_answered(self, place: int) -> None:
        await self._settled[place].wait()
        if self._sent[place].outcome == "answered":
            self._tally.redeliveries += 1
            await self._deliver(self._sent[place])

    async def _deliver(self, sent: Sent) -> _Answer:
        push = sent.push
        sent.deliveries += 1
        sent.delivered_at.append(time.time())
        self._tally.deliveries += 1
        started = time.perf_counter()
        try:
            token = None if self._tokens is None else await self._tokens.token()
            async with self._http.post(
                address_of(self._address, push.query),
                data=push.raw,
                headers=_headers(push, token),
                allow_redirects=False,
            ) as response:
                answer = _judge(response.status, await response.read())
            if self._tokens is not None and token is not None and response.status == 401:
                self._tokens.refused(token)
            self._tally.latencies.append(time.perf_counter() - started)
        except NoTokenError as error:
            answer = _Answer("refused", str(error))
        except aiohttp.ClientConnectorError:
            answer = _Answer("refused", "no connection")
        except TimeoutError:
            answer = _Answer("unclear", "no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            answer = _Answer("unclear", f"broken off ({type(error).__name__})")
        self._tally.answers[answer.label] += 1
        if answer.verdict == "accepted":
            sent.answered_deliveries += 1
        return answer


_USER_INFO = re.compile(r"//[^/?#@]*@")


def address_of(url: str, query: str) -> URL:
    """Append a query as TCCC would; the push address may have one already, and stays as it was written."""
    if not query:
        return URL(url, encoded=True)
    return URL(f"{url}{'&' if '?' in url else '?'}{query}", encoded=True)


def _headers(push: Push, token: str | None) -> dict[str, str]:
    headers = {"X-TCCC-PUSH-UUID": push.push_uuid} if push.with_header else {}
    headers |= {"Authorization": f"Bearer {token}"} if token is not None else {}
    return headers | ({"Content-Encoding": push.content_encoding} if push.content_encoding else {})


def _judge(status: int, body: bytes) -> _Answer:
    """Only HTTP 200 with ErrCode 0 is a yes; only a refusal of the request itself is a clear no."""
    try:
        document = json.loads(body)
    except ValueError:
        return _Answer("unclear", f"{status} without JSON")
    code = document.get("ErrCode") if isinstance(document, dict) else None
    if type(code) is not int:
        return _Answer("unclear", f"{status} without ErrCode")
    if code == 0:
        return _Answer("accepted" if status == 200 else "unclear", f"{status} ErrCode 0")
    return _Answer("refused" if 400 <= status < 500 else "unclear", f"{status} ErrCode {code}")
