"""What operators meet: wrong settings, a broker that is away, a role that dies, a stop, questions beside the writer."""

import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program, eventually, ready_url


@pytest.fixture
def program(tmp_path: Path, kafka: str, topic_prefix: str) -> Program:
    return Program(tmp_path / "data", kafka, topic_prefix)


def ask(url: str, *, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=data, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"RECEIVER__AUTH": "basic"}, "needs username and password"),
        ({"RECEIVER__AUTH": "nonsense"}, "receiver.auth"),
        ({"KAFKA__PARTITIONS": "0"}, "CALLWEAVE_KAFKA__PARTITIONS"),
        ({"NONSENSE": "1"}, "unknown setting CALLWEAVE_NONSENSE"),
        ({"WAREHOUSE__URL": "oracle://x"}, "oracle"),
    ],
)
def test_wrong_settings_stop_every_role_with_one_sentence(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    program = Program(tmp_path, "127.0.0.1:1", "x.", settings)
    done = program.run("loader", expect=2)

    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_broker_that_is_away_is_named_in_readiness_and_pushes_are_stored_all_the_same(tmp_path: Path) -> None:
    program = Program(tmp_path, "127.0.0.1:1", "x.")
    with program.role("receiver"):
        entry = eventually(lambda: (e := program.roles().get("receiver", {})) and e.get("push_url") and e)
        status, answer = ask(f"{entry['push_url']}?action=cdr", data=b'{"SdkAppId":1,"SessionId":"s"}')
        ready_status, ready = ask(f"{entry['admin_url']}/health/ready")

    assert (status, answer["ErrCode"]) == (200, 0)
    assert (ready_status, ready["ready"], ready["reason"]) == (200, True, None)
    assert "Kafka" in ready["degraded"]


def test_the_admin_ports_tell_health_and_metrics(program: Program) -> None:
    with program.up():
        roles = eventually(lambda: len(r := program.roles()) >= 3 and r)
        for role in ("receiver", "worker", "loader"):
            url = roles[role]["admin_url"]
            eventually(lambda address=url: ask(f"{address}/health/ready")[0] == 200)
            assert ask(f"{url}/health/live")[0] == 200
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/metrics") as response:
                assert b"callweave_" in response.read()


def test_a_role_that_dies_is_started_again(program: Program) -> None:
    with program.up():
        first = eventually(lambda: program.roles().get("loader", {}).get("pid"))
        os.kill(first, signal.SIGKILL)

        assert eventually(lambda: (pid := program.roles().get("loader", {}).get("pid")) and pid != first)


def test_a_second_up_on_the_same_directory_is_refused(program: Program) -> None:
    with program.up():
        done = program.run("up", expect=2)

    assert "another `callweave up` runs" in done.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"WAREHOUSE__URL": "oracle://x"}, "oracle"), ({"RECEIVER__HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1")],
)
def test_up_with_settings_that_cannot_work_ends_before_it_serves(
    program: Program, settings: dict[str, str], sentence: str
) -> None:
    program.settings |= settings
    done = program.run("up", expect=2)

    assert sentence in done.stderr
    assert done.stdout == ""


def test_up_brings_its_own_kafka_and_starts_it_again_when_it_dies(tmp_path: Path) -> None:
    program = Program(tmp_path / "data", "", "tccc.")
    push = b'{"SdkAppId":1,"SessionId":"%d","Direction":0}'
    with program.up() as url:
        assert ask(f"{url}?action=cdr", data=push % 1)[0] == 200
        os.kill(program.roles()["broker"]["pid"], signal.SIGKILL)
        eventually(lambda: ask(f"{url}?action=cdr", data=push % 2)[0] == 200)
        program.run("status", "--wait-idle", "90")
        assert {row["session_id"] for row in program.sql("select session_id from sessions")} == {"1", "2"}


@pytest.mark.timeout(600)
def test_up_that_cannot_drain_says_what_is_pending_and_loses_nothing(program: Program, postgres_url: str) -> None:
    program.settings["WAREHOUSE__URL"] = "postgresql://127.0.0.1:1/away"
    process = program.start("up")
    url = ready_url(process)
    assert ask(f"{url}?action=cdr", data=b'{"SdkAppId":1,"SessionId":"s","Direction":0}')[0] == 200
    process.send_signal(signal.SIGTERM)

    assert process.wait(120) == 1

    program.settings["WAREHOUSE__URL"] = postgres_url
    with program.up():
        program.run("status", "--wait-idle", "60")
        assert program.sql("select session_id from sessions") == [{"session_id": "s"}]


def test_children_do_not_outlive_a_killed_up(program: Program) -> None:
    process = program.start("up")
    roles = eventually(lambda: len(r := program.roles()) >= 3 and r)
    process.kill()
    process.wait()

    for entry in roles.values():
        eventually(lambda pid=entry["pid"]: not is_alive(pid))


def test_questions_are_answered_beside_the_loader_and_only_read(program: Program) -> None:
    with program.up() as url:
        ask(f"{url}?action=cdr", data=b'{"SdkAppId":9007199254740993,"SessionId":"s","Direction":0}')
        program.run("status", "--wait-idle", "60")

        assert program.sql("select sdk_app_id, direction from sessions") == [
            {"sdk_app_id": "9007199254740993", "direction": "inbound"}
        ]
        for statement in ("delete from sessions", "select 1; select 2", "select * from read_text('/etc/hostname')"):
            assert program.run("sql", statement, expect=1).stderr
        entry = program.roles()["loader"]
        assert ask(f"{entry['admin_url']}/sql", data=b'{"sql":"select 1"}')[0] == 401
    # And after it stopped, from the file.
    assert len(program.sql("select * from sessions")) == 1


def test_status_says_when_it_is_not_idle_in_time(program: Program) -> None:
    program.run("topics", "apply")
    with program.role("receiver"):
        url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
        eventually(lambda: ask(f"{url}?action=cdr", data=b'{"SdkAppId":1,"SessionId":"s"}')[0] == 200)
        done = program.run("status", "--wait-idle", "1", expect=1)

    assert "1 events wait for the worker" in done.stderr


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
