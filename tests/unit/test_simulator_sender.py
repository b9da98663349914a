"""The simulator pushes as TCCC does, and its ledger tells the truth about it, whatever answers it gets."""

import asyncio
import base64
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from callweave.simulator.faults import FAULTS, FaultError
from callweave.simulator.ledger import Ledger, LedgerError, read_ledger
from callweave.simulator.run import Progress, SimulationError, SimulationOptions, SimulationReport, simulate

NOW = 1_764_000_000
OK = {"ErrCode": 0, "ErrMsg": ""}


@dataclass(slots=True)
class Received:
    """One delivery, as the stub saw it."""

    target: str
    push_uuid: str | None
    authorization: str | None
    content_type: str
    body: bytes


Answer = Callable[[Received, list[Received]], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Stub:
    """A receiver that keeps a journal of deliveries."""

    answer: Answer
    url: str = ""
    journal: list[Received] = field(default_factory=list)

    async def push(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            request.raw_path,
            request.headers.get("X-TCCC-PUSH-UUID"),
            request.headers.get("Authorization"),
            request.headers["Content-Type"],
            await request.read(),
        )
        self.journal.append(received)
        return await self.answer(received, self.journal)


async def always_ok(_received: Received, _journal: list[Received]) -> web.StreamResponse:
    return web.json_response(OK)


@asynccontextmanager
async def receiver(answer: Answer = always_ok) -> AsyncIterator[Stub]:
    stub = Stub(answer)
    app = web.Application()
    app.router.add_post("/push", stub.push)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    stub.url = f"http://127.0.0.1:{port}/push"
    try:
        yield stub
    finally:
        await runner.cleanup()


def options(stub: Stub, tmp_path: Path, **changes: object) -> SimulationOptions:
    given = {"url": stub.url, "sessions": 5, "seed": 3, "now": NOW, "ledger": tmp_path / "ledger.jsonl"}
    given |= {"retry_pause_seconds": 0.0}
    return SimulationOptions(**(given | changes))  # type: ignore[arg-type]


async def run(stub: Stub, tmp_path: Path, **changes: object) -> tuple[SimulationReport, Ledger]:
    report = await simulate(options(stub, tmp_path, **changes))
    return report, read_ledger(tmp_path / "ledger.jsonl")


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def outcomes(ledger: Ledger) -> set[str]:
    return {push.outcome for session in ledger.sessions for push in session.pushes}


async def test_answered_pushes_are_sent_once_as_the_guide_says(tmp_path: Path):
    async with receiver() as stub:
        told: list[Progress] = []
        report = await simulate(options(stub, tmp_path), told.append)

    ledger = read_ledger(tmp_path / "ledger.jsonl")
    assert report.pushes == report.deliveries == report.answered == len(stub.journal)
    assert (report.retries, report.given_up, report.uncertain) == (0, 0, 0)
    assert report.answers == {"200 ErrCode 0": len(stub.journal)}
    assert report.latency_p50_ms is not None
    assert told[-1] == Progress(
        pushes_total=report.pushes, pushes_settled=report.pushes, deliveries=report.pushes, given_up=0
    )
    assert len({one.push_uuid for one in stub.journal}) == len(stub.journal)
    assert {one.content_type for one in stub.journal} == {"application/json;charset=utf8"}
    assert all(re.search(r"\?action=((cdr|record)&version=1|voicemail)$", one.target) for one in stub.journal)
    assert outcomes(ledger) == {"answered"}
    assert all(session.expected and session.expected["session"]["has_cdr"] for session in ledger.sessions)


async def test_error_code_makes_it_push_again_under_the_same_uuid(tmp_path: Path):
    async def third_time(received: Received, journal: list[Received]) -> web.StreamResponse:
        times = sum(one.push_uuid == received.push_uuid for one in journal)
        return web.json_response(OK if times == 3 else {"ErrCode": 1, "ErrMsg": "not now"})

    async with receiver(third_time) as stub:
        report, ledger = await run(stub, tmp_path)

    assert report.deliveries == 3 * report.pushes
    assert report.retries == 2 * report.pushes
    assert report.answers == {"200 ErrCode 1": 2 * report.pushes, "200 ErrCode 0": report.pushes}
    assert {push.deliveries for session in ledger.sessions for push in session.pushes} == {3}
    assert outcomes(ledger) == {"answered"}


async def test_unavailable_receiver_is_given_up_after_four_deliveries_and_leaves_doubt(tmp_path: Path):
    async def unavailable(_received: Received, _journal: list[Received]) -> web.StreamResponse:
        return web.json_response({"ErrCode": 1, "ErrMsg": "nowhere to put it"}, status=503)

    async with receiver(unavailable) as stub:
        report, ledger = await run(stub, tmp_path)

    assert report.deliveries == 4 * report.pushes
    assert report.given_up == report.uncertain == report.pushes
    assert outcomes(ledger) == {"uncertain"}
    for session in ledger.sessions:
        assert session.expected is None
        assert len(session.alternatives) == 2 ** len(session.pushes) - 1


async def test_no_answer_in_time_leaves_doubt(tmp_path: Path):
    never = asyncio.Event()

    async def silent(_received: Received, _journal: list[Received]) -> web.StreamResponse:
        await never.wait()
        return web.json_response(OK)

    async with receiver(silent) as stub:
        report, ledger = await run(stub, tmp_path, sessions=1, timeout_seconds=0.05, retries_max=1)
        never.set()

    assert report.answers == {"no answer in time": 2 * report.pushes}
    assert outcomes(ledger) == {"uncertain"}


async def test_answer_without_json_is_no_answer(tmp_path: Path):
    async def prose(_received: Received, _journal: list[Received]) -> web.StreamResponse:
        return web.Response(text="ok")

    async with receiver(prose) as stub:
        report, _ = await run(stub, tmp_path, sessions=1, retries_max=0)

    assert report.answers == {"200 without JSON": report.pushes}
    assert report.uncertain == report.pushes


async def test_refusal_is_certain(tmp_path: Path):
    async def refuse(_received: Received, _journal: list[Received]) -> web.StreamResponse:
        return web.json_response({"ErrCode": 401, "ErrMsg": "who are you"}, status=401)

    async with receiver(refuse) as stub:
        report, ledger = await run(stub, tmp_path, retries_max=1)

    assert report.given_up == report.pushes
    assert report.uncertain == 0
    assert outcomes(ledger) == {"refused"}
    assert all(session.expected is None and session.alternatives == [] for session in ledger.sessions)


async def test_closed_door_is_certain(tmp_path: Path):
    async with receiver() as stub:
        pass

    report, ledger = await run(stub, tmp_path, sessions=1, retries_max=0)

    assert report.answers == {"no connection": report.pushes}
    assert outcomes(ledger) == {"refused"}


async def test_address_with_query_and_credentials_is_understood(tmp_path: Path):
    async with receiver() as stub:
        address = stub.url.replace("//", "//ops:p%40ss@") + "?token=a%2Fb"
        await run(stub, tmp_path, sessions=1, url=address)
        await run(stub, tmp_path, sessions=1, url=address, user="other", password="word")

    wanted = {f"Basic {base64.b64encode(text).decode()}" for text in (b"ops:p@ss", b"other:word")}
    assert {one.authorization for one in stub.journal} == wanted
    assert all(one.target.startswith("/push?token=a%2Fb&action=") for one in stub.journal)


async def test_retried_pushes_come_again_although_they_were_answered(tmp_path: Path):
    async with receiver() as stub:
        report, ledger = await run(stub, tmp_path, sessions=20, faults={"retry": 1})

    assert report.retries == 0
    assert report.redeliveries == report.deliveries - report.pushes > 0
    by_uuid: dict[str | None, set[bytes]] = {}
    for one in stub.journal:
        by_uuid.setdefault(one.push_uuid, set()).add(one.body)
    assert len(by_uuid) == report.pushes
    assert all(len(bodies) == 1 for bodies in by_uuid.values())
    pushes = [push for session in ledger.sessions for push in session.pushes]
    assert sum(push.answered_deliveries for push in pushes) == len(stub.journal)
    assert {push.deliveries for push in pushes} <= {2, 3, 4}


async def test_the_correction_that_was_answered_first_loses(tmp_path: Path):
    async with receiver() as stub:
        _, ledger = await run(stub, tmp_path, sessions=60, faults={"correction": 1, "shuffle": 1})

    came = [json.loads(one.body) for one in stub.journal if "action=cdr" in one.target]
    compared = 0
    for session in ledger.sessions:
        remarks = [
            cdr["UserRemark"]
            for cdr in came
            if cdr["SessionId"] == session.session_id and cdr["SdkAppId"] == session.sdk_app_id
        ]
        assert len(remarks) == 2
        if all(remarks):
            assert session.expected is not None
            assert session.expected["session"]["user_remark"] == remarks[-1]
            compared += remarks[0] != remarks[1]
    assert compared >= 5


async def test_contradicting_pushes_are_never_under_way_together(tmp_path: Path):
    under_way: set[str] = set()
    met: list[str] = []

    async def watch(received: Received, _journal: list[Received]) -> web.StreamResponse:
        if "action=cdr" in received.target:
            cdr = json.loads(received.body)
            name = f"{cdr['SdkAppId']}:{cdr['SessionId']}"
            met.extend([name] if name in under_way else [])
            under_way.add(name)
            await asyncio.sleep(0.002)
            under_way.discard(name)
        return web.json_response(OK)

    async with receiver(watch) as stub:
        await run(stub, tmp_path, sessions=30, faults={"correction": 1, "shuffle": 1, "repush": 1})

    assert met == []


async def test_rate_is_kept(tmp_path: Path):
    async with receiver() as stub:
        report, _ = await run(stub, tmp_path, sessions=10, rate=100)

    assert report.elapsed_seconds >= (report.pushes - 1) / 100


async def test_everything_at_once_leaves_a_ledger_that_can_be_read_back(tmp_path: Path):
    async with receiver() as stub:
        report, ledger = await run(stub, tmp_path, sessions=80, faults=dict.fromkeys(FAULTS, 0.3))

    assert ledger.header["counts"]["sessions"] == len(ledger.sessions) == 80
    assert ledger.header["seed"] == 3
    assert len(ledger.useless) == report.useless > 0
    assert {push.outcome for push in ledger.useless} == {"answered"}
    assert outcomes(ledger) == {"answered", "withheld"}
    pushes = [push for session in ledger.sessions for push in session.pushes if push.deliveries] + ledger.useless
    # The stub's server has unpacked what was compressed.
    sent_bodies = {gzip.decompress(push.raw) if push.content_encoding else push.raw for push in pushes}
    assert sent_bodies == {one.body for one in stub.journal}
    assert [path.name for path in files_in(tmp_path)] == ["ledger.jsonl"]


async def test_ledger_can_be_pushed_again_in_another_order_with_the_same_truth(tmp_path: Path):
    async with receiver() as stub:
        faults = {"correction": 0.5, "useless": 0.2, "withhold": 0.2, "repush": 0.3, "bom": 0.2}
        first_report, first = await run(stub, tmp_path, sessions=40, faults=faults)
        first_order = [one.body for one in stub.journal]
        first_uuids = {one.push_uuid for one in stub.journal}
        stub.journal.clear()
        again = tmp_path / "again.jsonl"
        report = await simulate(
            options(stub, tmp_path, again=tmp_path / "ledger.jsonl", ledger=again, faults={"retry": 0.1})
        )
    second = read_ledger(again)

    assert report.pushes == first_report.pushes
    assert set(first_order) == {one.body for one in stub.journal}
    assert first_order != [one.body for one in stub.journal]
    assert not first_uuids & {one.push_uuid for one in stub.journal}
    assert [one.expected for one in first.sessions] == [one.expected for one in second.sessions]
    assert len(second.useless) == 2 * len(first.useless)


async def test_interrupted_run_leaves_what_was_sent_so_far(tmp_path: Path):
    enough = asyncio.Event()

    async def slow(_received: Received, journal: list[Received]) -> web.StreamResponse:
        if len(journal) > 20:
            enough.set()
            await asyncio.sleep(5)
        return web.json_response(OK)

    async with receiver(slow) as stub:
        running = asyncio.create_task(simulate(options(stub, tmp_path, sessions=50, concurrency=4)))
        await enough.wait()
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    ledger = read_ledger(tmp_path / "ledger.jsonl")
    pushes = [push for session in ledger.sessions for push in session.pushes]
    assert ledger.header["was_interrupted"] is True
    assert sum(push.outcome == "answered" for push in pushes) == 20
    assert 1 <= sum(push.outcome == "uncertain" for push in pushes) <= 4
    assert {push.outcome for push in pushes} == {"answered", "uncertain", "unsent"}


async def test_options_that_make_no_sense_are_refused_in_one_sentence(tmp_path: Path):
    with pytest.raises(SimulationError, match="must start with http"):
        await simulate(SimulationOptions(url="127.0.0.1:8080"))
    with pytest.raises(SimulationError, match="rate is 0"):
        await simulate(SimulationOptions(url="http://127.0.0.1:9", rate=0))
    with pytest.raises(LedgerError, match="can't be read"):
        await simulate(SimulationOptions(url="http://127.0.0.1:9", again=tmp_path / "nowhere"))
    with pytest.raises(FaultError, match="leave gzip out"):
        await simulate(SimulationOptions(url="http://127.0.0.1:9", again=tmp_path / "nowhere", faults={"gzip": 1}))


def test_what_is_no_ledger_is_told_so(tmp_path: Path):
    path = tmp_path / "file"
    for text, said in (("", "is empty"), ("{}\n", "Line 1 of"), ('{"kind":"header","format":2}\n', "its format is 2")):
        path.write_text(text)
        with pytest.raises(LedgerError, match=said):
            read_ledger(path)
