"""`up` refuses a wrong warehouse before anything starts, and keeps nothing of the look."""

import multiprocessing
from pathlib import Path

import pytest

from callweave.settings import load_settings
from callweave.supervisor import Supervisor
from sinks.sink import MisconfiguredError


async def test_an_address_of_no_warehouse_is_refused_in_the_same_words_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLWEAVE_WAREHOUSE__URL", "mysql://host/db")
    said: list[str] = []
    settings = load_settings(data_dir=tmp_path)
    supervisor = Supervisor(settings, config=None, say=said.append, ready=said.append)

    with pytest.raises(MisconfiguredError, match="WAREHOUSE__URL begins with 'mysql'"):
        await supervisor.run()
    assert said == []
    assert multiprocessing.active_children() == []


async def test_a_folder_that_cannot_be_made_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("CALLWEAVE_WAREHOUSE__URL", f"duckdb:///{tmp_path}/taken/warehouse.duckdb")
    supervisor = Supervisor(load_settings(data_dir=tmp_path), config=None, say=print, ready=print)

    with pytest.raises(FileExistsError, match="taken"):
        await supervisor.run()
