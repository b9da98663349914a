"""Alert rules fire in a real Prometheus when the thing that they watch is broken, and rest when it is well."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callweave.broker.local import LocalBroker, free_port
from deploy.generators.alerts import rules_document
from tests.support.broker import kafka_version
from tests.support.program import Program, eventually
from tests.support.prometheus import Prometheus, a_prometheus, wait_until

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
WAITING = re.compile(r"\[(\d+)([mh])\]")


def hurried() -> dict[str, Any]:
    """The rules with less patience: nobody waits minutes in a test. What they look for is as it is."""
    document = rules_document()
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["for"] = "1s"
            rule["expr"] = WAITING.sub("[20s]", rule["expr"]).replace("_lag_seconds) > 120", "_lag_seconds) > 2")
    return document


@pytest.fixture
def watched(tmp_path: Path, topic_prefix: str, postgres_url: str) -> Iterator[tuple[Program, LocalBroker]]:
    """A program with a broker of its own, which the test may kill."""
    with LocalBroker(tmp_path / "broker", version=kafka_version()) as broker:
        program = Program(tmp_path / "data", broker.bootstrap_servers, topic_prefix)
        program.settings |= {
            "WAREHOUSE__URL": postgres_url,
            "RECEIVER__SPOOL_AGE_ALARM_SECONDS": "1",
            "COMPLETENESS__METRICS_SECONDS": "1",
            "WAREHOUSE__RECORDING_DEADLINE_SECONDS": "1",
        }
        program.run("topics", "apply")
        yield program, broker


def push(program: Program, body: bytes) -> Mapping[str, Any]:
    url = program.roles()["receiver"]["push_url"]
    with _direct.open(urllib.request.Request(f"{url}?action=cdr", data=body), timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def a_call_of_yesterday_without_its_recording() -> bytes:
    then = int(time.time()) - 86_400
    return a_call(-1, StartTimestamp=then, AcceptTimestamp=then, EndedTimestamp=then + 5, RecordId="named-and-not-here")


def a_call(number: int, **more: Any) -> bytes:
    return json.dumps({"SdkAppId": 1, "SessionId": f"s{number}", "Direction": 0, **more}).encode()


def fires(prometheus: Prometheus, *names: str, seconds: float = 60) -> None:
    wait_until(
        lambda: prometheus.firing() >= set(names),
        seconds,
        lambda: f"only {sorted(prometheus.firing())} of {names} fire",
    )


@pytest.mark.timeout(600)
def test_alerts_rest_while_all_is_well_and_each_fires_for_what_it_watches(
    watched: tuple[Program, LocalBroker], tmp_path: Path
) -> None:
    program, broker = watched
    with ExitStack() as stack:
        processes = {}
        for role in ("receiver", "worker", "loader"):
            program.settings["ADMIN__PORT"] = str(free_port())
            processes[role] = stack.enter_context(program.role(role))
            eventually(lambda role=role: program.roles().get(role, {}).get("admin_url"))
        targets = {
            f"callweave-{role}": entry["admin_url"].removeprefix("http://") for role, entry in program.roles().items()
        }
        prometheus = stack.enter_context(a_prometheus(tmp_path / "prometheus", targets, hurried()))

        eventually(lambda: prometheus.value("sum(callweave_ready)") == len(processes))
        push(program, a_call(0))
        program.run("status", "--wait-idle", "90")
        eventually(lambda: (prometheus.value("callweave_freshness_seconds_count") or 0) >= 1)
        eventually(lambda: not prometheus.firing())

        push(program, b"no JSON at all")
        fires(prometheus, "CallweaveDeadLetters")

        push(program, a_call_of_yesterday_without_its_recording())
        fires(prometheus, "CallweaveIncomplete")

        with psycopg.connect(program.settings["WAREHOUSE__URL"]) as somebody:
            somebody.execute("lock table sessions in access exclusive mode")
            push(program, a_call(1))
            fires(prometheus, "CallweaveLoaderLag")
        eventually(lambda: "CallweaveLoaderLag" not in prometheus.firing())

        processes["worker"].terminate()
        fires(prometheus, "CallweaveRoleDown")

        broker.stop()
        for number in range(2, 60):
            assert push(program, a_call(number))["ErrCode"] == 0
        eventually(lambda: (prometheus.value("callweave_spool_entries") or 0) > 0)
        for number in range(60, 120):
            assert push(program, a_call(number))["ErrCode"] == 0
        fires(prometheus, "CallweaveSpoolGrowing", "CallweaveSpoolOld", "CallweaveRoleNotReady")

        broker.start()
        eventually(lambda: prometheus.value("callweave_spool_entries") == 0)
        eventually(lambda: "CallweaveSpoolOld" not in prometheus.firing())

        processes["receiver"].terminate()
        down = 'ALERTS{alertname="CallweaveRoleDown",alertstate="firing",job="callweave-receiver"}'
        eventually(lambda: prometheus.value(down) == 1)
