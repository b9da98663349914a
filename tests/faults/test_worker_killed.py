"""`kill -9` of the worker in the middle of the load loses nothing and doubles nothing."""

import signal
import threading
from pathlib import Path

import pytest

from tests.support.program import Program, eventually

KILLS = 5


@pytest.mark.timeout(420)
def test_five_kills_of_the_worker_lose_nothing_and_double_nothing(
    tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    program = Program(tmp_path / "data", kafka, topic_prefix)
    program.run("topics", "apply")
    ledger = tmp_path / "ledger.jsonl"

    with program.role("receiver"), program.role("loader"):
        url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
        # A backlog first: losses hide where little waits.
        options = (f"--url={url}", "--sessions=900", "--seed=3", f"--ledger={ledger}", "--fault=shuffle=1")
        pushed = threading.Thread(target=program.run, args=("simulate", *options, "--fault=retry=0.1"))
        pushed.start()
        published = 0
        for _ in range(KILLS):
            with program.role("worker") as worker:
                before = published
                published = eventually(lambda at=before: more_than(program, at))
                worker.send_signal(signal.SIGKILL)
                worker.wait()
        pushed.join()
        with program.role("worker"):
            program.run("status", "--wait-idle", "120")
            program.run("verify", f"--ledger={ledger}")
            doubled = program.sql(
                "select sdk_app_id, session_id, count(*) from sessions group by 1, 2 having count(*) > 1"
            )
            assert doubled == []


def more_than(program: Program, count: int) -> int:
    """The number of loaded reports, once it has grown past `count` by a tenth of the load."""
    loaded = int(
        program.sql("select coalesce(sum(recordings_received + voicemail_count), 0) as n from sessions")[0]["n"]
    )
    return loaded if loaded >= count + 60 else 0
