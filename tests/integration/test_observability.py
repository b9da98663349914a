"""What operators see of the running program: every listed metric and no other, and a trace from push to row."""

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from schemas.metrics import Kind, Role, metrics_of
from tests.support.certificates import write_pair
from tests.support.collector import TraceCollector, a_trace_collector
from tests.support.program import Program, eventually

OF_THE_PROCESS = re.compile(r"(python|process)_")
"""What prometheus_client tells of every Python process."""
SERIES_MAX = 400
"""Of one role, with 4 partitions and one application: it grows with these two, and with nothing else."""
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def program(tmp_path: Path, kafka: str, topic_prefix: str) -> Program:
    program = Program(tmp_path / "data", kafka, topic_prefix)
    program.run("topics", "apply")
    return program


def metrics_text(program: Program, role: str) -> str:
    entry = eventually(lambda: program.roles().get(role, {}).get("admin_url") and program.roles()[role])
    with _direct.open(f"{entry['admin_url']}/metrics", timeout=60) as response:
        text: str = response.read().decode()
    return text


def push(url: str, action: str, **body: object) -> None:
    request = urllib.request.Request(f"{url}?action={action}", data=json.dumps(body).encode())
    with _direct.open(request, timeout=60) as response:
        assert json.load(response)["ErrCode"] == 0


@pytest.fixture
def everything_on(program: Program, tmp_path: Path) -> Iterator[Program]:
    """Every role, with every condition met under which it has a metric; its API answers nothing."""
    pair = write_pair(tmp_path / "tls")
    program.settings |= {
        "KAFKA__SSL_CAFILE": str(pair.cert_file),
        "RECEIVER__TLS_CERT_FILE": str(pair.cert_file),
        "RECEIVER__TLS_KEY_FILE": str(pair.key_file),
        "API__SECRET_ID": "id",
        "API__SECRET_KEY": "key-of-the-test",
        "API__SDK_APP_IDS": "1400000001",
        "API__ENDPOINT": "http://127.0.0.1:1",
        "ENRICH__DIRECTORY": "true",
        "ARCHIVER__STORE": str(tmp_path / "archive"),
        "LOGIN_TOKENS__API_KEYS": "crm key-of-thirty-two-characters-1234 *",
        "LOGIN_TOKENS__PORT": "0",
        "DASHBOARD__PORT": "0",
        "LOGIN_TOKENS__TLS_CERT_FILE": str(pair.cert_file),
        "LOGIN_TOKENS__TLS_KEY_FILE": str(pair.key_file),
    }
    program.run("topics", "apply")
    with ExitStack() as stack:
        for role in ("worker", "loader", "reconcile", "archiver", "login-tokens", "dashboard"):
            stack.enter_context(program.role(role))
        receiver = program.start("receiver", f"--record={tmp_path / 'kept'}")
        stack.callback(_end, receiver)
        yield program


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.wait(60)


@pytest.mark.timeout(600)
def test_every_role_tells_all_that_is_listed_for_it_and_nothing_else(everything_on: Program) -> None:
    for role in Role:
        listed = {metric.name: metric for metric in metrics_of(role)}
        families = told(everything_on, role, until=set(listed))
        assert {name: family.type for name, family in families.items()} == {
            name: metric.kind.value for name, metric in listed.items()
        }
        samples = [(name, sample) for name, family in families.items() for sample in family.samples]
        for name, sample in samples:
            for label in listed[name].labels:
                assert not label.values or sample.labels[label.name] in label.values, sample
        assert len(samples) < SERIES_MAX


def told(program: Program, role: Role, *, until: set[str]) -> dict[str, Metric]:
    """The families that a role exposes, once they are all there, or when they should have been."""
    deadline = time.monotonic() + 60
    while True:
        families = {
            family.name + ("_total" if family.type == Kind.COUNTER else ""): family
            for family in text_string_to_metric_families(metrics_text(program, role))
            if not OF_THE_PROCESS.match(family.name)
        }
        if set(families) >= until or time.monotonic() > deadline:
            return families
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_a_trace_leads_from_the_push_to_the_row(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with a_trace_collector() as collector:
        program.settings["TRACES__ENDPOINT"] = collector.url
        with program.role("receiver"), program.role("worker"), program.role("loader"):
            url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
            # What goes to the spool meanwhile ends its trace there.
            eventually(lambda: "callweave_spool_is_in_use 0.0" in metrics_text(program, "receiver"))
            push(url, "cdr", SdkAppId=1, SessionId="traced", Direction=0, StartTimestamp=1_700_000_000)
            push(url, "cdr", SdkAppId=1)  # useless: a dead letter, whose row ends a trace too
            program.run("status", "--wait-idle", "90")
            assert program.sql("select session_id from sessions") == [{"session_id": "traced"}]
            eventually(lambda: len(collector.named("callweave.load")) >= 2)

    assert_whole(collector)


def assert_whole(collector: TraceCollector) -> None:
    pushed = {span.attributes.get("callweave.session_id"): span for span in collector.named("callweave.push")}
    absorbed = {span.span_id: span for span in collector.named("callweave.absorb")}
    loads = {span.trace_id: span for span in collector.named("callweave.load")}

    first = pushed["traced"]
    last = loads[first.trace_id]
    middle = absorbed[last.parent_id]
    assert (first.service, middle.service, last.service) == tuple(
        f"callweave-{role}" for role in ("receiver", "worker", "loader")
    )
    assert first.parent_id == b""
    assert middle.parent_id == first.span_id
    assert first.began_ns < middle.began_ns < last.ended_ns
    assert loads[pushed[None].trace_id].parent_id == pushed[None].span_id


@pytest.mark.timeout(600)
def test_a_collector_that_is_away_costs_no_push_and_no_stop(program: Program) -> None:
    program.settings["TRACES__ENDPOINT"] = "http://127.0.0.1:1"
    with program.role("receiver") as process:
        url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
        push(url, "cdr", SdkAppId=1, SessionId="s", Direction=0)
        process.terminate()

        assert process.wait(60) == 0


@pytest.mark.timeout(600)
def test_status_shows_all_of_it_again_and_again_until_it_is_interrupted(program: Program) -> None:
    with program.role("receiver"), program.role("worker"), program.role("loader"):
        url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
        push(
            url,
            "cdr",
            SdkAppId=1,
            SessionId="s",
            Direction=0,
            StartTimestamp=1_700_000_000,
            EndedTimestamp=1_700_000_009,
        )
        program.run("status", "--wait-idle", "90")
        watching = program.start("status", "--watch", "0.5", "--json")
        assert watching.stdout is not None
        seen = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)

        assert watching.wait(60) == 0
        assert {lag["reader"] for lag in seen[1]["observed"]["lags"]} == {"worker", "loader"}
        assert seen[1]["observed"]["pushes"] == 1
        assert set(seen[1]["observed"]["call_freshness_seconds"]) == {"p50", "p95"}
        shown = program.run("status").stdout
        for words in (
            "worker, most behind:",
            "loader, most behind:",
            "freshness, end of the call to row:",
            "pushes since",
        ):
            assert words in shown
