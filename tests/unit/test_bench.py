"""The bench's own logic: what it loads, what it counts, what it publishes. How fast anything is, is not asked here."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from bench.__main__ import WORKS, chosen
from bench.contestants import Contestants
from bench.load import Load, offer, post, press, send_all
from bench.pipeline import Hold
from bench.plots import draw
from bench.results import BEGINS, ENDS, Result, Run, publish
from bench.work import pushes
from bench.worker import wrong_sessions

MACHINE = {"at": "2026-11-25T09:00+00:00", "load_before": 0.1, "cores": 2}
AT = datetime(2026, 11, 25, 9, tzinfo=UTC)


def a_result(work: str, contestant: str, *rates: float) -> Result:
    runs = [Run(rate, 1.0, 50_000_000, {"cpu_us_per_push": 90.0}) for rate in rates]
    return Result(work, contestant, "1.0", "pushes/s", "all of it", runs)


def published(docs: Path, *results: Result, left_out: dict[str, str] | None = None) -> dict[str, object]:
    page = docs / "benchmarks.md"
    if not page.exists():
        page.write_text(f"before\n{BEGINS}{ENDS}after\n")
    return publish(list(results), machine=MACHINE, left_out=left_out or {}, form="short", docs=docs)


def test_the_works_that_were_promised_are_there_and_no_other_is_taken():
    promised = ["door", "worker", "restore", "loader-duckdb", "loader-postgres", "pipeline", "idle"]
    assert list(WORKS) == promised
    assert chosen("") == promised
    assert chosen("worker, door") == ["door", "worker"]
    with pytest.raises(SystemExit, match="There is no work dor: WORK takes some of door,"):
        chosen("dor")


def test_a_run_of_one_work_leaves_the_figures_of_the_others(tmp_path):
    published(tmp_path, a_result("door", "callweave", 5000), a_result("worker", "callweave", 7000))
    whole = published(tmp_path, a_result("worker", "callweave", 8000), a_result("worker", "quix", 4000, 2000, 3000))
    assert json.loads((tmp_path / "benchmarks.json").read_text()) == whole
    figures = [(one["work"], one["contestant"], one["median"], one["rounds"]) for one in whole["results"]]
    assert figures == [("door", "callweave", 5000, 1), ("worker", "callweave", 8000, 1), ("worker", "quix", 3000, 3)]


def test_every_entry_has_what_the_contract_names(tmp_path):
    (entry,) = published(tmp_path, a_result("door", "callweave", 5000))["results"]
    named = {"work", "contestant", "version", "unit", "median", "min", "max", "rounds", "cpu_seconds", "rss_bytes"}
    assert entry.keys() >= named | {"guarantee"}


def test_the_page_shows_where_we_lose_and_who_is_left_out(tmp_path):
    published(
        tmp_path, a_result("worker", "callweave", 5000), a_result("worker", "kafka-streams", 10_000),
        left_out={"bytewax": "could not be installed here: no wheel"},
    )  # fmt: skip
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "| kafka-streams 1.0 | 10,000 (10,000 to 10,000) pushes/s | 1 | 0.50 |" in page
    assert "Left out: bytewax, could not be installed here: no wheel." in page


def test_a_plot_names_every_contestant_with_its_figure(tmp_path):
    draw(published(tmp_path, a_result("worker", "callweave", 5000), a_result("worker", "quix", 4000)), tmp_path)
    drawing = (tmp_path / "bench-worker.svg").read_text()
    assert all(text in drawing for text in ("callweave", "quix", "5,000", "4,000"))


def test_a_contestant_that_cannot_be_installed_is_left_out_and_named(tmp_path):
    no_folder = tmp_path / "file"
    no_folder.touch()
    contestants = Contestants(cache=no_folder)
    assert contestants.python("bytewax", "requirements-bytewax.txt") is None
    assert contestants.left_out["bytewax"].startswith("could not be installed here: ")


def test_the_work_has_transfers_and_repeats_and_no_session_at_once():
    work = pushes(80)
    by_session = Counter(body["SessionId"] for _, body in work)
    legs = Counter(len(body["ServeParticipants"]) for action, body in work if action == "cdr")
    distinct = {orjson.dumps(body) for _, body in work}
    assert len(by_session) == 80
    assert legs[2] >= 10
    assert len(distinct) == 80 * 3 + 10
    assert len(work) == len(distinct) * 105 // 100
    assert pushes(1, first=7)[0][1]["SessionId"].startswith("00000007")


def test_a_session_that_lacks_a_report_or_that_nobody_pushed_is_wrong():
    expected = {b"a": {"1": {}, "2": {}}, b"b": {"3": {}}, b"c": {"4": {}}}
    last = {b"a": b'{"1":{}}', b"b": b'{"3":{}}', b"x": b"{}"}
    assert sorted(wrong_sessions(expected, last, orjson.loads)) == [b"a", b"c", b"x"]


@pytest.mark.parametrize(
    ("offered", "lags", "shed", "is_held"),
    [(1000, (50, 60), 0, True), (1000, (50, 500), 0, False), (900, (0, 0), 0, False), (1000, (0, 0), 1, False)],
    ids=["lag stays", "lag grows", "not all was offered", "something was shed"],
)
def test_a_rate_is_held_only_if_all_of_it_is_taken_and_the_lag_does_not_grow(offered, lags, shed, is_held):
    load = Load(100, 1, 2, 3, failures=0, answers=offered, shed=shed, offered=offered)
    assert Hold(100, 10, load, AT, AT, lags, {}).is_held is is_held


async def test_a_load_counts_answers_sheds_and_failures():
    async with a_server({b"/ok": 200, b"/busy": 503, b"/broken": 500}) as port:
        requests = [post(path, b"{}", {}) for path in ("/ok", "/ok", "/busy", "/broken")]
        load = await send_all("127.0.0.1", port, requests, connections=2)
        assert (load.answers, load.shed, load.failures) == (2, 1, 1)
        pressed = await press("127.0.0.1", port, requests[:1], connections=3, seconds=0.05)
        assert pressed.answers > 0
        assert not pressed.failures + pressed.shed
        offered = await offer("127.0.0.1", port, requests[:1], connections=3, seconds=0.1, per_second=100)
        assert offered.offered <= 10
        assert not offered.failures + offered.shed


class a_server:  # noqa: N801  (reads as what it is where it is used)
    """Answers each path with its status."""

    def __init__(self, statuses: dict[bytes, int]) -> None:
        self.statuses = statuses

    async def __aenter__(self) -> int:
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            status = self.statuses[head.split()[1]]
            body = b'{"ErrCode":0}' if status == 200 else b'{"ErrCode":1}'
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()
