"""A person is erased, and stays so: late pushes, rebuilds and replays bring nothing back; everybody else stays."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program, eventually
from tests.support.push_to import push
from tests.support.pushes import a_cdr, a_record, a_voicemail

KEY = "planted-key-of-32-characters-and-more"
HIS = "008613900000077"
SPELLED = "+86 139-0000-0077"
HERS = "008613900000078"


def call(session: str, number: str, **changes: Any) -> dict[str, Any]:
    told = {"Direction": 0, "CallType": 2, "Caller": number, "SessionId": session, "UserRemark": f"call {number} back"}
    return a_cdr(**{**told, **changes})


def send(url: str, action: str, body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert push(f"{url}?action={action}", raw)[1]["ErrCode"] == 0


def everything(program: Program) -> str:
    """All that the warehouse says, as one text."""
    tables = ("sessions", "legs", "recordings", "voicemails", "dead_letters", "field_disagreements")
    return json.dumps([program.sql(f"select * from {table}") for table in tables])


def nothing_of_him(program: Program, how: str) -> None:
    program.run("status", "--wait-idle", "60")
    told = everything(program)
    assert "0077" not in told
    assert "0000078" in told
    sessions = {row["session_id"]: row for row in program.sql("select * from sessions")}
    if how == "--remove":
        assert set(sessions) == {"hers"}
        assert program.sql("select * from recordings where session_id = 'his'") == []
    else:
        assert set(sessions) == {"his", "hers"}
        kept = sessions["his"]
        assert (kept["erasure"], kept["user_remark"]) == ("pseudonymised", None)
        assert kept["customer_number"].startswith("erased:")
        assert kept["started_at"] == sessions["hers"]["started_at"]
    assert [row["seen_count"] for row in program.sql("select * from dead_letters")] == [1]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["--remove", "--pseudonymise"])
def test_who_is_erased_stays_erased(tmp_path: Path, kafka: str, topic_prefix: str, how: str) -> None:
    settings = {"PRIVACY__KEY": KEY, "WAREHOUSE__SNAPSHOT_SECONDS": "1"}
    program = Program(tmp_path / "data", kafka, topic_prefix, settings)
    his = [
        ("cdr", call("his", HIS)),
        ("record", a_record(SessionId="his", RecordId="r-1", EndpointUser="13900000077")),
        ("voicemail", a_voicemail(SessionId="his", EndpointUser=13900000077)),
    ]
    with program.up() as url:
        for action, body in (*his, ("cdr", call("hers", HERS))):
            send(url, action, body)
        send(url, "cdr", b'{"SdkAppId": 0, "Caller": "0139 0000 0077", broken')
        send(url, "cdr", b'{"SdkAppId": 0, "Caller": "0139 0000 0078", broken')
        program.run("status", "--wait-idle", "60")
        assert "0077" in everything(program)
        counted = json.loads(program.run("erase", "--number", SPELLED, "--dry-run", "--json").stdout)
        assert (counted["sessions_in_log"], counted["sessions_in_warehouse"], counted["dead_letters"]) == (1, 1, 1)
        assert "0077" in everything(program)

        receipt = program.run("erase", "--number", SPELLED, how, "--json").stdout
        again = program.run("erase", "--number", HIS, how, "--json").stdout

        nothing_of_him(program, how)
        for action, body in his:  # TCCC is late
            send(url, action, body)
        send(url, "cdr", call("his", HIS, EndStatusString="error"))
        send(url, "cdr", call("his-next-call", HIS))
        program.run("status", "--wait-idle", "60")
        if how == "--remove":
            nothing_of_him(program, how)
        assert "0077" not in everything(program)
        program.run("rebuild")
        program.run("rebuild", "--from", "raw")
        assert "0077" not in everything(program)
        program.run("dead-letters", "replay", "--reason", "undecodable", expect=None)
        program.run("status", "--wait-idle", "60")
        assert "0077" not in everything(program)
        assert "0078" in everything(program)

        published = tmp_path / "data" / "published" / "calls.duckdb"
        eventually(lambda: published.exists() and b"13900000077" not in published.read_bytes())
    for said in (receipt, again, *(file.read_text() for file in (tmp_path / "data" / "erasures").iterdir())):
        assert "0077" not in said
        assert json.loads(said)["left_in_warehouse"] == 0
        assert json.loads(said)["pending"] is None
        assert all(at is not None for at in json.loads(said)["raw_topics_forget_at"].values())
    assert b"13900000077" not in (tmp_path / "data" / "calls.duckdb").read_bytes()


def test_without_its_key_nothing_is_written(tmp_path: Path, kafka: str, topic_prefix: str) -> None:
    program = Program(tmp_path / "data", kafka, topic_prefix, {"PRIVACY__KEY": KEY})
    keyless = Program(tmp_path / "data", kafka, topic_prefix)
    assert "needs a key" in keyless.run("erase", "--number", HIS, expect=2).stderr
    with program.up() as url:
        send(url, "cdr", call("his", HIS))
        program.run("status", "--wait-idle", "60")
        program.run("erase", "--number", HIS)
        assert "no phone number" in program.run("erase", "--number", "12", expect=2).stderr
    with keyless.role("loader") as loader:
        assert loader.wait(90) != 0
    assert "PRIVACY__KEY" in keyless.run("rebuild", expect=2).stderr


@pytest.mark.timeout(600)
def test_numbers_are_masked_before_they_reach_the_warehouse(tmp_path: Path, kafka: str, topic_prefix: str) -> None:
    masked = {"PRIVACY__KEY": KEY, "PRIVACY__MASK_NUMBERS": "true"}
    program = Program(tmp_path / "data", kafka, topic_prefix, masked)
    with program.up() as url:
        send(url, "cdr", call("one", HIS))
        send(url, "cdr", call("two", "+8613900000077"))
        send(url, "record", a_record(SessionId="one", RecordId="r-1", EndpointUser="13900000077"))
        program.run("status", "--wait-idle", "60")
        told = program.sql("select session_id, customer_number, caller, user_remark from sessions order by 1")
        assert "0077" not in everything(program)
        assert len({row["customer_number"] for row in told}) == 1
        assert told[0]["customer_number"].startswith("tel:")
        program.run("erase", "--number", HIS)
        assert program.sql("select * from sessions") == []
        send(url, "cdr", call("three", HERS))
        program.run("status", "--wait-idle", "60")
    unmasked = Program(tmp_path / "data", kafka, topic_prefix, {"PRIVACY__KEY": KEY})
    with unmasked.role("loader") as loader:
        assert loader.wait(90) != 0
