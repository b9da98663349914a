"""A real Prometheus: the machine's own, else Debian's package, unpacked beside what else is fetched once."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml

from callweave.broker.local import free_port

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`; skips where neither the machine nor Debian has it."""
    if found := shutil.which(name):
        return found
    folder = Path(os.environ.get("CALLWEAVE_CACHE_DIR") or platformdirs.user_cache_dir("callweave")) / "prometheus"
    if not (folder / "usr/bin" / name).exists():
        _unpack(folder)
    return str(folder / "usr/bin" / name)


def _unpack(folder: Path) -> None:
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        pytest.skip("no prometheus on PATH, and this is no Debian that could fetch its package")
    folder.mkdir(parents=True, exist_ok=True)
    downloaded = _ran([apt, "download", "-qq", "prometheus"], folder)
    if downloaded.returncode != 0:  # a new machine has no lists of packages yet
        _ran([apt, "update", "-qq"], folder)
        downloaded = _ran([apt, "download", "-qq", "prometheus"], folder)
    if downloaded.returncode != 0:
        pytest.skip(f"no prometheus on PATH, and its package cannot be fetched: {downloaded.stderr.strip()[:200]}")
    package = next(folder.glob("prometheus_*.deb"))
    assert _ran([dpkg, "-x", str(package), str(folder)], folder).returncode == 0
    package.unlink()


def _ran(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with _direct.open(f"{self.url}/api/v1/{path}{query}", timeout=10) as response:
            return json.load(response)["data"]

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def value(self, expression: str) -> float | None:
        """The first value of an expression; None where it has none."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None


@contextmanager
def a_prometheus(folder: Path, targets: Mapping[str, str], rules: Mapping[str, Any]) -> Iterator[Prometheus]:
    """Scrapes each job's target, and evaluates the rules, every half second."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    configuration = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms", "scrape_timeout": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _is_ready(prometheus), 60, lambda: (folder / "prometheus.log").read_text()[-2000:])
        yield prometheus
    finally:
        process.terminate()
        process.wait(30)


def wait_until(condition: Callable[[], Any], seconds: float, said: Callable[[], object]) -> None:
    """Return once it is so; fail with what was said."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)


def _is_ready(prometheus: Prometheus) -> bool:
    try:
        with _direct.open(f"{prometheus.url}/-/ready", timeout=5):
            return True
    except OSError:
        return False
