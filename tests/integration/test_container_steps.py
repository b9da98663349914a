"""The container file's own commands, run in clean environments: there is no container engine here.

The rule: the commands are read from the file, so that what is tried is what is built. Only the places are others.
"""

import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.program import Program, eventually

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy/Containerfile"


def steps() -> list[list[str]]:
    """COPY and RUN of the first stage, in order, with continued lines joined."""
    text = CONTAINERFILE.read_text().replace("\\\n", " ")
    stage = text[text.index(" AS build") : text.rindex("\nFROM ")]
    return [line.split(maxsplit=1) for line in stage.splitlines() if line.startswith(("COPY ", "RUN "))]


def healthcheck() -> list[str]:
    """The command of HEALTHCHECK."""
    found = re.search(r"HEALTHCHECK [^\[]*CMD (\[.*\])", CONTAINERFILE.read_text().replace("\\\n", " "))
    assert found is not None
    return re.findall(r'"([^"]*)"', found[1])


@pytest.mark.timeout(600)
def test_what_the_container_file_builds_runs_and_tells_its_health(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for word, rest in steps():
        if word == "COPY":
            *names, target = rest.split()
            for name in names:
                _copy(ROOT / name, source / target)
        else:
            # The cache of packages is the machine's own; an image keeps none.
            command = rest.replace("/opt/", f"{tmp_path}/").replace("--no-cache-dir ", "")
            # Bytecode of everything is half the work, and an image's alone: the folder's own files stand for all.
            command = command.replace("-m compileall -q ", "-m compileall -q -l ")
            environment = {
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                "HOME": str(Path.home()),
                "PIP_NO_COMPILE": "0",  # which pip reads as "do not compile"
            }
            done = subprocess.run(
                ["/bin/sh", "-ec", command], cwd=source, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    built = tmp_path / "callweave/bin"
    version = subprocess.run([str(built / "callweave"), "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("callweave ")

    program = Program(tmp_path / "data", "127.0.0.1:1", "x.")
    for role in ("receiver", "worker", "loader"):
        shown = subprocess.run(
            [str(built / "callweave"), role, "--help"],
            capture_output=True,
            text=True,
            check=False,
            env=program.environment,
        )
        assert shown.returncode == 0, shown.stderr
    receiver = subprocess.Popen(
        [str(built / "callweave"), "receiver"], cwd=tmp_path, env=program.environment, stderr=subprocess.DEVNULL
    )
    try:
        admin = eventually(lambda: program.roles().get("receiver", {}).get("admin_url"))
        python, flag, code = healthcheck()
        asked = [str(built / python), flag, code.replace("http://127.0.0.1:9464", admin)]
        assert subprocess.run(asked, check=False, capture_output=True).returncode == 0
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{admin}/metrics", timeout=60) as response:
            assert b"callweave_spool_is_in_use 1.0" in response.read(), "it takes pushes while Kafka is away"
    finally:
        receiver.terminate()
        receiver.wait(60)
    assert subprocess.run(asked, check=False, capture_output=True).returncode != 0


def _copy(source: Path, target: Path) -> None:
    """As COPY does it: a folder's content into the folder, a file into it under its name."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target / source.name)
