"""What the repository promises about itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from callweave.settings import Settings, _leaves
from schemas.columns import COLUMNED_VIEWS, TABLES
from schemas.records import RECORDS
from schemas.topics import EVENT_TOPICS, KEYED_TOPICS, TOPICS
from sinks.kpi.views import KPI_VIEWS

ROOT = Path(__file__).parents[2]


def test_the_doors_between_the_rooms_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_the_lock_file_records_hashes_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()

    assert "--hash=sha256:" in lock
    assert not re.search(r"https?://|index-url|find-links", lock)


def test_every_setting_is_documented_and_every_documented_setting_exists():
    documented = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))

    assert documented == {"__".join(path).upper() for path, _ in _leaves(Settings.model_fields)}


def test_the_topics_that_share_keys_share_their_partition_count():
    assert [topic.suffix for topic in TOPICS if not topic.partitioned] == ["dead_letters", "reconcile", "suppressions"]
    assert [topic.suffix for topic in EVENT_TOPICS] == ["cdr", "record", "voicemail"]
    assert not any(topic.partitioned for topic in KEYED_TOPICS)
    assert [topic.suffix for topic in KEYED_TOPICS] == list(RECORDS)
    sessions = next(topic for topic in TOPICS if topic.suffix == "sessions")
    assert sessions.config["cleanup.policy"] == "compact"


@pytest.mark.parametrize("table", [*TABLES, *COLUMNED_VIEWS], ids=lambda table: table.name)
def test_every_column_says_what_it_means(table):
    assert all(column.description for column in table.columns)
    assert set(table.key) <= set(table.column_names)
    assert not any(column.nullable for column in table.columns if column.name in table.key)


@pytest.mark.parametrize("view", KPI_VIEWS, ids=lambda view: view.name)
def test_every_column_of_a_view_of_numbers_says_what_it_means(view):
    assert all(column.description for column in view.columns)
    assert len(set(view.column_names)) == len(view.columns)
    assert set(view.key) <= set(view.column_names)


def test_the_readme_names_only_commands_that_exist():
    readme = (ROOT / "README.md").read_text()
    named = set(
        re.findall(r"callweave (up|receiver|worker|loader|topics|doctor|[a-z]+(?:-[a-z]+)?)\b(?= |`|\n)", readme)
    )
    shown = subprocess.run(
        [sys.executable, "-m", "callweave", "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = {name for name in named if re.search(rf"│ {name} ", shown)}

    assert known >= {"up", "status", "doctor", "session", "sql", "receiver", "worker", "loader", "topics"}
