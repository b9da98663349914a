"""`up` refuses a wrong warehouse before anything starts, and says once where everything is."""

import asyncio
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from callweave import supervisor as supervising
from callweave.admin import AdminServer
from callweave.runtime import RoleEntry
from callweave.settings import AdminSettings, load_settings
from callweave.supervisor import PAGE, ROLES, Supervisor
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


async def test_what_runs_where_is_said_once_and_then_nobody_looks_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "ANNOUNCE_LOOK_SECONDS", 0.01)
    said: list[str] = []
    ready: list[str] = []
    settings = load_settings(data_dir=tmp_path)
    supervisor = Supervisor(settings, config=None, say=said.append, ready=ready.append)
    admin = AdminServer(AdminSettings(port=0), not_ready_because=lambda: None)
    url = await admin.start()
    announcing = asyncio.create_task(supervisor._announce())
    try:
        entry = RoleEntry(os.getpid(), admin_url=url)
        for role in ROLES:
            supervisor._runtime.publish(role, entry)
        supervisor._runtime.publish("receiver", replace(entry, push_url="http://127.0.0.1:1/tccc/push"))
        supervisor._runtime.publish(PAGE, replace(entry, page_url="http://127.0.0.1:2/"))
        async with asyncio.timeout(60):
            await announcing
    finally:
        announcing.cancel()
        await admin.stop()
    assert ready == ["http://127.0.0.1:1/tccc/push"]
    assert sorted(said) == sorted(
        [*(f"{role}: health and metrics at {url}" for role in (*ROLES, PAGE)), "the page: http://127.0.0.1:2/"]
    )
