"""The first day over the wire: TLS, two accounts, tokens and their rotation, the first push shown, records kept."""

import asyncio
import base64
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from callweave.simulator.oauth import TokenRequest
from callweave.simulator.run import SimulationOptions, simulate
from tests.support.certificates import write_pair
from tests.support.program import COMMAND, Program, eventually
from tests.support.pushes import a_cdr, body_of

ACCOUNTS = """
[[tenants]]
name = "north"
sdk_app_ids = [1400000001]
auth = "basic"
username = "north"
password = "north-password-1"

[[tenants]]
name = "south"
sdk_app_ids = [1400000002]
auth = "oauth2"
client_id = "south"
client_secret = "south-secret-1"
"""


@pytest.fixture
def program(tmp_path: Path, kafka: str, topic_prefix: str) -> Program:
    files = write_pair(tmp_path / "tls", name="first")
    config = tmp_path / "callweave.toml"
    config.write_text(ACCOUNTS)
    settings = {
        "CONFIG": str(config),
        "RECEIVER__TLS_CERT_FILE": str(files.cert_file),
        "RECEIVER__TLS_KEY_FILE": str(files.key_file),
        "LOG__LEVEL": "info",
    }
    return Program(tmp_path / "data", kafka, topic_prefix, settings)


class Caller:
    """Somebody who pushes by HTTPS and trusts only the certificate that was made."""

    def __init__(self, cert_file: Path) -> None:
        trust = ssl.create_default_context(cafile=str(cert_file))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )

    def ask(self, url: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json", **headers})
        try:
            with self._opener.open(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as exc:
            return exc.code, json.load(exc)


@contextmanager
def recording_receiver(program: Program, records: Path, log: Path) -> Iterator[str]:
    """`callweave receiver --record`; the push address."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [*COMMAND, "receiver", "--record", str(records)],
            env=program.environment,
            stderr=file,
            start_new_session=True,
        )
        try:
            yield eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
        finally:
            process.terminate()
            assert process.wait(60) == 0


def first_push_is_shown(program: Program, push: Callable[..., int]) -> None:
    """`doctor --await-push`: a refused request is told, and the next push that is let in is shown, masked."""
    doctor = subprocess.Popen(
        [*COMMAND, "doctor", "--await-push", "1"],
        env=program.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert doctor.stderr is not None
    assert "waiting up to 1 minutes" in doctor.stderr.readline()
    assert push(1400000001, "north", "a-wrong-password") == 401
    assert push(1400000001, "north", "north-password-1") == 200
    shown, told = doctor.communicate(timeout=60)
    assert doctor.returncode == 0
    assert "was refused (HTTP 401): it brought a user and password" in told
    assert "the first push: cdr, answered HTTP 200" in shown
    assert "basic_preemptive" in shown
    assert "13912345678" not in shown


def test_two_accounts_push_by_https_and_the_first_push_is_shown_and_kept(program: Program, tmp_path: Path) -> None:
    program.run("topics", "apply")
    tls, records, log = tmp_path / "tls", tmp_path / "records", tmp_path / "log"
    with recording_receiver(program, records, log) as url:
        assert url.startswith("https://127.0.0.1:")
        caller = Caller(tls / "cert.pem")

        def push(app: int, user: str, password: str) -> int:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            return push_as(app, f"Basic {pair}")

        def push_as(app: int, authorization: str) -> int:
            cdr = body_of(a_cdr(SdkAppId=app, Caller="008613912345678"))
            return caller.ask(f"{url}?action=cdr&version=1", cdr, Authorization=authorization)[0]

        eventually(lambda: push(1400000001, "north", "north-password-1") == 200)
        first_push_is_shown(program, push)

        # The other account pushes with a token; and nobody pushes for somebody else.
        asked = b"grant_type=client_credentials&client_id=south&client_secret=south-secret-1"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        token = caller.ask(url.replace("/tccc/push", "/oauth2/token"), asked, **form)[1]["access_token"]
        assert push_as(1400000002, f"Bearer {token}") == 200
        assert push_as(1400000001, f"Bearer {token}") == 401
        assert push(1400000002, "north", "north-password-1") == 401

        # A renewed certificate is shown without a restart.
        write_pair(tls, name="renewed")
        caller = Caller(tls / "cert.pem")
        eventually(lambda: may_fail(lambda: push(1400000001, "north", "north-password-1") == 200))

    reasons = [line["reason"] for line in json.loads(program.run("dead-letters", "list", "--json").stdout)]
    assert reasons == ["FOREIGN_APP", "FOREIGN_APP"]
    kept = "".join(file.read_text() for file in records.glob("*.jsonl"))
    assert kept.count('"status": 200') >= 3
    logged = log.read_text()
    assert "push_like_tccc_refused" in logged
    for private in ("13912345678", "north-password-1", "a-wrong-password", "south-secret-1", token):
        assert private not in kept
        assert private not in logged


def may_fail(ask: Callable[[], bool]) -> bool:
    """What it gives, or False where the certificate is not the one that is trusted."""
    try:
        return ask()
    except urllib.error.URLError:
        return False


@pytest.mark.timeout(600)
def test_tokens_of_one_receiver_open_another_and_outlive_a_rotation(
    tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    settings = {
        "RECEIVER__AUTH": "oauth2",
        "RECEIVER__CLIENT_ID": "tccc",
        "RECEIVER__CLIENT_SECRET": "the-first-secret",
    }
    one = Program(tmp_path / "one", kafka, topic_prefix, settings)
    rotated = {"RECEIVER__CLIENT_SECRET": "the-second-secret", "RECEIVER__CLIENT_SECRET_PREVIOUS": "the-first-secret"}
    two = Program(tmp_path / "two", kafka, topic_prefix, {**settings, **rotated})
    one.run("topics", "apply")

    with one.role("receiver"), two.role("receiver"):
        urls = [
            eventually(lambda program=program: program.roles().get("receiver", {}).get("push_url"))
            for program in (one, two)
        ]
        tokens = [url.replace("/tccc/push", "/oauth2/token") for url in urls]
        done = one.run(
            "simulate",
            *(f"--url={urls[1]}", "--sessions=5", f"--token-url={tokens[0]}", "--client-id=tccc"),
            *("--client-secret=the-first-secret", "--client-auth=json", "--json"),
        )
        report = json.loads(done.stdout)
        assert (report["given_up"], list(report["answers"])) == (0, ["200 ErrCode 0"])
        for token_url, secret, answers in (
            (tokens[1], "the-second-secret", ["200 ErrCode 0"]),
            (tokens[1], "the-first-secret", ["200 ErrCode 0"]),
            (tokens[0], "the-second-secret", ["no token (401 invalid_client)"]),
        ):
            token = TokenRequest(url=token_url, client_id="tccc", client_secret=secret)
            options = SimulationOptions(url=urls[1], sessions=2, seed=1, token=token, retry_pause_seconds=0)
            assert list(asyncio.run(simulate(options)).answers) == answers


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"RECEIVER__TLS_CERT_FILE": "/nowhere", "RECEIVER__TLS_KEY_FILE": "/nowhere"}, "TLS_CERT_FILE"),
        ({"RECEIVER__PATH": "/oauth2/token"}, "where tokens are issued"),
    ],
)
def test_a_door_that_cannot_work_stops_with_one_sentence(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    done = Program(tmp_path, "127.0.0.1:1", "x.", settings).run("receiver", expect=2)

    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
