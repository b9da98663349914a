"""No secret, phone number or URL token reaches a log: every role tells everything, while everything goes wrong.

The same is asked of the logs of every other test's processes when the run is over (`tests/conftest.py`).
"""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.support import hygiene
from tests.support.program import Program, eventually
from tests.support.push_to import push
from tests.support.pushes import a_cdr, a_record, a_voicemail, body_of
from tests.support.sessions import a_session, session_record

SECRETS = {
    "RECEIVER__AUTH": "basic",
    "RECEIVER__USERNAME": "planted-account",
    "RECEIVER__PASSWORD": "planted-password",
    "RECEIVER__PASSWORD_PREVIOUS": "planted-oldpassword",
    "RECEIVER__URL_TOKEN": "planted-token",
}
PEOPLE: dict[str, Any] = {"UserRemark": "planted-remark", "Uui": "planted-uui", "Brand": {"New": "planted-new"}}


@pytest.mark.parametrize("as_format", ["json", "console"])
@pytest.mark.timeout(600)
def test_whatever_goes_wrong_no_log_holds_what_was_pushed_or_who_may_push(
    tmp_path: Path, kafka: str, topic_prefix: str, as_format: str
) -> None:
    settings = {**SECRETS, "LOG__FORMAT": as_format, "LOG__LEVEL": "debug"}
    program = Program(tmp_path / "data", kafka, topic_prefix, settings)
    (tmp_path / "no-directory").write_text("so that the spool cannot be had either")
    away = Program(
        tmp_path / "away",
        "127.0.0.1:1",
        topic_prefix,
        {
            **settings,
            "RECEIVER__SPOOL_DIR": str(tmp_path / "no-directory" / "spool"),
        },
    )
    unstored = Program(
        tmp_path / "unstored",
        kafka,
        topic_prefix,
        {**settings, "WAREHOUSE__URL": "postgresql://planted-dbuser:planted-dbpassword@127.0.0.1:1/away"},
    )
    program.run("topics", "apply")
    with ExitStack() as roles:
        for role in ("receiver", "worker", "loader"):
            roles.enter_context(program.role(role))
        for role in ("receiver", "loader"):
            roles.enter_context(away.role(role))
        roles.enter_context(unstored.role("loader"))
        url, nowhere = (
            eventually(lambda asked=asked: asked.roles().get("receiver", {}).get("push_url"))
            for asked in (program, away)
        )
        assert "planted-token" in url
        assert {status for status, _ in pushes_of_every_kind(url)} == {200, 401, 405, 413}
        assert {status for status, _ in pushes_of_every_kind(nowhere)} >= {401, 503}
        asyncio.run(poison(kafka, topic_prefix))
        letters = eventually(lambda: lettered(program, 5))
        program.run("dead-letters", "replay", "--since=1d", expect=None)
        program.run("dead-letters", "replay", letters[0]["dead_letter_id"], "--dry-run", expect=None)
        # The broker that is away, and the warehouse, are told with their addresses: without the password.
        for told in ("Unable connect to", "warehouse_unavailable"):
            eventually(lambda told=told: told in "".join(text for _, text in logs_of(f"[{as_format}]")))

    assert len(dict(logs_of(f"[{as_format}]"))) >= 6, "every role wrote its log where it is looked for"
    assert [line for line in hygiene.leaks() if slug(as_format) in line] == []


def test_a_leak_would_be_found(tmp_path: Path) -> None:
    for number, line in enumerate(("call 008613900000011", "mail ann@example.com", "token=planted-token", "fine")):
        (tmp_path / f"{number}.log").write_text(f"harmless\n{line}\n")

    assert [line.split(": ")[:2] for line in hygiene.leaks(tmp_path)] == [
        ["0.log:2", "a phone number"],
        ["1.log:2", "a mail address"],
        ["2.log:2", "a planted secret"],
    ]
    assert all("<HERE>" in line and "planted-token" not in line for line in hygiene.leaks(tmp_path))


def pushes_of_every_kind(url: str) -> Iterator[tuple[int, Any]]:
    right = {"Authorization": "Basic " + base64.b64encode(b"planted-account:planted-password").decode()}
    wrong = {"Authorization": "Basic " + base64.b64encode(b"planted-account:planted-wrongone").decode()}
    bodies = [
        body_of({**a_cdr(), **PEOPLE}),
        body_of({**a_cdr(), **PEOPLE, "StartTimestamp": "planted-time"}),
        body_of({**a_record(), **PEOPLE}),
        body_of({**a_voicemail(), **PEOPLE}),
        body_of({**a_cdr(SessionId=""), **PEOPLE}),
        b'{"Caller": "008613900000011", planted-garbage',
        b"\xff\xfe planted-bytes 008613900000011",
        body_of({"planted-key": "x" * 2**20}),
    ]
    for body in bodies:
        for action in ("cdr", "planted-action"):
            yield push(f"{url}&action={action}", body, push_id="planted-push", headers=right)
    yield push(f"{url}&action=cdr", bodies[0], push_id="planted-push", headers=right)  # a retry
    yield push(f"{url}&action=cdr", bodies[0], headers=wrong)
    yield push(url.replace("planted-token", "planted-wrongtoken"), bodies[0], headers=right)
    yield push(f"{url}&action=cdr", bodies[0])
    yield get(url)


def get(url: str) -> tuple[int, Any]:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as response:
            return response.status, None
    except urllib.error.HTTPError as exc:
        return exc.code, None


async def poison(kafka: str, prefix: str) -> None:
    """What stands in topics and is not ours: for the worker, and for the loader."""
    key, value = session_record(a_session("s", caller="008613900000011"))
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for topic, garbage in (
            ("cdr", b'{"caller": "008613900000011", "x": planted-event'),
            ("sessions", b"planted-document 008613900000011"),
            ("sessions", value.replace(b'"leg_count":0', b'"leg_count":"planted-count"')),
        ):
            await producer.send_and_wait(f"{prefix}{topic}", garbage, key=key)


def lettered(program: Program, count: int) -> list[dict[str, Any]] | None:
    letters: list[dict[str, Any]] = json.loads(program.run("dead-letters", "list", "--json").stdout)
    stages = {letter["stage"] for letter in letters}
    return letters if len(letters) >= count and stages == {"receive", "absorb", "load"} else None


def slug(as_format: str) -> str:
    return re.sub(r"\W+", "-", f"who_may_push[{as_format}]")


def logs_of(parameter: str) -> Iterator[tuple[str, str]]:
    wanted = re.sub(r"\W+", "-", parameter).strip("-")
    for path in sorted(hygiene.LOGS.glob(f"test_whatever_goes_wrong*{wanted}*")):
        yield path.name, path.read_text(encoding="utf-8", errors="replace")
