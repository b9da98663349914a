"""`callweave simulate-api`: ready when it says so, refused options in one sentence, stopped by SIGTERM."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from callweave.cli.app import main
from callweave.simulator.api.faults import API_FAULTS
from callweave.simulator.office import SDK_APP_IDS
from tests.support.api import NOW, Caller, a_ledger_of, some_sessions
from tests.support.program import COMMAND

APP, OTHER_APP = SDK_APP_IDS
WINDOW = {"StartTimeStamp": NOW - 3 * 86_400, "EndTimeStamp": NOW, "PageSize": 100, "PageNumber": 0}


def status_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["callweave", "simulate-api", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_it_serves_a_ledger_until_it_is_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    ledger = a_ledger_of(tmp_path, some_sessions(30))
    options = ["--ledger", str(ledger), "--now", str(NOW), "--secret", f"AKIDone:k:ey:{APP}", "--deny", str(OTHER_APP)]
    process = subprocess.Popen([*COMMAND, "simulate-api", *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        word, endpoint = process.stdout.readline().split()
        client = Caller(endpoint, "AKIDone", "k:ey").client

        page = client.call_json("DescribeTelCdr", {"SdkAppId": APP, **WINDOW})["Response"]
        with pytest.raises(TencentCloudSDKException) as raised:
            client.call_json("DescribeTelCdr", {"SdkAppId": OTHER_APP, **WINDOW})
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 0
        assert word == "ready"
        assert page["TotalCount"] > 0
        assert raised.value.code == "UnauthorizedOperation"
    finally:
        process.kill()
        process.wait()


def test_faults_are_listed(monkeypatch, capsys):
    assert status_of(monkeypatch, "--list-faults") == 0
    assert {line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]} == set(API_FAULTS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--ledger"),
        (["--ledger", "no-such-file"], "The ledger no-such-file can't be read"),
        (["--ledger", "x", "--fault", "slow"], "'slow' is not NAME=RATE"),
        (["--ledger", "x", "--list-field", "all"], "write new, old or both"),
        (["--ledger", "x", "--window-by", "time"], "write start or end"),
        (["--ledger", "x", "--secret", "id:key"], "is not ID:KEY:APP"),
    ],
)
def test_wrong_options_end_with_2_and_say_why(monkeypatch, capsys, options, said):
    assert status_of(monkeypatch, *options) == 2
    assert said in capsys.readouterr().err
