"""`make deploy-files`: write what deploy/ holds that is made of the code; with --check, say which of it is not so."""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from deploy.generators.alerts import rules_document
from deploy.generators.dashboards import dashboard_files
from deploy.generators.dbt import dbt_files
from deploy.generators.kafka import acls_script, topics_script

DEPLOY = Path(__file__).parents[1]
CHART = "helm/callweave"
_HEAD = "# Generated from deploy/generators/alerts.py and schemas/metrics.py (`make deploy-files`).\n"


def generated() -> Iterator[tuple[str, str]]:
    """Each file's place below deploy/, and its text."""
    rules = _HEAD + yaml.safe_dump(rules_document(), sort_keys=False, width=200, allow_unicode=True)
    yield "prometheus/alerts.yaml", rules
    yield f"{CHART}/files/alerts.yaml", rules
    for name, text in dashboard_files():
        yield f"grafana/dashboards/{name}", text
        yield f"{CHART}/files/{name}", text
    yield "kafka/topics.sh", topics_script()
    yield "kafka/acls.sh", acls_script()
    yield from dbt_files()


def main() -> int:
    """Write, or check."""
    is_check = sys.argv[1:] == ["--check"]
    differing = [name for name, text in generated() if not _is_there(DEPLOY / name, text)]
    for name, text in () if is_check else generated():
        file = DEPLOY / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if file.suffix == ".sh":
            file.chmod(0o755)
    for name in differing:
        print(f"{'differs' if is_check else 'wrote'} deploy/{name}")  # noqa: T201
    return 1 if is_check and differing else 0


def _is_there(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
