"""Dead letters as people work with them: listed, looked at, mended, replayed, over real roles and warehouses."""

import asyncio
import gzip
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from schemas.events import RAW_HEADER
from tests.support.program import COMMAND, Program, eventually
from tests.support.push_to import push
from tests.support.pushes import a_cdr, a_record, body_of
from tests.support.sessions import a_session, session_record


@pytest.mark.timeout(600)
def test_letters_are_listed_shown_mended_and_replayed_once(
    tmp_path: Path, kafka: str, topic_prefix: str, postgres_url: str
) -> None:
    program = Program(tmp_path / "data", kafka, topic_prefix, {"RECEIVER__BODY_BYTES_MAX": "1024"})
    postgres = Program(tmp_path / "postgres", kafka, topic_prefix, {"WAREHOUSE__URL": postgres_url})
    program.run("topics", "apply")
    # Opens to more than the limit, which a person will raise: nothing else is wrong with it.
    large = gzip.compress(body_of(a_cdr(SessionId="large", UserRemark="x" * 2000)))
    hopeless = b"\x00\x01 no json"
    with program.role("receiver"), program.role("worker"), program.role("loader"), postgres.role("loader"):
        url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
        for _ in range(3):
            push(f"{url}?action=cdr", large, push_id="p-large")
        push(f"{url}?action=cdr", hopeless)
        write(kafka, f"{topic_prefix}record", b"no event", body_of(a_record(SessionId="broken-record")))
        eventually(lambda: ask(postgres_url, "select count(*) from dead_letters") == [(3,)])

        listed = listing(program)
        big = next(line for line in listed if "more than 1024 bytes" in line["detail"])
        assert (big["seen_count"], big["stage"], big["action"]) == (3, "receive", "cdr")
        counts = json.loads(program.run("dead-letters", "list", "--stage=receive", "--counts", "--json").stdout)
        assert [(row["reason"], row["letters"], row["seen_count"]) for row in counts] == [("UNDECODABLE", 2, 4)]
        shown = program.run("dead-letters", "show", big["dead_letter_id"]).stdout
        assert "what to do: " in shown
        assert "00000000  1f 8b" in shown
        assert raw_of(program, big["dead_letter_id"]) == large

        program.settings["RECEIVER__BODY_BYTES_MAX"] = "1048576"
        dry = program.run("dead-letters", "replay", "--reason=UNDECODABLE", "--dry-run", expect=1).stdout
        assert dry.count("would be published: ") == 2
        assert dry.count("would fail again: UNDECODABLE") == 1
        assert listing(program) == listed

        replayed = program.run("dead-letters", "replay", "--reason=UNDECODABLE", "--json", expect=1)
        outcomes = {line["dead_letter_id"]: line["outcome"].partition(":")[0] for line in json.loads(replayed.stdout)}
        assert sorted(outcomes.values()) == ["FAILED_AGAIN", "PUBLISHED", "PUBLISHED"]
        assert outcomes[big["dead_letter_id"]] == "PUBLISHED"
        sessions = eventually(lambda: settled(postgres_url, 2))
        assert [session for session, _ in sessions] == ["broken-record", "large"]

        # Once more: each receipt is known, and the history stands.
        again = program.run("dead-letters", "replay", "--reason=UNDECODABLE", "--json", expect=1)
        assert sorted(line["outcome"].partition(":")[0] for line in json.loads(again.stdout)) == [
            "FAILED_AGAIN",
            "KNOWN",
            "KNOWN",
        ]
        row = [(3, True, "KNOWN: its session has this receipt")]
        history = (
            "select seen_count, occurred_at < replayed_at, replay_outcome from dead_letters "
            f"where dead_letter_id = '{big['dead_letter_id']}'"
        )
        eventually(lambda: ask(postgres_url, history) == row)
        eventually(lambda: [tuple(found.values()) for found in program.sql(history)] == row)
        assert settled(postgres_url, 2) == sessions
        assert ask(postgres_url, "select count(*) from dead_letters") == [(3,)]
        told = next(line for line in listing(program) if line["dead_letter_id"] == big["dead_letter_id"])
        assert (told["seen_count"], told["occurred_at"]) == (3, big["occurred_at"])
        assert told["replay_outcome"] == "KNOWN: its session has this receipt"


@pytest.mark.timeout(600)
def test_a_document_that_the_warehouse_refused_is_loaded_after_it_was_mended(
    tmp_path: Path, kafka: str, topic_prefix: str, postgres_url: str
) -> None:
    program = Program(tmp_path / "postgres", kafka, topic_prefix, {"WAREHOUSE__URL": postgres_url})
    program.run("topics", "apply")
    with program.role("loader"):
        eventually(lambda: ask(postgres_url, "select 1"))
        run(postgres_url, "alter table sessions add constraint picky check (caller <> 'unwanted')")
        for session, caller in (("bad", "unwanted"), ("good", "wanted")):
            key, value = session_record(a_session(session, caller=caller))
            write(kafka, f"{topic_prefix}sessions", value, key=key)
        write(kafka, f"{topic_prefix}sessions", b"no document", key=b"1:x")
        eventually(lambda: ask(postgres_url, "select count(*) from dead_letters") == [(2,)])

        dry = program.run("dead-letters", "replay", "--reason=SINK_REJECTED", "--dry-run")
        assert "would be tried again by the loader" in dry.stdout
        still = program.run("dead-letters", "replay", "--reason=SINK_REJECTED", expect=1)
        assert "FAILED_AGAIN: SINK_REJECTED" in still.stdout

        run(postgres_url, "alter table sessions drop constraint picky")
        mended = program.run("dead-letters", "replay", "--stage=load", expect=1)
        assert "1 FAILED_AGAIN, 1 LOADED" in mended.stderr
        assert ask(postgres_url, "select session_id from sessions order by 1") == [("bad",), ("good",)]
        assert ask(postgres_url, "select reason, seen_count, replay_outcome from dead_letters order by 1") == [
            (
                "SCHEMA_VIOLATION",
                1,
                "FAILED_AGAIN: SCHEMA_VIOLATION: not JSON: Expecting value: line 1 column 1 (char 0)",
            ),
            ("SINK_REJECTED", 1, "LOADED"),
        ]


def test_replaying_nothing_in_particular_is_refused(tmp_path: Path) -> None:
    program = Program(tmp_path, "127.0.0.1:1", "x.")

    assert "which letters?" in program.run("dead-letters", "replay", expect=2).stderr


def listing(program: Program, *options: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = json.loads(program.run("dead-letters", "list", "--json", *options).stdout)
    return lines


def raw_of(program: Program, dead_letter_id: str) -> bytes:
    return subprocess.run(
        [*COMMAND, "dead-letters", "show", dead_letter_id, "--raw"],
        env=program.environment,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout


def settled(url: str, count: int) -> list[tuple[Any, ...]] | None:
    sessions = ask(url, "select session_id, version from sessions order by session_id")
    return sessions if len(sessions) == count else None


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        if connection.execute("select to_regclass('callweave_offsets')").fetchone() == (None,):
            return []
        return connection.execute(statement.encode()).fetchall()


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def write(kafka: str, topic: str, value: bytes, raw: bytes | None = None, *, key: bytes = b"1:x") -> None:
    headers: Sequence[tuple[str, bytes]] = [] if raw is None else [(RAW_HEADER, raw)]

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            await producer.send_and_wait(topic, value, key=key, headers=list(headers))

    asyncio.run(send())
